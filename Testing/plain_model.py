"""The demonstration model without the directions it is shipped with."""

from __future__ import annotations

import shutil
from pathlib import Path


def write_plain_model(path: Path) -> Path:
    """Write the demonstration model without directions; returns the path."""
    from HAGANCore.directions.store import remove_direction
    from HAGANCore.models.modelfile import read_description, resolve_model

    demo = resolve_model("demo")
    shutil.copyfile(demo, path)
    for direction in read_description(demo).directions:
        remove_direction(path, direction["name"])
    return path
