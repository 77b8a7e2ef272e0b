"""Preprocessing profiles: what a scan must become before a network sees it, said as data.

A profile travels inside every model file and every cohort, so that a scan is always prepared exactly as
the scans a network was trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..imaging.orientation import LPS_AXIS
from ..imaging.volume import Geometry

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """How a scan becomes a cube of R³ voxels in [-1, 1].

    All triples follow the cube's axes (axis 0, axis 1, axis 2), which run where :attr:`axes` says.
    """

    name: str
    """The name the user types, e.g. ``thorax-ct``."""
    anatomy: str = "thorax"
    """``thorax`` or ``brain``: what must be in view."""
    modality: str
    """``CT`` or ``MR``."""
    unit: str
    """The unit of the values: ``HU`` for CT, ``a.u.`` for MR."""
    window: tuple[float, float]
    """The values that become -1 and 1; what lies beyond is clipped."""
    percentiles: tuple[float, float] | None = None
    """Where given, a scan that is not in the window's own scale is brought to it: its values at these
    percentiles of the non-zero voxels become the ends of the window."""
    axes: str = "SPL"
    """Where the cube's three axes run, as anatomical letters: S is towards the head, P the back, L left."""
    extent_mm: Triple
    """Length of the cube's edges in mm; only typical, not measured, on axes that :attr:`stretch`."""
    stretch: tuple[bool, bool, bool] = (False, False, False)
    """Axes on which the whole scan, however long, is stretched to the cube."""
    trim_blank: bool = False
    """Drop the slices at both ends of axis 0, where it stretches, that are
    background: nothing above the window's lower end."""
    centre: str = "scan"
    """What lies in the middle of the axes that do not stretch: ``scan`` or ``lungs``."""
    pad_edge: tuple[bool, bool, bool] = (False, False, False)
    """Axes on which the space outside the scan repeats its last slice; on the others it is the window's
    lower end (air)."""

    def __post_init__(self) -> None:
        problem = _problem_with(self)
        if problem:
            raise HaganError(f"Preprocessing profile '{self.name}': {problem}.")

    @property
    def physical(self) -> bool:
        """Whether the cube has a fixed size in mm, so that volumes in mL are true and not nominal."""
        return not any(self.stretch)

    def normalise(self, array: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Map values in the profile's unit to [-1, 1], clipped; NaN becomes -1. Shape is kept."""
        return scale_to_unit(np.asarray(array), self.window)

    def denormalise(self, array: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Map [-1, 1] back to the profile's unit (HU for CT). Shape is kept."""
        return scale_from_unit(np.asarray(array), self.window)

    def cube_geometry(self, size: int) -> Geometry:
        """Return the grid of a generated cube of ``size``³ voxels with world 0 in its middle.

        On axes that stretch the spacing is nominal: see :attr:`physical`.
        """
        spacing = [length / size for length in self.extent_mm]
        direction = np.zeros((3, 3))
        for axis, letter in enumerate(self.axes):
            world, sign = LPS_AXIS[letter]
            direction[world, 2 - axis] = sign
        x, y, z = spacing[::-1]
        half = (size - 1) / 2 * np.array([x, y, z])
        origin = -direction @ half
        return Geometry(
            shape=(size, size, size),
            spacing=(x, y, z),
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
            direction=tuple(float(v) + 0.0 for v in direction.ravel()),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as JSON-able values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Any) -> Profile:
        """Return the profile that :meth:`to_dict` wrote.

        Raises:
            HaganError: a field is missing, unknown or has a value that cannot be.
        """
        if not isinstance(values, dict):
            raise HaganError(
                f"A preprocessing profile must be a JSON object, not {type(values).__name__}; "
                "the file is damaged or was not written by HAGANCore."
            )
        names = {field.name for field in fields(cls)}
        unknown = sorted(map(str, values.keys() - names))
        if unknown:
            raise HaganError(
                f"Preprocessing profile has the unknown field '{unknown[0]}'; "
                "it was written by a newer version, update HAGANCore."
            )
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        try:
            return cls(**plain)
        except TypeError as error:
            raise HaganError(f"Preprocessing profile is incomplete or damaged: {error}.") from None


def scale_to_unit(array: np.ndarray, window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Map ``window`` to [-1, 1], clip, what is not finite to -1; float32 of the same shape."""
    lower, upper = window
    unit = clip_to_window(array, window)
    unit -= np.float32(lower)
    unit *= np.float32(2.0 / (upper - lower))
    unit -= np.float32(1.0)
    return np.clip(unit, -1.0, 1.0, out=unit)


def clip_to_window(array: np.ndarray, window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Clip to ``window``, what is not finite to its lower end; a new float32 array of the same shape."""
    lower, upper = np.float32(window[0]), np.float32(window[1])
    # The type is changed within the clipping: one pass over the memory instead of two.
    clipped = np.clip(array, lower, upper, dtype=np.float32, casting="same_kind")
    if array.dtype.kind == "f":
        np.copyto(clipped, lower, where=~np.isfinite(array))
    return clipped


def scale_from_unit(array: np.ndarray, window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Map [-1, 1] back to ``window``; float32 of the same shape."""
    lower, upper = window
    values = array.astype(np.float32)
    values += np.float32(1.0)
    values *= np.float32((upper - lower) / 2.0)
    values += np.float32(lower)
    return values


def _problem_with(profile: Profile) -> str | None:
    """Say what is wrong with the values of a profile, which may come from a foreign file."""
    numbers = _all_numbers
    if not (isinstance(profile.name, str) and profile.name):
        return f"its name is {profile.name!r}, not a text"
    if profile.anatomy not in ("thorax", "brain"):
        return f"anatomy is {profile.anatomy!r}, must be thorax or brain"
    if profile.modality not in ("CT", "MR"):
        return f"modality is {profile.modality!r}, must be CT or MR"
    if not isinstance(profile.unit, str):
        return f"unit is {profile.unit!r}, not a text"
    if not numbers(profile.window, 2) or not profile.window[0] < profile.window[1]:
        return f"window is {profile.window!r}, must be two increasing numbers"
    if profile.percentiles is not None and not (
        numbers(profile.percentiles, 2) and 0 <= profile.percentiles[0] < profile.percentiles[1] <= 100
    ):
        return f"percentiles are {profile.percentiles!r}, must be two increasing numbers within 0..100"
    if not (isinstance(profile.axes, str) and len(profile.axes) == 3) or not _is_frame(profile.axes):
        return f"axes are {profile.axes!r}, must name three anatomical directions such as SPL"
    if not numbers(profile.extent_mm, 3) or min(profile.extent_mm) <= 0:
        return f"extent_mm is {profile.extent_mm!r}, must be three positive lengths"
    for name in ("stretch", "pad_edge"):
        value = getattr(profile, name)
        if not (isinstance(value, tuple) and len(value) == 3 and all(isinstance(v, bool) for v in value)):
            return f"{name} is {value!r}, must be three times true or false"
    if not isinstance(profile.trim_blank, bool):
        return f"trim_blank is {profile.trim_blank!r}, must be true or false"
    if profile.centre not in ("scan", "lungs"):
        return f"centre is {profile.centre!r}, must be scan or lungs"
    return None


def _all_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v) for v in values)
    )


def _is_frame(axes: str) -> bool:
    return {LPS_AXIS[letter][0] for letter in axes if letter in LPS_AXIS} == {0, 1, 2}


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        # As published (Sun et al. 2022, section IV-A): the whole scan is stretched to the cube, whatever
        # its size in mm; the typical extent only gives generated volumes a plausible shape.
        Profile(
            name="thorax-ct",
            anatomy="thorax",
            modality="CT",
            unit="HU",
            window=(-1024.0, 600.0),
            extent_mm=(320.0, 350.0, 350.0),
            stretch=(True, True, True),
            trim_blank=True,
        ),
        Profile(
            name="thorax-ct-fov",
            anatomy="thorax",
            modality="CT",
            unit="HU",
            window=(-1024.0, 600.0),
            extent_mm=(320.0, 320.0, 384.0),
            centre="lungs",
            pad_edge=(True, False, False),
        ),
        # FreeSurfer's conformed norm.mgz is 256³ at 1 mm, its array (L, I, A); the published transpose
        # (1, 2, 0) makes it (I, A, L), the crop by 20 on both sides leaves 216 mm in-plane.
        Profile(
            name="brain-mr",
            anatomy="brain",
            modality="MR",
            unit="a.u.",
            window=(0.0, 140.0),
            percentiles=(0.0, 99.5),
            axes="IAL",
            extent_mm=(160.0, 216.0, 216.0),
            stretch=(True, False, False),
            trim_blank=True,
        ),
    )
}
"""The profiles that come with HAGANCore, by name."""


def profile_named(name: str) -> Profile:
    """Return the shipped profile of this name.

    Raises:
        HaganError: there is none; the message lists the names.
    """
    if name not in PROFILES:
        raise HaganError(f"There is no preprocessing profile '{name}'; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]
