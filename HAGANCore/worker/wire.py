"""Volumes on their way between two processes: an array in a file, the rest in the message.

Imports neither torch nor SimpleITK, so that a GUI can use it before they are installed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..files import written_whole
from ..imaging.volume import Geometry, Volume

PLACE = ("spacing", "origin", "direction")
"""What the geometry of a message holds; the shape is the array's."""
_VOLUME_KEYS = {"array", "geometry", "modality", "unit", "synthetic", "provenance"}


def array_to_wire(session: Path, array: npt.NDArray, geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Write an array (z, y, x) into the session folder; return its part of a message.

    Args:
        session: folder that both processes see.
        array: any number type.
        geometry: ``spacing``, ``origin`` and ``direction``, world (x, y, z) in LPS mm; more is left out.
    """
    path = session / f"{uuid.uuid4().hex}.npy"
    with written_whole(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
    return {"array": str(path), "geometry": {key: list(map(float, geometry[key])) for key in PLACE}}


def volume_to_wire(
    session: Path,
    array: npt.NDArray,
    geometry: Mapping[str, Any],
    *,
    modality: str = "CT",
    unit: str = "HU",
    synthetic: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a volume's array into the session folder; return the volume of a message.

    Whoever receives it calls :func:`release` when the array is no longer needed.
    """
    return {
        **array_to_wire(session, array, geometry),
        "modality": modality,
        "unit": unit,
        "synthetic": synthetic,
        "provenance": dict(provenance or {}),
    }


def open_array(wire: Mapping[str, Any]) -> npt.NDArray:
    """Return the array of a volume or label map, memory-mapped and read-only.

    Raises:
        HaganError: the file is missing or is not a 3D array of numbers.
    """
    try:
        array = np.load(str(wire["array"]), mmap_mode="r", allow_pickle=False)
    except KeyError:
        raise HaganError(f"A volume of a message must have an 'array'; found {sorted(wire)}.") from None
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise HaganError(f"The array '{wire['array']}' cannot be read ({reason}); send it again.") from None
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "iufb":
        shape = getattr(array, "shape", ())
        raise HaganError(f"A volume must be a 3D array of numbers; '{wire['array']}' has shape {shape}.")
    return array


def release(*wires: Mapping[str, Any] | None) -> None:
    """Remove the files of volumes, label maps and their surfaces that are not needed any more.

    None is passed over.

    An array that is still open stays usable, except on Windows, where the file then stays until the end of
    the session.
    """
    for wire in wires:
        surfaces = (wire or {}).get("surfaces") or {}
        paths = [(wire or {}).get("array"), surfaces.get("vertices"), surfaces.get("triangles")]
        for path in filter(None, paths):
            with suppress(OSError):
                Path(str(path)).unlink(missing_ok=True)


def volume_from_wire(wire: Mapping[str, Any]) -> Volume:
    """Return the volume of a message, its array memory-mapped: ``array`` and ``geometry``, or ``file``.

    Raises:
        HaganError: a part is missing, unknown, or cannot be read.
    """
    if "file" in wire:
        _require_only(wire, {"file"})
        from ..imaging.io import read_volume  # SimpleITK and nibabel: only where a file is read

        return read_volume(str(wire["file"]))
    _require_only(wire, _VOLUME_KEYS)
    array = open_array(wire)
    geometry = wire.get("geometry")
    if not isinstance(geometry, Mapping):
        raise HaganError(f"A volume's 'geometry' must be an object; found {geometry!r}.")
    _require_only(geometry, {*PLACE, "shape"})
    place = Geometry.from_dict({**geometry, "shape": array.shape})
    if min(place.spacing) <= 0 or not np.isfinite([*place.spacing, *place.origin, *place.direction]).all():
        raise HaganError(f"A volume's spacing must be above 0 mm; found {list(place.spacing)}.")
    meta = {key: wire[key] for key in ("modality", "unit", "synthetic", "provenance") if wire.get(key)}
    return Volume(array, place, meta)


def wire_of(session: Path, volume: Volume) -> dict[str, Any]:
    """Return an engine's volume as the volume of a message."""
    meta = volume.meta
    return volume_to_wire(
        session,
        volume.array,
        volume.geometry.to_dict(),
        modality=str(meta.get("modality", "CT")),
        unit=str(meta.get("unit", "HU")),
        synthetic=bool(meta.get("synthetic", False)),
        provenance=meta.get("provenance"),
    )


def _require_only(wire: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(wire) - known):
        raise HaganError(f"A volume of a message has no entry '{unknown[0]}'; known are {sorted(known)}.")
