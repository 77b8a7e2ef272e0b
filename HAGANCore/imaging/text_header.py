"""What a header in plain text (NRRD, MetaImage) says of voxel size and orientation, before ITK fills gaps.

ITK takes 1 mm for a size that is missing, ``none`` or not a number, and the patient's axes for an orientation
that is not there; neither can be told afterwards.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .besides import header_lines
from .voxel_size import usable

Sizes = tuple[float | None, float | None, float | None]
_NRRD_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextPlace:
    """What the header says of the grid."""

    sizes: Sizes
    """Edge lengths of a voxel in mm (x, y, z); None where it says nothing."""
    oriented: bool
    """Whether it says which way the axes run."""


def text_place(path: Path) -> TextPlace:
    """Return what the header of an NRRD or MetaImage file says."""
    lines = header_lines(path)
    if lines and lines[0].startswith("NRRD"):
        return _of_nrrd(_fields(lines, ":"))
    return _of_meta(_fields(lines, "="))


def _of_nrrd(fields: dict[str, str]) -> TextPlace:
    if "space directions" in fields:
        lengths = [_length(vector) for vector in _NRRD_VECTOR.findall(fields["space directions"])]
        # An axis that is not of space, such as that of colours, is "none" too; three have to be there.
        whole = [length for length in lengths if usable(length)]
        if len(whole) >= 3:
            return TextPlace((whole[0], whole[1], whole[2]), oriented="space" in fields)
        return TextPlace(_three(lengths), oriented=False)
    return TextPlace(_three([_number(word) for word in fields.get("spacings", "").split()]), oriented=False)


def _of_meta(fields: dict[str, str]) -> TextPlace:
    said = fields.get("elementspacing") or fields.get("elementsize") or ""
    oriented = any(name in fields for name in ("transformmatrix", "rotation", "orientation"))
    return TextPlace(_three([_number(word) for word in said.split()]), oriented)


def _fields(lines: list[str], sign: str) -> dict[str, str]:
    """Return the entries by their names in small letters; of one that stands twice, the last."""
    found = {}
    for line in lines:
        name, _, value = line.partition(sign)
        name = name.strip().lower()
        found[name] = value.strip()
        if name == "elementdatafile":  # voxels begin
            break
    return found


def _length(vector: str) -> float | None:
    numbers = [_number(word) for word in vector.strip("()").split(",")]
    if any(number is None for number in numbers):
        return None
    return math.hypot(*(number for number in numbers if number is not None))


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _three(lengths: list[float | None]) -> Sizes:
    x, y, z = (*lengths[:3], None, None, None)[:3]
    return x, y, z
