"""How a recorded range gets into the scene: one frame after the other, each in a turn of the event loop."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
from slicer.i18n import tr as _

from HAGANCore.worker.protocol import open_array, release

from ...scene import display, hierarchy, latents, plots, provenance, segments, sequences, tables, volumes
from .nodes import folder_of
from .range import BROWSER_ROLE, CHART_ROLE, TABLE_ROLE, RecordedRange
from .rows import DirectionRow


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One volume of a range, as the worker made it: its arrays are files still."""

    amount: float
    volume: dict[str, Any]
    """Of the message."""
    labels: dict[str, Any] | None
    """Of the message, with surfaces."""
    measurements: dict[str, float]

    @property
    def index(self) -> str:
        """The amount as a sequence's index."""
        return f"{self.amount:g}"


def release_frames(frames: Sequence[Frame]) -> None:
    """Remove the files of frames."""
    release(*(wire for frame in frames for wire in (frame.volume, frame.labels)))


def store_in_turns(
    scene: slicer.vtkMRMLScene,
    start: slicer.vtkMRMLTextNode,
    row: DirectionRow,
    frames: Sequence[Frame],
    others: Sequence[DirectionRow] = (),
) -> Generator[None, None, RecordedRange]:
    """Put a range into the scene, piece by piece; it becomes the latest recording of its start.

    The files of the frames are removed. Closed before its end, it takes out again what it has put in.

    Args:
        scene: the vtkMRMLScene.
        start: the latent that it was recorded from.
        row: the direction along which.
        frames: one for each volume.
        others: directions whose targets the table has as well, where they were measured.
    """
    name = f"{latents.base_name(start)} {row.name}"
    made: list[Any] = []
    try:
        volume, sequence, segmentation, labelled = _begun(scene, name, row, frames[0])
        made += [node for node in (volume, sequence, segmentation, labelled) if node is not None]
        for frame in frames:
            _fill_volume(volume, frame)
            sequence.SetDataNodeAtValue(volume, frame.index)
            yield
            if labelled is not None:
                _fill_segmentation(scene, segmentation, volume, frame)
                labelled.SetDataNodeAtValue(segmentation, frame.index)
                yield
        for node in (volume, segmentation):  # before those that play: they get the same names
            if node is not None:
                scene.RemoveNode(node)
        browser = sequences.browse(scene, sequence)
        nodes = [sequence, browser, browser.GetProxyNode(sequence)]
        if labelled is not None:
            sequences.browse(scene, labelled, browser)
            nodes += [labelled, browser.GetProxyNode(labelled)]
        table, chart = _table(scene, name, row, frames, others), _chart(scene, name, row, frames)
        hierarchy.put(scene, folder_of(scene, start), *nodes, table)
        for role, node in ((BROWSER_ROLE, browser), (TABLE_ROLE, table), (CHART_ROLE, chart)):
            start.SetNodeReferenceID(role, node.GetID())
        made.clear()
        return RecordedRange(scene, start, browser)
    finally:
        release_frames(frames)
        for node in made:
            scene.RemoveNode(node)  # one that has gone with its scene is passed over


def _begun(
    scene: slicer.vtkMRMLScene, name: str, row: DirectionRow, first: Frame
) -> tuple[Any, Any, Any, Any]:
    """Return two nodes to be copied for each frame, and the sequences they go to, each behind its node."""
    wire, labels = first.volume, first.labels
    volume = volumes.add_volume(scene, open_array(wire), wire["geometry"], name, wire["modality"])
    sequence = sequences.new_sequence(scene, name, row.unit, row.name)
    if labels is None:
        return volume, sequence, None, None
    title = _("{name} segments").format(name=name)
    segmentation = segments.show_labels(
        scene, volume, open_array(labels), labels["geometry"], title, surfaces=False
    )
    display.show_segmentation(segmentation, visible=False)  # not drawn between two turns
    return volume, sequence, segmentation, sequences.new_sequence(scene, title, row.unit, row.name)


def _fill_volume(node: Any, frame: Frame) -> None:
    wire = frame.volume
    volumes.update_volume(node, open_array(wire), wire["geometry"])
    facts = {**wire["provenance"], "modality": wire["modality"]}
    provenance.mark(node, facts, role="volume")


def _fill_segmentation(scene: slicer.vtkMRMLScene, node: Any, volume: Any, frame: Frame) -> None:
    labels = frame.labels or {}
    segments.show_labels(
        scene, volume, open_array(labels), labels["geometry"], "", node, ready=labels["surfaces"]
    )
    provenance.mark(node, frame.volume["provenance"], role="segmentation")


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
    filled: list[tables.Column] = [(title, unit, np.array(values, float)) for title, unit, values in columns]
    filled.append((_("Remarks"), "", [tables.remarks_text(frame.labels or {}) for frame in frames]))
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
