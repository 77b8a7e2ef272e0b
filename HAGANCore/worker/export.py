"""Write volumes and label maps to files for a GUI, which cannot wait while 256³ voxels are compressed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import HaganError
from .job import Job
from .wire import release, volume_from_wire


def export(session: Path, job: Job) -> dict[str, Any]:
    """Write each of ``volumes``, ``{"volume": volume, "file": path}``, with its provenance.

    All places are looked at before the first is written: a file that this project did not make stays, as it
    does for the command line. The arrays are removed from the session folder at the end; one that lies
    elsewhere belongs to somebody else and stays.

    Raises:
        HaganError: an entry is incomplete, a file of someone else is in the way, two volumes have one
            file, or a place cannot be written.
    """
    from ..imaging.io import write_volume  # SimpleITK and nibabel: only where a file is written

    wanted = job.arguments["volumes"]
    files: list[str] = []
    try:
        places = _places(wanted)
        for index, (item, path) in enumerate(zip(wanted, places, strict=True)):
            job.progress(index / len(wanted), f"writing {path.name}")
            files.append(str(write_volume(volume_from_wire(item["volume"]), path)))
    finally:
        release(*(item["volume"] for item in wanted if _is_handed_over(item, session)))
    return {"files": files}


def _places(wanted: list[dict[str, Any]]) -> list[Path]:
    from ..operations.outputs import require_own_volume

    places: list[Path] = []
    for item in wanted:
        if set(item) != {"volume", "file"}:
            raise HaganError(f"Each volume to export needs 'volume' and 'file'; found {sorted(item)}.")
        path = Path(str(item["file"]))
        if path in places:
            raise HaganError(f"Two volumes are to be written to '{path}'; give each a file of its own.")
        require_own_volume(path, volume_from_wire(item["volume"]).meta.get("unit") == "label", "file")
        places.append(path)
    return places


def _is_handed_over(item: dict[str, Any], session: Path) -> bool:
    volume = item.get("volume")
    if not isinstance(volume, dict):
        return False
    return Path(str(volume.get("array", ""))).resolve().parent == session.resolve()
