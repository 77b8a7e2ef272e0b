"""From a synthetic volume's own attributes back to the request that makes it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from HAGANCore.errors import HaganError

from .latents import latent_of
from .provenance import is_synthetic, provenance_of


@dataclass(frozen=True)
class Replay:
    """A request to the worker that makes a volume again, bit for bit on the same device and versions."""

    request: str
    """``generate`` or ``step``."""
    arguments: dict[str, Any]
    model_sha256: str
    """Of the model file that made the volume; another one makes another volume."""
    device: str
    precision: str


def replay_of(node: Any) -> Replay:
    """Return how to make the volume of a node again.

    Raises:
        HaganError: the volume is not synthetic, or its attributes do not say how it was made.
    """
    provenance = provenance_of(node)
    if not is_synthetic(node) or "model" not in provenance:
        raise HaganError(f"'{node.GetName()}' does not say how it was made: it is not a generated volume.")
    if "seed" in provenance:
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
        provenance.get("device", ""),
        provenance.get("precision", ""),
    )
