"""Write volumes and label maps to files for a GUI, which cannot wait while 256³ voxels are compressed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import HaganError
from .job import Job
from .wire import release, volume_from_wire


def export(job: Job) -> dict[str, Any]:
    """Write each of ``volumes``, ``{"volume": volume, "file": path}``, with its provenance.

    The arrays are removed from the session folder when they are written.
    """
    from ..volumes.io import write_volume  # SimpleITK and nibabel: only where a file is written

    wanted = job.arguments["volumes"]
    files: list[str] = []
    try:
        for index, item in enumerate(wanted):
            if set(item) != {"volume", "file"}:
                raise HaganError(f"Each volume to export needs 'volume' and 'file'; found {sorted(item)}.")
            path = Path(str(item["file"]))
            job.progress(index / len(wanted), f"writing {path.name}")
            files.append(str(write_volume(volume_from_wire(item["volume"]), path)))
    finally:
        release(*(item["volume"] for item in wanted if isinstance(item.get("volume"), dict)))
    return {"files": files}
