"""A recorded range in the scene: sequences of volumes and segments with their browser, table and plot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError

from ...scene import display, hierarchy, latents, plots, provenance, segments, sequences, tables, volumes
from .nodes import folder_of, label_map
from .rows import MINUS, DirectionRow

BROWSER_ROLE = "HAGAN.recorded.browser"
TABLE_ROLE = "HAGAN.recorded.table"
CHART_ROLE = "HAGAN.recorded.chart"
"""Node references of a start, saved with the scene, to its latest recording."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One volume of a range."""

    amount: float
    array: npt.NDArray
    geometry: dict[str, Any]
    modality: str
    provenance: dict[str, Any]
    labels: npt.NDArray | None
    labels_geometry: dict[str, Any] | None
    measurements: dict[str, float]


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
        self.file_name = re.sub(r"[^\w.+-]+", "_", self._volumes.GetName()).strip("_")
        """Files of an export begin with it."""

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
        number = f"{amount:{'+' if amount else ''},g}".replace("-", MINUS)
        return f"{number} {self._volumes.GetIndexUnit()}".strip()

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

    def volumes(self, number: int) -> Iterator[ExportVolume]:
        """Yield one volume of the recording, and its label map where there is one."""
        node = self._volumes.GetNthDataNode(number)
        array, geometry = volumes.volume_of(node)
        facts = provenance.provenance_of(node)
        modality = str(facts.get("modality", "CT"))
        name = f"{self.file_name}_{number:03d}"
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


def store_range(
    scene: slicer.vtkMRMLScene,
    start: slicer.vtkMRMLTextNode,
    row: DirectionRow,
    frames: Sequence[Frame],
    others: Sequence[DirectionRow] = (),
) -> RecordedRange:
    """Put a range into the scene; it becomes the latest recording of its start.

    Args:
        scene: the vtkMRMLScene.
        start: the latent that it was recorded from.
        row: the direction along which.
        frames: one for each volume.
        others: directions whose targets the table has as well, where they were measured.
    """
    name = f"{latents.base_name(start)} {row.name}"
    texts = [f"{frame.amount:g}" for frame in frames]
    first = frames[0]
    volume = volumes.add_volume(scene, first.array, first.geometry, name, first.modality)
    sequence, browser = sequences.record(
        scene, name, zip(texts, _volume_nodes(volume, frames), strict=True), row.unit, row.name
    )
    nodes = [sequence, browser, browser.GetProxyNode(sequence)]
    if first.labels is not None:
        segmentation = segments.show_labels(
            scene, volume, first.labels, first.labels_geometry, _("{name} segments").format(name=name)
        )
        filled = _segmentation_nodes(scene, segmentation, volume, frames)
        labelled, browser = sequences.record(
            scene,
            _("{name} segments").format(name=name),
            zip(texts, filled, strict=True),
            row.unit,
            row.name,
            browser=browser,
        )
        nodes += [labelled, browser.GetProxyNode(labelled)]
        scene.RemoveNode(segmentation)
    scene.RemoveNode(volume)
    table, chart = _table(scene, name, row, frames, others), _chart(scene, name, row, frames)
    hierarchy.put(scene, folder_of(scene, start), *nodes, table)
    for role, node in ((BROWSER_ROLE, browser), (TABLE_ROLE, table), (CHART_ROLE, chart)):
        start.SetNodeReferenceID(role, node.GetID())
    return RecordedRange(scene, start, browser)


def _volume_nodes(node: Any, frames: Sequence[Frame]) -> Iterator[Any]:
    """Yield one node again and again with the voxels and the provenance of each frame; it is copied."""
    for frame in frames:
        volumes.update_volume(node, frame.array, frame.geometry)
        facts = {**frame.provenance, "modality": frame.modality}
        provenance.mark(node, facts, role="volume")
        yield node


def _segmentation_nodes(
    scene: slicer.vtkMRMLScene, node: Any, volume: Any, frames: Sequence[Frame]
) -> Iterator[Any]:
    for frame in frames:
        segments.show_labels(scene, volume, frame.labels, frame.labels_geometry, "", node)
        provenance.mark(node, frame.provenance, role="segmentation")
        yield node


def _sequences_of(browser: slicer.vtkMRMLSequenceBrowserNode) -> tuple[Any, Any]:
    """Return the sequence of volumes and that of segmentations."""
    found = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(found, True)
    by_class: dict[str, Any] = {}
    for index in range(found.GetNumberOfItems()):
        sequence = found.GetItemAsObject(index)
        by_class.setdefault(str(sequence.GetDataNodeClassName()), sequence)
    return by_class.get("vtkMRMLScalarVolumeNode"), by_class.get("vtkMRMLSegmentationNode")


def _measured(row: DirectionRow, frames: Sequence[Frame]) -> npt.NDArray[np.float64]:
    return np.array([frame.measurements.get(row.target, np.nan) for frame in frames], float)


def _start_of(row: DirectionRow, frames: Sequence[Frame]) -> float:
    """Return what was measured at the start, or NaN where neither it nor volumes on both sides are known."""
    if row.start is not None:
        return row.start
    amounts = np.array([frame.amount for frame in frames])
    order = np.argsort(amounts)
    return float(np.interp(0.0, amounts[order], _measured(row, frames)[order], left=np.nan, right=np.nan))


def _with_unit(text: str, unit: str) -> str:
    return f"{text} ({unit})" if unit else text


def _table(
    scene: slicer.vtkMRMLScene,
    name: str,
    row: DirectionRow,
    frames: Sequence[Frame],
    others: Sequence[DirectionRow],
) -> slicer.vtkMRMLTableNode:
    """Return the table of requested and measured changes, and of all that was measured."""
    measured = _measured(row, frames)
    columns = [
        (
            _with_unit(_("{title}: requested change").format(title=row.title), row.unit),
            row.unit,
            [frame.amount for frame in frames],
        ),
        (
            _with_unit(_("{title}: measured change").format(title=row.title), row.unit),
            row.unit,
            measured - _start_of(row, frames),
        ),
    ]
    documents = [tables.with_percent(frame.measurements) for frame in frames]
    known = {key for key, _title, _unit in tables.MEASURED}
    more = [(other.target, other.title, other.unit) for other in others if other.target not in known]
    for key, title, unit in (*tables.MEASURED, *more):
        if any(key in document for document in documents):
            values = [document.get(key, np.nan) for document in documents]
            columns.append((_with_unit(title, unit), unit, values))
    filled = [(title, unit, np.array(values, float)) for title, unit, values in columns]
    return tables.fill_table(scene, _("{name} table").format(name=name), filled)


def _chart(
    scene: slicer.vtkMRMLScene, name: str, row: DirectionRow, frames: Sequence[Frame]
) -> slicer.vtkMRMLPlotChartNode:
    """Return the plot of what was measured against the step, beside what was requested."""
    amounts = np.array([frame.amount for frame in frames])
    order = np.argsort(amounts)
    lines = {_("measured"): _measured(row, frames)[order]}
    start = _start_of(row, frames)
    if np.isfinite(start):
        lines[_("requested")] = start + amounts[order]
    return plots.line_plot(
        scene,
        name,
        lines,
        amounts[order],
        _with_unit(_("Requested change"), row.unit),
        _with_unit(row.title, row.unit),
    )
