"""Surfaces on their way between two processes: two arrays in files, and which part of them is which.

Imports neither torch nor SimpleITK, as :mod:`.wire`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..files import written_whole

if TYPE_CHECKING:
    from ..anatomy.surfaces import Surface


def surfaces_to_wire(session: Path, surfaces: Sequence[Surface]) -> dict[str, Any]:
    """Write surfaces into the session folder; return their part of a message.

    ``vertices`` is a file with (n, 6) float32: x, y, z in LPS mm, and the normal; ``triangles`` one with
    (m, 3) int32, indices within their own part; ``parts`` says for each label which rows are its.
    """
    parts, vertex, triangle = [], 0, 0
    for surface in surfaces:
        ends = vertex + len(surface.points), triangle + len(surface.triangles)
        parts.append(
            {"label": surface.label, "vertices": [vertex, ends[0]], "triangles": [triangle, ends[1]]}
        )
        vertex, triangle = ends
    rows = [np.hstack([surface.points, surface.normals]) for surface in surfaces]
    return {
        "vertices": _saved(session, np.concatenate(rows).astype(np.float32, copy=False)),
        "triangles": _saved(session, np.concatenate([surface.triangles for surface in surfaces])),
        "parts": parts,
    }


def open_surfaces(wire: Mapping[str, Any]) -> Iterator[tuple[int, npt.NDArray, npt.NDArray]]:
    """Yield label, vertices (n, 6) and triangles (m, 3) of each part, memory-mapped and read-only.

    Raises:
        HaganError: a file is missing or is no array of that shape.
    """
    vertices, triangles = _opened(wire["vertices"], 6), _opened(wire["triangles"], 3)
    for part in wire["parts"]:
        yield int(part["label"]), vertices[slice(*part["vertices"])], triangles[slice(*part["triangles"])]


def _saved(session: Path, array: npt.NDArray) -> str:
    path = session / f"{uuid.uuid4().hex}.npy"
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
    return str(path)


def _opened(path: str, columns: int) -> npt.NDArray:
    try:
        # An array without rows cannot be mapped, and need not be.
        array = np.load(path, mmap_mode="r" if Path(path).stat().st_size > 128 else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise HaganError(f"The surfaces '{path}' cannot be read ({reason}); ask for them again.") from None
    if array.ndim != 2 or array.shape[1] != columns:
        raise HaganError(f"Surfaces must have {columns} columns; '{path}' has the shape {array.shape}.")
    return array
