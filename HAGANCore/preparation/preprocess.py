"""From a scan to the network's cube and back to the scan's own grid.

The cube's axes follow the scan's own axes, permuted and flipped to the nearest anatomical ones, so all
resampling is separable. Every step is recorded in a :class:`Preparation`, which can be stored as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..anatomy.location import locate_lungs
from ..anatomy.lung_box import LungLocation
from ..errors import HaganError
from ..imaging.orientation import View, canonical_view, seen_along
from ..imaging.resample import axis_weights, nearest_index, resample
from ..imaging.volume import Geometry, Volume
from ..progress import Progress, no_progress
from .profiles import Profile, clip_to_window, scale_from_unit

Triple = tuple[float, float, float]
Float = npt.NDArray[np.float32]

_FREESURFER_NAMES = ("norm.mgz", "brain.mgz", "brainmask.mgz", "norm.nii", "norm.nii.gz")
"""FreeSurfer's intensity-normalised volumes: white matter is at 110, the window needs no percentiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Every step from a scan to the cube, enough to go back.

    Triples follow the cube's axes. Positions are face coordinates in voxels of the scan seen along the
    cube's axes: voxel j covers j..j+1.
    """

    profile: Profile
    size: int
    """Edge length R of the cube in voxels."""
    source: Geometry
    """The scan's own grid."""
    permutation: tuple[int, int, int]
    """The scan's array axis for each axis of the cube."""
    flip: tuple[bool, bool, bool]
    """Whether the cube runs against that axis."""
    start: Triple
    """Where the cube begins, in voxels of the scan."""
    length: Triple
    """How long the cube's edges are, in voxels of the scan."""
    window: tuple[float, float]
    """The scan's values that become -1 and 1."""
    centred_on: str
    """What was found to centre the cube on: ``lungs`` or ``scan``."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-able values."""
        return {
            "profile": self.profile.to_dict(),
            "size": self.size,
            "source": self.source.to_dict(),
            "permutation": list(self.permutation),
            "flip": list(self.flip),
            "start": list(self.start),
            "length": list(self.length),
            "window": list(self.window),
            "centred_on": self.centred_on,
        }

    @classmethod
    def from_dict(cls, values: Any) -> Preparation:
        """Return the record that :meth:`to_dict` wrote.

        Raises:
            HaganError: a part is missing or cannot be.
        """
        try:
            record = cls(
                profile=Profile.from_dict(values["profile"]),
                size=int(values["size"]),
                source=Geometry.from_dict(values["source"]),
                permutation=tuple(int(v) for v in values["permutation"]),  # type: ignore[arg-type]
                flip=tuple(bool(v) for v in values["flip"]),  # type: ignore[arg-type]
                start=tuple(float(v) for v in values["start"]),  # type: ignore[arg-type]
                length=tuple(float(v) for v in values["length"]),  # type: ignore[arg-type]
                window=tuple(float(v) for v in values["window"]),  # type: ignore[arg-type]
                centred_on=str(values["centred_on"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise HaganError(f"The record of a scan's preparation is damaged ({error!r}).") from None
        triples = (record.permutation, record.flip, record.start, record.length)
        if (
            sorted(record.permutation) != [0, 1, 2]
            or any(len(triple) != 3 for triple in triples)
            or not min(record.length) > 0
            or record.size < 1
            or len(record.window) != 2
        ):
            raise HaganError("The record of a scan's preparation is damaged; prepare the scan again.")
        return record

    @property
    def counts(self) -> tuple[int, int, int]:
        """Number of voxels of the scan along the cube's axes."""
        a, b, c = (self.source.shape[axis] for axis in self.permutation)
        return a, b, c

    @property
    def cell(self) -> Triple:
        """Length of a cube voxel in voxels of the scan, along the cube's axes."""
        a, b, c = (length / self.size for length in self.length)
        return a, b, c

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """The part of the *scan's* array whose voxel centres lie in the cube; may be empty."""
        parts: list[slice] = [slice(0)] * 3
        for axis, (first, last) in enumerate(self._inside_view()):
            count = self.counts[axis]
            ends = (count - last, count - first) if self.flip[axis] else (first, last)
            parts[self.permutation[axis]] = slice(*ends)
        return parts[0], parts[1], parts[2]

    def _inside_view(self) -> list[tuple[int, int]]:
        """Return the first and one past the last voxel inside, along the cube's axes."""
        ranges = []
        for count, start, length in zip(self.counts, self.start, self.length, strict=True):
            first = min(max(0, int(np.ceil(start - 0.5))), count)
            last = min(max(first, int(np.floor(start + length - 0.5)) + 1), count)
            ranges.append((first, last))
        return ranges

    def cube_geometry(self) -> Geometry:
        """Return where the cube lies in the patient: its true spacing, origin and direction (LPS mm)."""
        columns = np.reshape(self.source.direction, (3, 3))
        spacing = [self.source.spacing[2 - axis] for axis in self.permutation]
        # The centre of the first cube voxel, as an index (x, y, z) of the scan.
        index = np.zeros(3)
        direction = np.zeros((3, 3))
        for axis in range(3):
            position = self.start[axis] + self.cell[axis] / 2 - 0.5
            along = 2 - self.permutation[axis]
            index[along] = self.counts[axis] - 1 - position if self.flip[axis] else position
            direction[:, 2 - axis] = columns[:, along] * (-1 if self.flip[axis] else 1)
        origin = (self.source.matrix @ [*index, 1.0])[:3]
        z, y, x = (self.cell[axis] * spacing[axis] for axis in range(3))
        return Geometry(
            shape=(self.size,) * 3,
            spacing=(x, y, z),
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
            direction=tuple(float(value) for value in direction.ravel()),
        )

    def denormalise(self, array: npt.ArrayLike) -> Float:
        """Map [-1, 1] to the scan's own values (HU for CT)."""
        return scale_from_unit(np.asarray(array), self.window)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scan as the network wants it."""

    array: Float
    """Shape (R, R, R), in [-1, 1]."""
    record: Preparation


def prepare(
    volume: Volume,
    profile: Profile,
    size: int,
    lungs: LungLocation | None = None,
    progress: Progress = no_progress,
) -> Prepared:
    """Bring a scan into the profile's cube of ``size``³ voxels.

    Args:
        volume: any orientation; CT in HU.
        profile: what the network was trained on.
        size: edge length R in voxels.
        lungs: where they lie, if already known; found here otherwise, where the profile asks for them.
        progress: called once per slab.

    Raises:
        HaganError: the scan holds nothing above the window's lower end.
    """
    view = canonical_view(volume.array, volume.geometry, profile.axes)
    window = _window(volume, profile)
    if profile.centre == "lungs" and lungs is None:
        lungs = locate_lungs(volume)
    start, length = _placement(view, profile, window, lungs)
    record = Preparation(
        profile=profile,
        size=size,
        source=volume.geometry,
        permutation=view.permutation,
        flip=view.flip,
        start=start,
        length=length,
        window=window,
        centred_on="lungs" if profile.centre == "lungs" and lungs is not None else "scan",
    )
    z, y, x = (_weights_into_cube(record, axis) for axis in range(3))
    array = np.empty((size, size, size), np.float32)

    lower, scale = np.float32(window[0]), np.float32(2.0 / (window[1] - window[0]))

    def keep(planes: slice, values: Float) -> None:
        values *= scale
        values -= 1
        np.clip(values, -1, 1, out=array[planes])

    def above_lower(part: npt.NDArray) -> Float:
        """Return the values from 0 on, so that what lies outside the scan is 0: the window's lower end."""
        values = clip_to_window(part, window)
        values -= lower
        return values

    resample(view.array, (z, y, x), keep, above_lower, progress)
    return Prepared(array, record)


def restore(
    array: npt.NDArray,
    record: Preparation,
    fill: float,
    *,
    labels: bool = False,
    progress: Progress = no_progress,
) -> Volume:
    """Bring a cube back to the grid of the scan that ``record`` was made from.

    Args:
        array: shape (R, R, R); any values, they are not rescaled (see :meth:`Preparation.denormalise`).
        record: of the scan's preparation.
        fill: the value outside the cube; what lies inside is ``record.inside``.
        labels: take the nearest voxel and keep the dtype; otherwise interpolate: int16 stays int16, rounded,
            all else becomes float32.
        progress: called once per slab.

    Returns:
        The volume on ``record.source``; ``meta["unit"]`` is the profile's, except for labels.

    Raises:
        HaganError: the array has another size than the cube had.
    """
    if array.shape != (record.size,) * 3:
        raise HaganError(
            f"A cube of {record.size}³ voxels is needed to go back to the scan; this array has shape "
            f"{array.shape}."
        )
    dtype = array.dtype if labels or array.dtype == np.int16 else np.float32
    out = np.full(record.source.shape, fill, dtype)
    target = out[record.inside]
    if target.size:
        view = seen_along(target, record.permutation, record.flip)
        if labels:
            _restore_nearest(array, record, view)
        else:
            _restore_linear(array, record, view, progress)
    return Volume(out, record.source, {} if labels else {"unit": record.profile.unit})


def _weights_into_cube(record: Preparation, axis: int) -> Float:
    count, start, cell = record.counts[axis], record.start[axis], record.cell[axis]
    if not record.profile.stretch[axis]:
        return axis_weights(count, record.size, start, cell, record.profile.pad_edge[axis])
    # What was trimmed is gone: the outermost cells must not be mixed with a blank slice beyond.
    first, kept = round(start), round(record.length[axis])
    weights = np.zeros((record.size, count), np.float32)
    weights[:, first : first + kept] = axis_weights(kept, record.size, 0.0, cell, edge=True)
    return weights


def _restore_linear(array: npt.NDArray, record: Preparation, view: npt.NDArray, progress: Progress) -> None:
    z, y, x = (
        axis_weights(record.size, last - first, (first - start) / cell, 1 / cell, edge=True)
        for (first, last), start, cell in zip(record._inside_view(), record.start, record.cell, strict=True)
    )

    def keep(planes: slice, values: Float) -> None:
        view[planes] = np.rint(values, out=values) if view.dtype.kind == "i" else values

    resample(array, (z, y, x), keep, progress=progress)


def _restore_nearest(array: npt.NDArray, record: Preparation, view: npt.NDArray) -> None:
    z, y, x = (
        nearest_index(record.size, last - first, (first - start) / cell, 1 / cell)
        for (first, last), start, cell in zip(record._inside_view(), record.start, record.cell, strict=True)
    )
    for plane, index in enumerate(z):
        view[plane] = array[index][np.ix_(y, x)]


def _window(volume: Volume, profile: Profile) -> tuple[float, float]:
    """Return the scan's values that become -1 and 1."""
    name = Path(str(volume.meta.get("source", ""))).name
    if profile.percentiles is None or name in _FREESURFER_NAMES:
        return profile.window
    # A few million voxels give the percentiles to a thousandth.
    values = volume.array.reshape(-1)[:: max(1, volume.array.size // 4_000_000)]
    values = values[np.isfinite(values) & (values != 0)]
    if values.size == 0:
        raise HaganError("The scan holds only zeros; give a scan with an image in it.")
    low, high = (float(value) for value in np.percentile(values, profile.percentiles))
    if not low < high:
        raise HaganError(
            f"The scan has the same value ({low:.4g}) everywhere; give a scan with an image in it."
        )
    return low, high


def _placement(
    view: View, profile: Profile, window: tuple[float, float], lungs: LungLocation | None
) -> tuple[Triple, Triple]:
    """Return where the cube begins and how long it is, in voxels along its axes."""
    counts = view.array.shape
    middle = [count / 2 for count in counts]
    if profile.centre == "lungs" and lungs is not None:
        middle = [(first + last) / 2 for first, last in view.from_source_box(lungs.box)]
    length = [mm / spacing for mm, spacing in zip(profile.extent_mm, view.spacing, strict=True)]
    start = [centre - long / 2 for centre, long in zip(middle, length, strict=True)]
    for axis in range(3):
        if profile.stretch[axis]:
            start[axis], length[axis] = 0.0, float(counts[axis])
    if profile.trim_blank and profile.stretch[0]:
        first, last = _not_blank(view.array, window[0])
        start[0], length[0] = float(first), float(last - first)
    return (start[0], start[1], start[2]), (length[0], length[1], length[2])


def _not_blank(array: npt.NDArray, lower: float) -> tuple[int, int]:
    """Return the first and one past the last plane along axis 0 that holds anything above ``lower``."""
    # fmax leaves NaN out where max would return it.
    highest = np.array([np.fmax.reduce(plane, axis=None) for plane in array])
    used = np.flatnonzero(highest > lower)
    if len(used) == 0:
        raise HaganError(
            f"The scan is empty: no value is above {lower:.4g}, the lower end of the window; "
            "give a scan with an image in it."
        )
    return int(used[0]), int(used[-1]) + 1
