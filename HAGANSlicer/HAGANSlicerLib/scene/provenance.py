"""Where a node comes from, in its own attributes ``HAGAN.*``, which are saved with the scene."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "HAGAN."
SYNTHETIC = "HAGAN.synthetic"
"""``1`` for what is synthetic, ``0`` for what was measured on a real scan."""
ROLE = "HAGAN.role"
"""What the node is: ``volume``, ``segmentation``, ``latent``, ``measurements``, …"""
SUFFIX = " (synthetic)"
_OWN = (SYNTHETIC, ROLE)


def mark(node: Any, provenance: Mapping[str, Any], *, role: str = "", synthetic: bool = True) -> None:
    """Write the provenance into the node's attributes, each value as JSON, and say so in its name.

    Args:
        node: any MRML node of a scene.
        provenance: JSON-able values by name, as the worker gives with each volume.
        role: what the node is.
        synthetic: adds "(synthetic)" to the end of the name, which stays unique in the scene.
    """
    modified = node.StartModify()
    try:
        for name in provenance_of(node).keys() - provenance.keys():
            node.RemoveAttribute(PREFIX + name)
        for name, value in provenance.items():
            node.SetAttribute(PREFIX + name, json.dumps(value, ensure_ascii=True))
        node.SetAttribute(SYNTHETIC, str(int(synthetic)))
        if role:
            node.SetAttribute(ROLE, role)
        if synthetic:
            node.SetName(synthetic_name(node))
    finally:
        node.EndModify(modified)


def provenance_of(node: Any) -> dict[str, Any]:
    """Return what :func:`mark` wrote; empty for a node that this module did not make."""
    provenance = {}
    for attribute in node.GetAttributeNames():
        if attribute.startswith(PREFIX) and attribute not in _OWN:
            try:
                provenance[attribute[len(PREFIX) :]] = json.loads(node.GetAttribute(attribute))
            except ValueError:  # written by hand or by another module
                continue
    return provenance


def is_synthetic(node: Any) -> bool:
    """Say whether the node shows something that no patient had."""
    return node is not None and node.GetAttribute(SYNTHETIC) == "1"


def role_of(node: Any) -> str:
    """Return what the node is for this module; empty for a node that it did not make."""
    return node.GetAttribute(ROLE) or ""


def plain_name(node: Any) -> str:
    """Return the node's name without "(synthetic)", to build other names from."""
    return str(node.GetName() or "").removesuffix(SUFFIX)


def synthetic_name(node: Any) -> str:
    """Return the node's name, ending in "(synthetic)" once, and unlike that of any other node."""
    base, scene = plain_name(node), node.GetScene()
    name, number = base + SUFFIX, 1
    while scene is not None and any(other is not node for other in _named(scene, name)):
        number += 1
        name = f"{base} {number}{SUFFIX}"
    return name


def unused_base(scene: Any, base: str, patterns: Iterable[str]) -> str:
    """Return ``base``, numbered where a result of that name is in the scene already.

    All nodes of a result are named after one base, so that the second encoding of a scan has "scan 2 latent"
    beside "scan 2 reconstruction", and not a number of its own for each kind of node.

    Args:
        scene: the vtkMRMLScene.
        base: what the result is called.
        patterns: the names of its nodes, with ``{name}`` for the base.
    """
    patterns, candidate, number = list(patterns), base, 1
    while any(
        _named(scene, name) or _named(scene, name + SUFFIX)
        for name in (pattern.format(name=candidate) for pattern in patterns)
    ):
        number += 1
        candidate = f"{base} {number}"
    return candidate


def _named(scene: Any, name: str) -> list[Any]:
    found = scene.GetNodesByName(name)
    return [found.GetItemAsObject(index) for index in range(found.GetNumberOfItems())]
