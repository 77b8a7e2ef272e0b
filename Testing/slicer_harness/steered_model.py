"""A model with one direction, for the tests of Explore: the demonstration model with its lungs' alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from plain_model import write_plain_model

DIRECTION = "lung volume"
RANGE_ML = 600.0


def write_steered_model(path: Path, range_ml: float = RANGE_ML) -> Path:
    """Write the demonstration model with its direction for the lungs alone, over a range of ±``range_ml``."""
    from HAGANCore.directions.direction import directions_of
    from HAGANCore.directions.store import add_directions
    from HAGANCore.models.modelfile import read_model, resolve_model

    shipped = directions_of(read_model(resolve_model("demo")))[DIRECTION]
    add_directions(write_plain_model(path), [replace(shipped, range=(-range_ml, range_ml))])
    return path
