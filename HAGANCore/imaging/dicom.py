"""DICOM: find the series in a folder, choose one, read it slice by slice with its true positions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import HaganError
from .dicom_facts import Facts, read_facts
from .dicom_stack import Plane, stack_of, volume_of
from .itk import from_itk, quiet_libraries
from .volume import Vector, Volume
from .voxel_size import require_size, with_spacing

_UID, _NUMBER, _DESCRIPTION, _MODALITY = "0020|000e", "0020|0011", "0008|103e", "0008|0060"
_SOP = "0008|0018"
_CT_OR_MR = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[24](\.1)?")
"""The class of a file that should hold an image of a scanner."""
_CLASS = b"1.2.840.10008."
"""How the class of every DICOM file begins, also of those that are no images: a report, a DICOMDIR."""
_SUFFIXES = (".dcm", ".dicom", ".ima")
_MOST_NAMES = 5
"""Files that are named in a message; of more the number is said."""
_AXIAL = 0.8
"""A series is axial when its slice normal is within 37° of the body's axis (a tilted gantry still is)."""


@dataclass(frozen=True, slots=True)
class _Slice:
    path: Path
    tags: dict[str, str]
    size: tuple[int, ...]
    components: int
    direction: tuple[float, ...]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]
    facts: Facts

    @property
    def frames(self) -> int:
        return self.size[2]


@dataclass(frozen=True, slots=True)
class Series:
    """The images of one DICOM series that lie on one stack."""

    slices: tuple[_Slice, ...]

    @property
    def uid(self) -> str:
        """The series instance UID."""
        return self.slices[0].tags.get(_UID, "")

    @property
    def number(self) -> str:
        """The series number, as shown by scanners and viewers."""
        return self.slices[0].tags.get(_NUMBER, "")

    @property
    def modality(self) -> str:
        """``CT``, ``MR``, …"""
        return self.slices[0].tags.get(_MODALITY, "")

    @property
    def description(self) -> str:
        """The operator's words for it."""
        return " ".join(self.slices[0].tags.get(_DESCRIPTION, "").split())

    @property
    def count(self) -> int:
        """Number of slices."""
        return sum(item.frames for item in self.slices)

    @property
    def axial(self) -> bool:
        """Whether the slices lie across the body."""
        return abs(self.slices[0].direction[8]) > _AXIAL

    @property
    def voxels(self) -> int:
        """Number of voxels in all slices."""
        return self.count * self.slices[0].size[0] * self.slices[0].size[1]

    def __str__(self) -> str:
        x, y = self.slices[0].size[:2]
        plane = "axial" if self.axial else "not axial"
        return (
            f"{self.number or '?'} '{self.description}' ({self.modality}, {plane}, {x} × {y} × {self.count})"
        )


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM (part 10: the letters DICM after 128 bytes)."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def find_series(folder: Path) -> list[Series]:
    """Return the image series below a folder, largest axial one first; what is no image is left out."""
    return _sorted_out(_files(folder, recursive=True))[0]


def read_dicom(path: Path, series: str | None = None, spacing: Vector | None = None) -> Volume:
    """Read one series of a folder, or the series that a single file belongs to.

    ``series`` is its UID, number or a part of its description; without it the largest axial one is taken
    and ``meta["notes"]`` lists the others, and files that should be images but cannot be read.
    ``spacing`` is the voxel size that the user gives, in mm along a row, along a column and between slices.
    See :func:`read_series`.

    Raises:
        HaganError: no series, or none as asked for, and as :func:`read_series`.
    """
    files = _files(path, recursive=True) if path.is_dir() else _files(path.parent, recursive=False)
    found, damaged = _sorted_out(files)
    if path.is_file() and path in {one.path for one in damaged}:
        raise _damaged(path)
    if path.is_file() and series is None:
        found = [one for one in found if path in {item.path for item in one.slices}]
    if not found and damaged:
        raise _damaged(damaged[0].path)
    if not found:
        raise HaganError(f"'{path}' holds no readable DICOM images; give the folder of one examination.")
    chosen = _choose(path, found, series)
    for torn in damaged:
        if torn.series == chosen.uid:
            raise _damaged(torn.path)
    volume = read_series(chosen, spacing)
    volume.meta["source"] = str(path)
    notes = volume.meta.pop("notes", [])
    if len(found) > 1:
        others = "; ".join(str(one) for one in found if one is not chosen)
        notes = [f"{len(found)} series found, took {chosen}. Others: {others}.", *notes]
    notes += _skipped([torn.path for torn in damaged])
    notes += _unreadable(chosen, {torn.path for torn in damaged})
    if notes:
        volume.meta["notes"] = notes
    return volume


def read_series(series: Series, spacing: Vector | None = None) -> Volume:
    """Read a series as one volume; values in HU for CT.

    Slices lie at their true positions: where those are uneven, the volume is interpolated to even distances.
    ``meta`` has ``modality``, ``series`` (UID), ``unit`` for CT, and ``slice_gaps_mm``: smallest, median and
    largest distance between neighbouring slices. ``spacing`` as in :func:`read_dicom`.

    Raises:
        HaganError: colour, no voxel size, no positions, several images at one, a tilted gantry, a hole
            between slices, a slice that contradicts the others, a damaged file.
    """
    first = series.slices[0]
    if first.components > 1:
        raise HaganError(
            f"The DICOM series {series} holds colour images ({first.components} values in each voxel); "
            "choose a series of the scanner's own images."
        )
    for item in series.slices:
        _require_pixels(item)
    volume = _one_block(series, spacing) if _is_block(series) else _stacked(series, spacing)
    volume.meta.update(source=str(first.path.parent), modality=series.modality, series=series.uid)
    if series.modality == "CT":
        volume.meta["unit"] = "HU"
    return volume


def _is_block(series: Series) -> bool:
    """Whether one file holds images whose distance it says by another way than by their positions."""
    facts = series.slices[0].facts
    placed = sum(frame.position is not None for frame in facts.frames)
    return len(series.slices) == 1 and len(facts.frames) > 1 and placed <= 1 and facts.depth_known


def _one_block(series: Series, spacing: Vector | None) -> Volume:
    """Return a file of several images at even distances, such as nuclear medicine and doses have them."""
    first = series.slices[0]
    own = (*(first.facts.frames[0].pixel_mm or (None, None)), first.spacing[2])
    require_size(f"The DICOM series {series}", own, spacing)
    volume = from_itk(_execute(first.path), {"source": str(first.path)})
    return with_spacing(volume, spacing, own)


def _stacked(series: Series, spacing: Vector | None) -> Volume:
    """Put single images on one another."""
    thickness = series.slices[0].spacing[2]
    planes = [Plane(item.path, index, item.facts) for item in series.slices for index in range(item.frames)]
    stack = stack_of(str(series), planes, spacing)
    images = {item.path: sitk.GetArrayFromImage(_execute(item.path)) for item in series.slices}
    arrays = [images[plane.path][plane.index] for plane in stack.planes]
    volume = volume_of(str(series), stack, arrays, series.modality, thickness)
    placed = all(plane.frame.position is not None for plane in planes)
    own = (*(planes[0].frame.pixel_mm or (None, None)), volume.geometry.spacing[2] if placed else None)
    return with_spacing(volume, spacing, own)


def _require_pixels(item: _Slice) -> None:
    """Refuse a file with fewer bytes of pixels than its images take: libraries would fill the rest."""
    if item.facts.pixel_bytes is None:
        return
    expected, held = item.facts.pixel_bytes
    if held < expected:
        raise HaganError(
            f"The DICOM file '{item.path}' is truncated or damaged: it holds {held:,} of {expected:,} bytes "
            "of pixels; copy or export the series again."
        )


def _files(folder: Path, recursive: bool) -> Iterable[Path]:
    return sorted(folder.rglob("*") if recursive else folder.iterdir())


@dataclass(frozen=True, slots=True)
class _Torn:
    """A DICOM file that should hold an image and cannot be read."""

    path: Path
    series: str
    """UID of its series; empty where not even that can be read."""


def _sorted_out(paths: Iterable[Path]) -> tuple[list[Series], list[_Torn]]:
    """Return the series, largest axial one first, and the images that cannot be read."""
    groups: dict[tuple, list[_Slice]] = {}
    damaged = []
    for path in paths:
        if not (path.is_file() and is_dicom(path)):
            continue
        facts = read_facts(path)
        # Libraries may take a report or a media directory for an image, whatever its name is.
        if facts is not None and not facts.is_image and not _CT_OR_MR.fullmatch(facts.sop_class):
            continue
        item = _read_header(path, facts) if facts is not None and facts.has_pixels else None
        if item is not None:
            plane = tuple(round(value, 2) for value in item.direction)
            groups.setdefault((item.tags[_UID], item.size[:2], plane, item.components), []).append(item)
        elif facts is not None or _CLASS in _beginning(path):
            damaged.append(_Torn(path, facts.series if facts is not None else ""))
    found = [Series(tuple(_without_copies(group))) for group in groups.values()]
    found.sort(key=lambda one: (one.slices[0].components == 1, one.axial, one.voxels), reverse=True)
    return found, damaged


def _skipped(paths: list[Path]) -> list[str]:
    """Return a line about DICOM files that should hold an image of another series, and do not."""
    if not paths:
        return []
    names = ", ".join(path.name for path in paths[:_MOST_NAMES]) + (", …" if len(paths) > _MOST_NAMES else "")
    files = "1 DICOM file" if len(paths) == 1 else f"{len(paths)} DICOM files"
    return [f"{files} without a readable image left out: {names}."]


def _unreadable(series: Series, said: set[Path]) -> list[str]:
    """Return a line about files beside the slices that by their names are slices too, but are not DICOM."""
    used = {item.path for item in series.slices}
    shapes = {_shape(path) for path in used}
    torn = [
        path.name
        for folder in sorted({path.parent for path in used})
        for path in _files(folder, recursive=False)
        if path not in used
        and path not in said
        and path.is_file()
        and not path.name.startswith(".")
        and (path.suffix.lower() in _SUFFIXES or _shape(path) in shapes)
        and not (is_dicom(path) and _CLASS in _beginning(path))
    ]
    if not torn:
        return []
    names = ", ".join(torn[:_MOST_NAMES]) + (", …" if len(torn) > _MOST_NAMES else "")
    files = "1 file of this folder" if len(torn) == 1 else f"{len(torn)} files of this folder"
    return [f"{files} cannot be read and may be missing slices: {names}; copy or export them again."]


def _shape(path: Path) -> str:
    """Return the name with its numbers taken out: equal for the slices of a series, also without suffix."""
    return re.sub(r"\d+", "0", path.name.lower())


def _beginning(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(1024)


def _read_header(path: Path, facts: Facts) -> _Slice | None:
    """Return what the file says of its image; None where it holds none (a report, DICOMDIR)."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet_libraries():
            reader.ReadImageInformation()
    except RuntimeError:
        return None
    known = set(reader.GetMetaDataKeys())
    wanted = (_UID, _NUMBER, _DESCRIPTION, _MODALITY, _SOP)
    return _Slice(
        path=path,
        tags={tag: reader.GetMetaData(tag).strip("\0 ") if tag in known else "" for tag in wanted},
        size=reader.GetSize(),
        components=reader.GetNumberOfComponents(),
        direction=reader.GetDirection(),
        origin=reader.GetOrigin(),
        spacing=reader.GetSpacing(),
        facts=facts,
    )


def _without_copies(group: list[_Slice]) -> list[_Slice]:
    """Sort along the normal and leave out second copies of the same image (exported twice)."""
    unique = {item.tags[_SOP] or str(item.path): item for item in group}
    return sorted(unique.values(), key=_height)


def _height(item: _Slice) -> float:
    """Return the position along the slice normal in mm."""
    return float(np.dot(item.origin, item.direction[2::3]))


def _choose(path: Path, found: list[Series], wanted: str | None) -> Series:
    if wanted is None:
        return found[0]
    for fits in (
        lambda one: wanted == one.uid,
        lambda one: wanted == one.number,
        lambda one: wanted.casefold() in one.description.casefold(),
    ):
        fitting = [one for one in found if fits(one)]
        if fitting:
            return fitting[0]
    raise HaganError(
        f"'{path}' has no DICOM series '{wanted}'; there are: {'; '.join(str(one) for one in found)}."
    )


def _execute(path: Path) -> sitk.Image:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        with quiet_libraries():
            return reader.Execute()
    except RuntimeError:
        raise _damaged(path) from None


def _damaged(path: Path) -> HaganError:
    return HaganError(f"The DICOM file '{path}' is truncated or damaged; copy or export the series again.")
