"""A recorded range in the scene: sequences of volumes and segments with their browser, table and plot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import slicer
import vtk
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.wording import given_text

from ...scene import display, latents, provenance, segments, volumes
from .nodes import label_map

BROWSER_ROLE = "HAGAN.recorded.browser"
TABLE_ROLE = "HAGAN.recorded.table"
CHART_ROLE = "HAGAN.recorded.chart"
"""Node references of a start, saved with the scene, to its latest recording."""


@dataclass(frozen=True, kw_only=True)
class ExportVolume:
    """One volume or label map to write to a file."""

    name: str
    array: npt.NDArray
    geometry: dict[str, Any]
    modality: str
    unit: str
    provenance: dict[str, Any]


class RecordedRange:
    """A recording, found again in a scene that was saved and loaded.

    Args:
        scene: the vtkMRMLScene.
        start: the latent that it was recorded from.
        browser: its vtkMRMLSequenceBrowserNode.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        start: slicer.vtkMRMLTextNode,
        browser: slicer.vtkMRMLSequenceBrowserNode,
    ) -> None:
        self._scene, self._start, self.browser = scene, start, browser
        self._volumes, self._segmentations = _sequences_of(browser)

    @classmethod
    def of(cls, scene: slicer.vtkMRMLScene, start: slicer.vtkMRMLTextNode) -> RecordedRange | None:
        """Return the latest recording from a start; None where there is none, or it was deleted."""
        browser = start.GetNodeReference(BROWSER_ROLE)
        if browser is None or _sequences_of(browser)[0] is None:
            return None
        return cls(scene, start, browser)

    @property
    def count(self) -> int:
        """How many volumes there are."""
        return int(self._volumes.GetNumberOfDataNodes())

    @property
    def frame(self) -> int:
        """The volume that is shown."""
        return max(0, int(self.browser.GetSelectedItemNumber()))

    @property
    def segmentation(self) -> Any:
        """The segmentation that plays; None without segments."""
        return None if self._segmentations is None else self.browser.GetProxyNode(self._segmentations)

    @property
    def volume(self) -> Any:
        """The volume that plays."""
        return self.browser.GetProxyNode(self._volumes)

    def text_of(self, number: int) -> str:
        """Return the amount of a volume, with sign and unit."""
        amount = float(self._volumes.GetNthIndexValue(number))
        return given_text(amount, str(self._volumes.GetIndexUnit()), signed=True)

    def show_frame(self, number: int) -> None:
        """Show one volume with its segments."""
        self.browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(self.browser)

    def play(self, on: bool) -> None:
        """Let Slicer play the volumes one after another, again and again; or stop."""
        self.browser.SetPlaybackLooped(True)
        self.browser.SetPlaybackActive(on)

    def show_table(self) -> None:
        """Show the measurements in a table view."""
        display.show_table(self._needed(TABLE_ROLE))

    def show_plot(self) -> None:
        """Show the measurements in a plot view."""
        display.show_plot(self._needed(CHART_ROLE))

    def table_rows(self) -> list[list[Any]]:
        """Return the table with its head, for a CSV file."""
        table = self._needed(TABLE_ROLE).GetTable()
        columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
        rows = [[column.GetName() for column in columns]]
        for row in range(table.GetNumberOfRows()):
            rows.append([column.GetValue(row) for column in columns])
        return rows

    def _needed(self, role: str) -> Any:
        """Return a node of the recording.

        Raises:
            HaganError: it was deleted.
        """
        node = self._start.GetNodeReference(role)
        if node is None:
            raise HaganError(
                _("The table of this recording was deleted; record again.")
                if role == TABLE_ROLE
                else _("The plot of this recording was deleted; record again.")
            )
        return node

    def file_stem(self, keep_names: bool = False) -> str:
        """Return what the files of an export begin with.

        Of a scan it is the beginning of its hash, unless ``keep_names``: its name may be a person's.
        """
        name = str(self._volumes.GetName())
        if not keep_names and (scan := latents.scan_of(self._start)):
            name = " ".join(("scan", scan, self._volumes.GetIndexName())) + provenance.SUFFIX
        return re.sub(r"[^\w.+-]+", "_", name).strip("_")

    def volumes(self, number: int, stem: str) -> Iterator[ExportVolume]:
        """Yield one volume of the recording, and its label map where there is one.

        Args:
            number: of the volume.
            stem: what the names of their files begin with.
        """
        node = self._volumes.GetNthDataNode(number)
        array, geometry = volumes.volume_of(node)
        facts = provenance.provenance_of(node)
        modality = str(facts.get("modality", "CT"))
        name = f"{stem}_{number:03d}"
        unit = "HU" if modality == "CT" else "a.u."
        yield ExportVolume(
            name=name, array=array, geometry=geometry, modality=modality, unit=unit, provenance=facts
        )
        if self._segmentations is None:
            return
        labels = label_map(self._segmentations.GetNthDataNode(number), node)
        if labels is not None:
            yield ExportVolume(
                name=f"{name}_labels",
                array=labels,
                geometry=geometry,
                modality=modality,
                unit="",
                provenance={**facts, "labels": {str(s.label): s.name for s in segments.STRUCTURES}},
            )


def _sequences_of(browser: slicer.vtkMRMLSequenceBrowserNode) -> tuple[Any, Any]:
    """Return the sequence of volumes and that of segmentations."""
    found = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(found, True)
    by_class: dict[str, Any] = {}
    for index in range(found.GetNumberOfItems()):
        sequence = found.GetItemAsObject(index)
        by_class.setdefault(str(sequence.GetDataNodeClassName()), sequence)
    return by_class.get("vtkMRMLScalarVolumeNode"), by_class.get("vtkMRMLSegmentationNode")
