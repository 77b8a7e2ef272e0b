"""DICOM: find the series in a folder, choose one, read it slice by slice with its true positions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..errors import HaganError
from .itk import from_itk, quiet_libraries
from .volume import Geometry, Volume, nearest_rotation

_UID, _NUMBER, _DESCRIPTION, _MODALITY = "0020|000e", "0020|0011", "0008|103e", "0008|0060"
_SOP = "0008|0018"
_CT_OR_MR = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.[24](\.1)?\0")
"""The class of a file that should hold an image of a scanner, as the first bytes of the file have it."""
_CLASS = b"1.2.840.10008."
"""How the class of every DICOM file begins, also of those that are no images: a report, a DICOMDIR."""
_SUFFIXES = (".dcm", ".dicom", ".ima")
_MOST_NAMES = 5
"""Files that are named in a message; of more the number is said."""
_AXIAL = 0.8
"""A series is axial when its slice normal is within 37° of the body's axis (a tilted gantry still is)."""
_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True, slots=True)
class _Slice:
    path: Path
    tags: dict[str, str]
    size: tuple[int, ...]
    components: int
    direction: tuple[float, ...]
    origin: tuple[float, ...]
    spacing: tuple[float, ...]

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


def read_dicom(path: Path, series: str | None = None) -> Volume:
    """Read one series of a folder, or the series that a single file belongs to.

    ``series`` is its UID, number or a part of its description; without it the largest axial one is taken
    and ``meta["notes"]`` lists the others, and files that should be slices but cannot be read.
    See :func:`read_series`.

    Raises:
        HaganError: no series, or none as asked for, and as :func:`read_series`.
    """
    files = _files(path, recursive=True) if path.is_dir() else _files(path.parent, recursive=False)
    found, damaged = _sorted_out(files)
    if path.is_file() and series is None:
        found = [one for one in found if path in {item.path for item in one.slices}]
    if not found and damaged:
        raise _damaged(damaged[0])
    if not found:
        raise HaganError(f"'{path}' holds no readable DICOM images; give the folder of one examination.")
    chosen = _choose(path, found, series)
    # A torn file cannot say which series it belongs to; beside the chosen one it is most likely a part of it.
    folders = {item.path.parent for item in chosen.slices}
    for torn in damaged:
        if torn.parent in folders:
            raise _damaged(torn)
    volume = read_series(chosen)
    volume.meta["source"] = str(path)
    notes = []
    if len(found) > 1:
        others = "; ".join(str(one) for one in found if one is not chosen)
        notes.append(f"{len(found)} series found, took {chosen}. Others: {others}.")
    notes += _unreadable(chosen)
    if notes:
        volume.meta["notes"] = notes
    return volume


def read_series(series: Series) -> Volume:
    """Read a series as one volume; values in HU for CT.

    ``meta`` has ``modality``, ``series`` (UID), ``unit`` for CT, and ``slice_gaps_mm``: smallest, median and
    largest distance between neighbouring slices. The spacing is their mean.

    Raises:
        HaganError: colour, several images at one position, a tilted gantry, a damaged file.
    """
    first = series.slices[0]
    if first.components > 1:
        raise HaganError(
            f"The DICOM series {series} holds colour images ({first.components} values in each voxel); "
            "choose a series of the scanner's own images."
        )
    volume = (
        from_itk(_execute(first.path), {"source": str(first.path)}) if first.frames > 1 else _stack(series)
    )
    volume.meta.update(source=str(first.path.parent), modality=series.modality, series=series.uid)
    if series.modality == "CT":
        volume.meta["unit"] = "HU"
    return volume


def _files(folder: Path, recursive: bool) -> Iterable[Path]:
    return sorted(folder.rglob("*") if recursive else folder.iterdir())


def _sorted_out(paths: Iterable[Path]) -> tuple[list[Series], list[Path]]:
    """Return the series, largest axial one first, and the scanner's images that cannot be read."""
    groups: dict[tuple, list[_Slice]] = {}
    damaged = []
    for path in paths:
        if not (path.is_file() and is_dicom(path)):
            continue
        item = _read_header(path)
        if item is not None:
            plane = tuple(round(value, 2) for value in item.direction)
            groups.setdefault((item.tags[_UID], item.size[:2], plane, item.components), []).append(item)
        elif _CT_OR_MR.search(_beginning(path)):
            damaged.append(path)
    found = [Series(tuple(_without_copies(group))) for group in groups.values()]
    found.sort(key=lambda one: (one.slices[0].components == 1, one.axial, one.voxels), reverse=True)
    return found, damaged


def _unreadable(series: Series) -> list[str]:
    """Return a line about files beside the slices that by their names are slices too, but are not DICOM."""
    used = {item.path for item in series.slices}
    shapes = {_shape(path) for path in used}
    torn = [
        path.name
        for folder in sorted({path.parent for path in used})
        for path in _files(folder, recursive=False)
        if path not in used
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


def _read_header(path: Path) -> _Slice | None:
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


def _stack(series: Series) -> Volume:
    """Put single slices on one another."""
    first, count = series.slices[0], len(series.slices)
    heights = np.array([_height(item) for item in series.slices])
    gaps = np.diff(heights)
    if count > 1 and gaps.min() < _SAME_PLACE_MM:
        raise HaganError(
            f"The DICOM series {series} has several images at one position ({count} images at "
            f"{1 + int((gaps >= _SAME_PLACE_MM).sum())} positions: time points or repeated reconstructions); "
            "export one of them alone."
        )
    _check_straight(series, float(heights[-1] - heights[0]))
    arrays = [sitk.GetArrayFromImage(_execute(item.path))[0] for item in series.slices]
    array = np.stack(arrays)
    gap = float(heights[-1] - heights[0]) / (count - 1) if count > 1 else first.spacing[2]
    axes = nearest_rotation(np.reshape(first.direction, (3, 3)))
    geometry = Geometry(
        shape=(count, first.size[1], first.size[0]),
        spacing=(first.spacing[0], first.spacing[1], gap),
        origin=(first.origin[0], first.origin[1], first.origin[2]),
        direction=tuple(float(value) for value in axes.ravel()),
    )
    meta = {}
    if count > 1:
        meta["slice_gaps_mm"] = [float(gaps.min()), float(np.median(gaps)), float(gaps.max())]
    return Volume(array.astype(np.float32) if array.dtype == np.float64 else array, geometry, meta)


def _check_straight(series: Series, length: float) -> None:
    """Refuse slices that are shifted against one another: their voxels are no rectangular grid."""
    first, last = series.slices[0], series.slices[-1]
    step = np.subtract(last.origin, first.origin)
    sideways = float(np.linalg.norm(step - length * np.array(first.direction[2::3])))
    if sideways > max(1.0, 0.01 * length):
        raise HaganError(
            f"The DICOM series {series} was taken with a tilted gantry (slices shift by {sideways:.0f} mm "
            f"over {length:.0f} mm); resample it to a rectangular grid first."
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
