"""What the worker replies, as nodes of the scene: used by the panels and by scripts alike."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from slicer.i18n import tr as _

from HAGANCore.imaging.provenance import SCAN_KEY
from HAGANCore.worker.wire import open_array, release

from . import display, hierarchy, latents, provenance, segments, tables, volumes
from .following import follow

FOLDER = "HAGANSlicer"
SCAN, DIFFERENCE = "HAGAN.scan", "HAGAN.difference"
"""Roles of the references from a reconstruction to its scan and to their difference."""


ARRAYS = ("reconstruction", "labels", "scan_labels", "difference")
"""Entries of an ``encode`` result that have files."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """The nodes of one result; None for what it has not got."""

    volume: Any
    """The synthetic volume."""
    latent: Any = None
    segmentation: Any = None
    table: Any = None
    """Volumes in mL and percent."""
    difference: Any = None
    errors: Any = None
    scan_segmentation: Any = None
    note: str = ""
    """What could not be met as it was asked for."""

    def all(self) -> list[Any]:
        """Return the nodes that there are."""
        nodes = (getattr(self, field.name) for field in fields(self) if field.name != "note")
        return [node for node in nodes if node is not None]


def add_generated(
    scene: Any, part: Mapping[str, Any], folder_item: int | None = None, table: Any = None
) -> Nodes:
    """Add one volume of a ``generate`` request: the volume, its latent, its segments, its row in a table.

    Args:
        scene: the vtkMRMLScene.
        part: the message; the files of its arrays are removed.
        folder_item: of the subject hierarchy; None is the folder of all results.
        table: of an earlier part, to add a row to; None adds a table where there are measurements.
    """
    wire = part["volume"]
    facts = wire["provenance"]
    pattern = _("{model} seed {seed} preview") if facts.get("preview") else _("{model} seed {seed}")
    name = provenance.unused_base(
        scene,
        pattern.format(model=facts.get("model", "model"), seed=part["seed"]),
        ["{name}", latents.latent_name("{name}")],
    )
    volume = _add_volume(scene, wire, name)
    latent = latents.add_latent(scene, part["latent"], latents.latent_name(name), volume)
    labels = part.get("labels")
    segmentation = _add_labels(scene, volume, labels, _("{name} segments").format(name=name), facts)
    if labels:
        table = _add_measurements(scene, table, _("Generated volumes"), volume.GetName(), labels)
    nodes = Nodes(volume=volume, latent=latent, segmentation=segmentation, table=table)
    return _filed(scene, nodes, folder_item)


def add_encoded(
    scene: Any, result: Mapping[str, Any], scan_node: Any, folder_item: int | None = None
) -> Nodes:
    """Add the result of an ``encode`` request: reconstruction, difference, latent, segments and tables.

    Args:
        scene: the vtkMRMLScene.
        result: the message; the files of its arrays are removed.
        scan_node: the scan that was encoded.
        folder_item: of the subject hierarchy; None is the folder of all results.
    """
    work = add_encoded_in_turns(scene, result, scan_node, folder_item)
    while True:
        try:
            next(work)
        except StopIteration as ended:
            nodes = cast(Nodes, ended.value)
            for segmentation in filter(None, (nodes.segmentation, nodes.scan_segmentation)):
                display.show_segmentation(segmentation)
            return nodes


def add_encoded_in_turns(
    scene: Any, result: Mapping[str, Any], scan_node: Any, folder_item: int | None = None
) -> Generator[None, None, Nodes]:
    """Do what :func:`add_encoded` does in pieces: a volume of 35 million voxels takes 0.1 s to copy alone.

    The segments stay hidden, or the views would draw them between two pieces. Where it is closed before its
    end, the nodes made so far stay and the files are removed all the same.
    """
    scan = scan_node.GetName()
    reconstruction, difference_of = _("{name} reconstruction"), _("{name} difference")
    base = provenance.unused_base(
        scene, scan, [reconstruction, difference_of, latents.latent_name("{name}"), _("{name} errors")]
    )
    wire = result["reconstruction"]
    facts = wire["provenance"]  # names the scan by its hash: attributes go into the headers of saved files
    of_scan = {key: facts[key] for key in (SCAN_KEY,) if key in facts}
    try:
        volume = _add_volume(scene, wire, reconstruction.format(name=base))
        yield
        latent = latents.add_latent(scene, result["latent"], latents.latent_name(base), volume)
        title = difference_of.format(name=base)
        difference = _add_difference(scene, result, scan_node, volume, title)
        provenance.mark(difference, facts, role="difference")
        volume.SetNodeReferenceID(SCAN, scan_node.GetID())
        volume.SetNodeReferenceID(DIFFERENCE, difference.GetID())
        errors = tables.error_table(scene, _("{name} errors").format(name=base), result["errors"])
        provenance.mark(errors, facts, role="errors")
        yield
        title = _("{name} reconstruction segments").format(name=base)
        segmentation = _add_labels(scene, volume, result.get("labels"), title, facts)
        _hide(segmentation)
        yield
        title = _("{name} segments").format(name=base)
        scan_segmentation = _add_labels(
            scene, scan_node, result.get("scan_labels"), title, of_scan, synthetic=False
        )
        _hide(scan_segmentation)
        table = _encoded_measurements(scene, result, scan_node, volume, _("{name} volumes").format(name=base))
        yield
        nodes = Nodes(
            volume=volume,
            latent=latent,
            segmentation=segmentation,
            table=table,
            difference=difference,
            errors=errors,
            scan_segmentation=scan_segmentation,
        )
        follow(scan_node, volume, (volume, difference), (segmentation, scan_segmentation))
        return _filed(scene, nodes, folder_item)
    finally:
        release(*(result.get(key) for key in ARRAYS))


def _hide(segmentation: Any) -> None:
    if segmentation is not None:
        display.show_segmentation(segmentation, visible=False)


def _encoded_measurements(
    scene: Any, result: Mapping[str, Any], scan_node: Any, volume_node: Any, title: str
) -> Any:
    """Return a table of the millilitres of scan and reconstruction; None where nothing was measured."""
    table = None
    for node, key in ((scan_node, "scan_labels"), (volume_node, "labels")):
        if result.get(key):
            table = _add_measurements(scene, table, title, node.GetName(), result[key])
    return table


def encoded_of(scene: Any, scan_node: Any) -> Nodes | None:
    """Return the newest reconstruction of a scan that is in the scene, with latent and difference."""
    found = scene.GetNodesByClass("vtkMRMLScalarVolumeNode")
    for index in reversed(range(found.GetNumberOfItems())):
        node = found.GetItemAsObject(index)
        if node.GetNodeReferenceID(SCAN) == scan_node.GetID():
            return Nodes(
                volume=node,
                latent=node.GetNodeReference(latents.REFERENCE),
                difference=node.GetNodeReference(DIFFERENCE),
            )
    return None


def show_step(
    scene: Any,
    result: Mapping[str, Any],
    name: str,
    nodes: Nodes | None = None,
    folder_item: int | None = None,
    surfaces: bool = True,
) -> Nodes:
    """Show the result of a ``step`` request: in new nodes, or quickly in those of the step before.

    Args:
        scene: the vtkMRMLScene.
        result: the message; the files of its arrays are removed.
        name: of new nodes.
        nodes: of an earlier step, to update in place; None adds new ones.
        folder_item: of the subject hierarchy, for new nodes; None is the folder of all results.
        surfaces: whether the closed surfaces follow too.
    """
    wire, labels = result["volume"], result.get("labels")
    if nodes is None:
        volume = _add_volume(scene, wire, name)
        latent = latents.add_latent(scene, result["latent"], latents.latent_name(name), volume)
        segmentation = _add_labels(
            scene, volume, labels, _("{name} segments").format(name=name), wire["provenance"], surfaces
        )
        return _filed(scene, Nodes(volume=volume, latent=latent, segmentation=segmentation), folder_item)
    volumes.update_volume(nodes.volume, open_array(wire), wire["geometry"])
    provenance.mark(nodes.volume, wire["provenance"], role="volume")
    latents.update_latent(nodes.latent, result["latent"])
    if labels and nodes.segmentation is not None:
        segments.show_labels(
            scene,
            nodes.volume,
            open_array(labels),
            labels["geometry"],
            "",
            nodes.segmentation,
            surfaces,
            labels.get("surfaces"),
        )
        provenance.mark(nodes.segmentation, wire["provenance"], role="segmentation")
    release(wire, labels)
    return nodes


def _add_volume(scene: Any, wire: Mapping[str, Any], name: str) -> Any:
    node = volumes.add_volume(scene, open_array(wire), wire["geometry"], name, wire.get("modality", "CT"))
    provenance.mark(node, wire.get("provenance", {}), role="volume")
    release(wire)
    return node


def _add_difference(
    scene: Any, result: Mapping[str, Any], scan_node: Any, volume_node: Any, name: str
) -> Any:
    """Add what the worker has computed, or compute it where the worker was not asked to."""
    wire = result.get("difference")
    if not wire:
        return volumes.difference_volume(scene, scan_node, volume_node, name)
    node = volumes.add_difference(scene, open_array(wire), wire["geometry"], name, wire["spread"])
    release(wire)
    return node


def _add_labels(
    scene: Any,
    volume_node: Any,
    labels: Mapping[str, Any] | None,
    name: str,
    facts: Mapping[str, Any],
    surfaces: bool = True,
    synthetic: bool = True,
) -> Any:
    if not labels:
        return None
    node = segments.show_labels(
        scene,
        volume_node,
        open_array(labels),
        labels["geometry"],
        name,
        surfaces=surfaces,
        ready=labels.get("surfaces"),
    )
    provenance.mark(node, facts, role="segmentation", synthetic=synthetic)
    release(labels)
    return node


def _add_measurements(scene: Any, table: Any, name: str, title: str, labels: Mapping[str, Any]) -> Any:
    if table is None:
        rows = [(title, labels["measurements"])]
        table = tables.measurements_table(scene, name, rows, remarks=[tables.remarks_text(labels)])
        provenance.mark(table, {}, role="measurements")
    else:
        tables.add_row(table, title, labels["measurements"], tables.remarks_text(labels))
    return table


def _filed(scene: Any, nodes: Nodes, folder_item: int | None) -> Nodes:
    item = hierarchy.folder(scene, FOLDER) if folder_item is None else folder_item
    hierarchy.put(scene, item, *nodes.all())
    return nodes
