"""What the header of a DICOM file says, as it stands: nothing is filled in where it is silent."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAGS = [
    "SOPClassUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "GridFrameOffsetVector",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_PIXELS = {b"\xe0\x7f" + kind + b"\0" for kind in (b"\x08", b"\x09", b"\x10")}
"""Tags that pixels begin with (double, float, integers), in the usual order of bytes."""
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_UNKNOWN_LENGTH = 0xFFFFFFFF
"""Length of compressed pixels in the header: they end where they say."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is said of one image; None where nothing is, or no number."""

    position: tuple[float, ...] | None
    """Centre of the first voxel, LPS mm."""
    orientation: tuple[float, ...] | None
    """Directions of a row and of a column, six cosines."""
    pixel_mm: tuple[float, ...] | None
    """Distance of voxels along a row and along a column, mm."""
    rescale: tuple[float, float]
    """Slope and intercept."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said of one file."""

    sop_class: str
    series: str
    """Series instance UID."""
    number: int | None
    """Instance number."""
    shape: tuple[int, int]
    """Rows and columns; (0, 0) of what is no image."""
    frames: tuple[Frame, ...]
    depth_known: bool
    """Whether a file with several images says how far they lie apart, other than by their positions."""
    has_pixels: bool
    pixel_bytes: tuple[int, int] | None
    """Bytes that the images take and bytes that are there; None where they are compressed."""

    @property
    def is_image(self) -> bool:
        """Whether it should hold an image; a report, a presentation or a media directory does not."""
        return min(self.shape) > 0


def read_facts(path: Path) -> Facts | None:
    """Return what a DICOM file says of itself; None where its header cannot be read."""
    import pydicom

    try:
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=list(_TAGS))
            return _facts(dataset, stream)
    except Exception:  # pydicom raises many kinds for a torn header
        return None


def _facts(dataset: Dataset, stream: BinaryIO) -> Facts:
    shape = (int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0))
    count = int(dataset.get("NumberOfFrames") or 1)
    odd = dataset.file_meta.get("TransferSyntaxUID", "") in (_DEFLATED, _BIG_ENDIAN)
    length = _UNKNOWN_LENGTH if odd else _pixel_length(stream)
    meta_class = dataset.file_meta.get("MediaStorageSOPClassUID", "")
    bits = int(dataset.get("BitsAllocated") or 0) * int(dataset.get("SamplesPerPixel") or 1)
    expected = (shape[0] * shape[1] * count * bits + 7) // 8
    number = dataset.get("InstanceNumber")
    return Facts(
        sop_class=str(dataset.get("SOPClassUID") or meta_class),
        series=str(dataset.get("SeriesInstanceUID") or ""),
        number=None if number in (None, "") else int(number),
        shape=shape,
        frames=tuple(_frames(dataset, count)),
        depth_known=bool(dataset.get("SpacingBetweenSlices") or dataset.get("GridFrameOffsetVector")),
        has_pixels=length is not None,
        pixel_bytes=None if length in (None, _UNKNOWN_LENGTH) else (expected, length or 0),
    )


def _pixel_length(stream: BinaryIO) -> int | None:
    """Return the length that the pixels have in the file, where the stream stands; None where none follow."""
    here = stream.tell()
    head = stream.read(12)
    if len(head) < 12 or head[:4] not in _PIXELS:
        return None
    explicit = head[4:6] in (b"OW", b"OB", b"OF", b"OD", b"UN")
    (said,) = struct.unpack("<L", head[8:12] if explicit else head[4:8])
    if said == _UNKNOWN_LENGTH:
        return said
    rest = stream.seek(0, 2) - here - (12 if explicit else 8)
    return min(said, rest)


def _frames(dataset: Dataset, count: int) -> Iterator[Frame]:
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    each = dataset.get("PerFrameFunctionalGroupsSequence")
    if not each:
        # Several images and one position: where the first lies, and no word of the others.
        own = [dataset, *_groups(shared)]
        one = _frame(own)
        yield one
        for _ in range(count - 1):
            yield Frame(None, one.orientation, one.pixel_mm, one.rescale)
        return
    for item in each:
        yield _frame([*_groups(item), *_groups(shared), dataset])


def _groups(item: Any) -> list[Any]:
    """Return the parts of a functional group that say where an image lies and what its values mean."""
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    found = [_first(item.get(name)) for name in names] if item is not None else []
    return [one for one in found if one is not None]


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _frame(places: list[Any]) -> Frame:
    """Return what the first of these data sets that says something says."""

    def said(name: str, count: int) -> tuple[float, ...] | None:
        value = next((place.get(name) for place in places if place.get(name) not in (None, "")), None)
        return _numbers(value, count)

    spacing = said("PixelSpacing", 2)
    slope, intercept = said("RescaleSlope", 1), said("RescaleIntercept", 1)
    return Frame(
        position=said("ImagePositionPatient", 3),
        orientation=said("ImageOrientationPatient", 6),
        # DICOM gives the distance of rows first.
        pixel_mm=None if spacing is None or min(spacing) <= 0 else (spacing[1], spacing[0]),
        rescale=(1.0 if slope is None else slope[0], 0.0 if intercept is None else intercept[0]),
    )


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = np.atleast_1d(np.asarray(value, float))
    except (TypeError, ValueError):
        return None
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        return None
    return tuple(float(number) for number in numbers)
