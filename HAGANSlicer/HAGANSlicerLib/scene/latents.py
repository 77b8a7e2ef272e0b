"""Latents as text nodes: kept in the scene, saved and loaded with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.imaging.provenance import SCAN_KEY

from .provenance import mark, plain_name, role_of

ROLE = "latent"
REFERENCE = "HAGAN.latent"
"""Role of the reference from a volume to its latent."""
FORMAT = "hagan-latent"


def add_latent(scene: Any, document: Mapping[str, Any], name: str, volume_node: Any = None) -> Any:
    """Add a latent to the scene.

    Args:
        scene: the vtkMRMLScene.
        document: what a ``*.latent.json`` holds.
        name: of the node.
        volume_node: the volume that the latent stands for; it will refer to the latent.

    Returns:
        The vtkMRMLTextNode.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", name)
    # A file of its own, so that the latent can be taken out of a saved scene and read by any HAGANCore.
    node.SetForceCreateStorageNode(slicer.vtkMRMLTextNode.CreateStorageNodeAlways)
    update_latent(node, document)
    if volume_node is not None:
        volume_node.SetNodeReferenceID(REFERENCE, node.GetID())
    return node


def latent_name(name: str) -> str:
    """Return what the latent of something is called."""
    return _("{name} latent").format(name=name)


def base_name(node: Any) -> str:
    """Return the name of what a latent belongs to, whatever the language; other names as they are."""
    before, after = latent_name("\n").split("\n")
    return plain_name(node).removeprefix(before).removesuffix(after)


def update_latent(node: Any, document: Mapping[str, Any]) -> None:
    """Replace the latent of a node."""
    if document.get("format") != FORMAT:
        raise HaganError(
            _("This is not a latent: its format is {found}, not '{needed}'.").format(
                found=repr(document.get("format")), needed=FORMAT
            )
        )
    node.SetText(json.dumps(document, ensure_ascii=False, allow_nan=False))
    model = document["model"]
    mark(
        node,
        {"model": model["name"], "model_sha256": model["sha256"], "origin": document["origin"]},
        role=ROLE,
        synthetic=False,  # numbers, not a picture
    )


def latent_of(node: Any) -> dict[str, Any]:
    """Return the latent of a text node, or the latent that a volume node refers to.

    Raises:
        HaganError: there is none, or its text is damaged.
    """
    if node is not None and not node.IsA("vtkMRMLTextNode"):
        node = node.GetNodeReference(REFERENCE)
    if node is None:
        raise HaganError(_("There is no latent here; generate a volume or encode a scan first."))
    try:
        document = json.loads(node.GetText() or "")
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise HaganError(
            _("The text '{name}' is not a latent; choose another one.").format(name=node.GetName())
        )
    return document


def scan_of(node: Any) -> str:
    """Return the beginning of the hash of the scan that a latent was found for; empty for one from a seed.

    "unknown" where a scan was encoded, and the latent does not say which.
    """
    try:
        document = latent_of(node)
    except HaganError:
        return "unknown"
    sha256 = str((document.get("facts") or {}).get(SCAN_KEY, ""))
    return sha256[:12] or ("unknown" if document["origin"] in ("encode", "refine") else "")


def latent_nodes(scene: Any) -> list[Any]:
    """Return the text nodes of the scene that hold latents."""
    found = scene.GetNodesByClass("vtkMRMLTextNode")
    nodes = [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
    return [node for node in nodes if role_of(node) == ROLE]
