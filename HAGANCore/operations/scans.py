"""A scan that a request names: read once, and named to whoever wants to look at it before the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .context import Context

if TYPE_CHECKING:
    from ..imaging.volume import Vector, Volume

SCAN = "The scan: DICOM folder, NIfTI, NRRD, MHA or MGZ, or a volume."
SPACING = "Voxel size of the scan in mm, where its file does not say it."
LABELS = "A label map to take lungs and bones from, or 'totalsegmentator' where that is installed."
MEANINGS = ("hagan", "totalsegmentator")
"""What the numbers of a label map may mean."""


def read_scan(scan: Path | Volume, spacing: Vector | None, wants_hash: bool) -> tuple[Volume, str]:
    """Return a request's scan, and its hash where it is wanted.

    Raises:
        HaganError: the file is no scan, or cannot be read.
    """
    from ..imaging.io import read_volume  # SimpleITK and nibabel: only where a file is read
    from ..imaging.provenance import scan_sha256

    volume = read_volume(scan, spacing=spacing) if isinstance(scan, Path) else scan
    return volume, scan_sha256(volume) if wants_hash else ""


def take_scan(scan: Path | Volume, spacing: Vector | None, context: Context) -> Volume:
    """Return a request's scan, after the context has been asked whether it may be used."""
    volume, sha256 = read_scan(scan, spacing, context.scan is not None)
    if context.scan is not None:
        context.scan(volume, sha256)
    return volume
