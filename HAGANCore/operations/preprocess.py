"""Preprocess: scans become a cohort for training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HaganError
from ..fields import check_fields, flag, given, text, whole
from .context import Begun, Context
from .scans import SPACING

if TYPE_CHECKING:
    from ..cohorts.build import BuildReport
    from ..cohorts.scans import Scan
    from ..imaging.volume import Vector
    from ..preparation.profiles import Profile

SIZES = (32, 64, 128, 256, 512)
"""Edges of a cohort's volumes in voxels."""


@dataclass(frozen=True, kw_only=True)
class PreprocessRequest:
    """Which scans to prepare, and how.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    source: Path | tuple[Scan, ...] = given("Folder with scans, a table of them (.csv), or the scans.")
    out: Path = given("Folder of the cohort.")
    profile: str = text("How scans are prepared: thorax-ct-fov, thorax-ct or brain-mr.", "thorax-ct-fov")
    size: int = whole(128, "Voxels along each edge.", least=min(SIZES), most=max(SIZES))
    labels: Path | None = given("Table (.csv) with labels and covariates of a folder's scans.", None)
    spacing: Vector | None = given(SPACING, None)
    jobs: int | None = given("Number of processes; without it, one per core.", None)
    allow_synthetic: bool = flag(
        False, "Also take generated volumes as scans; by default, they are left out."
    )

    def __post_init__(self) -> None:
        from ..preparation.profiles import profile_named

        check_fields(self, "the request")
        profile_named(self.profile)  # an unknown one is an error that lists the names


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessed:
    """What has become of the scans."""

    scans: tuple[Scan, ...]
    profile: Profile
    report: BuildReport


def run(request: PreprocessRequest, context: Context) -> Preprocessed:
    """Build the cohort, or go on with it; the beginning of the work on the scans is a part.

    Raises:
        HaganError: there are no scans, or the folder holds another cohort or cannot be written.
    """
    from ..cohorts.build import build_cohort
    from ..preparation.profiles import profile_named
    from ..processes import available_cores

    profile = profile_named(request.profile)
    context.progress(0.0, "looking for scans")
    scans = _scans(request)
    jobs = min(request.jobs or available_cores(), len(scans))
    said = f"{len(scans)} scans → {request.size}³ voxels, profile {profile.name}, {jobs} at once"
    context.part(Begun(text=said, fraction=0.0))
    report = build_cohort(
        scans,
        request.out,
        profile,
        request.size,
        jobs,
        context.progress,
        allow_synthetic=request.allow_synthetic,
        spacing=request.spacing,
    )
    return Preprocessed(scans=tuple(scans), profile=profile, report=report)


def _scans(request: PreprocessRequest) -> list[Scan]:
    from ..cohorts.scans import add_labels, find_scans, read_scan_table

    source = request.source
    if not isinstance(source, Path):
        return list(source)
    if source.is_dir():
        scans = find_scans(source, leave_out=request.out)
        return add_labels(scans, source, request.labels) if request.labels else scans
    if not source.exists():
        raise HaganError(f"There is no folder or table '{source}'; check the path.")
    if source.suffix.lower() != ".csv":
        raise HaganError(f"'{source}' is neither a folder nor a .csv table; give the folder that holds it.")
    if request.labels:
        raise HaganError("A table holds its own labels; give --labels only with a folder.")
    return read_scan_table(source)
