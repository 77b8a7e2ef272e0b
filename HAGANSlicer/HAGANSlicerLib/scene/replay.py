"""From a synthetic volume's own attributes back to the request that makes it again, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.worker.wire import open_array

from .latents import latent_of
from .provenance import is_synthetic, plain_name, provenance_of
from .results import Nodes, show_step
from .volumes import volume_of


@dataclass(frozen=True)
class Replay:
    """A request to the worker that makes a volume again, bit for bit on the same device and versions."""

    request: str
    """``generate`` or ``step``."""
    arguments: dict[str, Any]
    model_sha256: str
    """Of the model file that made the volume; another one makes another volume."""
    networks_sha256: str
    """Of its weights, which alone decide; empty where the volume's latent was deleted."""
    conditions: dict[str, str]
    """Device, precision and versions: voxels can differ by rounding where they do."""

    @property
    def model(self) -> str:
        """The name of the model that made the volume."""
        return str(self.arguments["model"])


@dataclass(frozen=True)
class MadeAgain:
    """A volume that was made again, compared with the first one."""

    nodes: Nodes
    """The new volume and its latent."""
    identical: bool
    """Whether every voxel is the same."""
    text: str
    """The comparison in a line, and what was different when the first one was made."""


def replay_of(node: Any) -> Replay:
    """Return how to make the volume of a node again.

    Raises:
        HaganError: the volume is not synthetic, or its attributes do not say how it was made.
    """
    provenance = provenance_of(node)
    if not is_synthetic(node) or "model" not in provenance:
        raise HaganError(
            _("'{name}' does not say how it was made: it is not a generated volume.").format(
                name=node.GetName()
            )
        )
    if "seed" in provenance and "steps" not in provenance:
        arguments = {
            "model": provenance["model"],
            "seed": provenance["seed"],
            "count": 1,
            "class": provenance.get("class"),
            "truncation": provenance.get("truncation", 1.0),
            "preview": provenance.get("preview", False),
        }
        request = "generate"
    else:
        arguments = {
            "model": provenance["model"],
            "latent": latent_of(node),
            "steps": [],
            "quality": "preview" if provenance.get("preview") else "full",
            "on_scan": provenance.get("on_scan", False),
        }
        request = "step"
    return Replay(
        request,
        arguments,
        provenance.get("model_sha256", ""),
        _networks_of(node),
        _conditions(provenance),
    )


def can_be_made_again(node: Any) -> bool:
    """Say whether :func:`replay_of` finds how."""
    try:
        replay_of(node)
    except HaganError:
        return False
    return True


def require_model(node: Any, again: Replay, model: Mapping[str, Any]) -> None:
    """Refuse another model than the one that made the volume.

    Args:
        node: the volume.
        again: how it is made again.
        model: what ``load_model`` says of the model to make it with.

    Raises:
        HaganError: the file is another one, and so are its weights.
    """
    if again.model_sha256 == model["sha256"] or again.networks_sha256 == model["networks_sha256"]:
        return
    raise HaganError(
        _(
            "'{name}' was made by the model '{model}' (SHA-256 {sha256}…), not by this "
            "'{other}' ({other_sha256}…), which would make another volume; use that one."
        ).format(
            name=node.GetName(),
            model=again.model,
            sha256=again.model_sha256[:12],
            other=model["name"],
            other_sha256=model["sha256"][:12],
        )
    )


def add_again(scene: Any, node: Any, again: Replay, result: Mapping[str, Any]) -> MadeAgain:
    """Add the volume that was made again, and compare it with the first one.

    Args:
        scene: the vtkMRMLScene.
        node: the first volume.
        again: how it was made again.
        result: the part of ``generate`` or the result of ``step``; the files of its arrays are removed.
    """
    name, wire = node.GetName(), result["volume"]
    before, now = volume_of(node)[0], open_array(wire)
    identical = before.shape == now.shape and bool(np.array_equal(before, now))
    if identical:
        text = _("'{name}' was made again: every voxel is the same.").format(name=name)
    elif before.shape != now.shape:
        text = _(
            "'{name}' was made again, but has been cropped or resampled since and cannot be compared."
        ).format(name=name)
    else:
        apart = np.abs(before.astype(np.float32) - now)
        text = (
            _("'{name}' was made again: {count} of {total} voxels differ, by at most {most} {unit}")
            .format(
                name=name,
                count=f"{np.count_nonzero(apart):,}",
                total=f"{apart.size:,}",
                most=f"{apart.max():g}",
                unit=wire["unit"],
            )
            .rstrip()
            + "."
        )
    text += _change(again.conditions, _conditions(wire["provenance"]))
    nodes = show_step(scene, {**result, "labels": None}, _("{name} again").format(name=plain_name(node)))
    return MadeAgain(nodes, identical, text)


def _networks_of(node: Any) -> str:
    try:
        return str(latent_of(node)["model"].get("networks_sha256", ""))
    except HaganError:  # deleted; the seed is enough
        return ""


def _conditions(provenance: Mapping[str, Any]) -> dict[str, str]:
    named = {name: provenance.get(name, "") for name in ("device", "precision")}
    return {name: str(value) for name, value in {**named, **provenance.get("versions", {})}.items() if value}


def _change(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return what is different this time as a sentence; nothing where nothing is."""
    changed = [name for name, value in before.items() if now.get(name) != value]
    if not changed:
        return ""
    first, second = (
        ", ".join(f"{name} {facts.get(name, 'unknown')}" for name in changed) for facts in (before, now)
    )
    sentence = _("It was first made with {first}; this time with {second}.")
    return " " + sentence.format(first=first, second=second)
