"""Carry a change in latent space over to the scan that the latent was encoded from.

The reconstruction is a likeness of the scan, so what changes between two reconstructions is applied to the
scan itself, on its own grid. Two ways:

``warp``
    The displacement between both reconstructions, found by diffeomorphic Demons registration
    (Vercauteren et al., NeuroImage 45 (2009) S61), deforms the scan. Shapes change, tissues keep their values
    and their detail. For directions that move borders: volumes in mL.
``difference``
    The difference of both reconstructions is added to the scan. Values change, nothing moves. For directions
    that change tissue: density in HU, emphysema in %. Where a border moves it leaves a ghost of the old one
    wherever scan and reconstruction do not agree on where it was.

Measured with the demonstration model on two real chests (64 and 133 slices), lungs of the reconstruction
changed by -553, +426, -414 and +471 mL: the warped scan's lungs changed by -505, +422, -330 and +390 mL and
its bones by -60 to +24 mL; with the difference the lungs by -186, +243, -86 and +368 mL, and ghosts of ribs
added 134 to 455 mL of bone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..anatomy import Segmentation, segment
from ..errors import HaganError
from ..imaging.itk import to_itk
from ..imaging.volume import Volume
from ..preparation.preprocess import Preparation, restore
from ..progress import Progress, no_progress
from .direction import Direction
from .step import measure

Method = Literal["warp", "difference"]
METHODS: tuple[Method, ...] = ("warp", "difference")
STRENGTHS = (0.0, 2.0)
"""How much weaker or stronger than found a displacement may be to meet a change on the scan."""
HU_LIMITS = (-1024, 3071)
"""What a 12-bit CT can hold. Padding below, outside the field of view, stays as it is."""

_SECANT_STEPS, _MET = 3, 0.02
"""Tries to find the strength of a displacement, and the error of the change at which it is found."""
_FINEST = 64
"""Voxels along each edge of the grid on which displacements are found: they are smooth."""
_LEVELS = ((4, 60), (2, 40), (1, 25))
"""Shrinking factor and Demons iterations, coarse to fine: the diaphragm moves by several voxels."""
_FIELD_SIGMA = 1.2
"""Gaussian on the displacement after each iteration, in voxels of the level."""
_IMAGE_SIGMA = 0.7
"""Gaussian on the volumes of each level, in its voxels: noise of the network's voxels must move nothing."""
_TAPER = 4
"""Voxels over which the displacement fades to nothing at the faces of the network's cube."""


def method_for(direction: Direction) -> Method:
    """Return the way that suits a direction: volumes move borders, densities do not."""
    return "warp" if direction.unit == "mL" else "difference"


@dataclass(frozen=True, slots=True)
class Aim:
    """What the change on the scan itself should be, where it is to be exact."""

    direction: Direction
    change: float
    """Of the direction's target on the scan, in its unit."""
    found: Segmentation
    """Of the scan as it is."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where each point of a changed volume comes from, as displacements in LPS mm."""

    field: sitk.Image
    """Three numbers for each voxel of a grid in the scan's space; no displacement outside."""

    @property
    def largest_mm(self) -> float:
        """The longest displacement."""
        return float(np.linalg.norm(sitk.GetArrayViewFromImage(self.field), axis=-1).max())

    @property
    def folded(self) -> float:
        """Share of the grid where space is turned inside out: 0 for a plausible deformation."""
        jacobian = sitk.GetArrayViewFromImage(sitk.DisplacementFieldJacobianDeterminant(self.field))
        return float(np.mean(jacobian <= 0))

    def applied(self, volume: Volume, strength: float = 1.0, labels: bool = False) -> npt.NDArray:
        """Return the array of a volume, or of a label map, deformed on its own grid; the dtype stays."""
        image = to_itk(volume)
        resampler = sitk.ResampleImageFilter()
        resampler.SetReferenceImage(image)
        resampler.SetInterpolator(sitk.sitkNearestNeighbor if labels else sitk.sitkLinear)
        # What moves in from beyond the scan's ends is a repetition of its last slice, not black.
        resampler.UseNearestNeighborExtrapolatorOn()
        # The transform takes the memory of the field that it is given, so it gets one of its own.
        field = _field_like(self.field, sitk.GetArrayViewFromImage(self.field) * strength)
        resampler.SetTransform(sitk.DisplacementFieldTransform(field))
        return sitk.GetArrayFromImage(resampler.Execute(image)).astype(volume.array.dtype, copy=False)


def change_scan(
    scan: Volume,
    before: Volume,
    after: Volume,
    record: Preparation,
    method: Method,
    aim: Aim | None = None,
    progress: Progress = no_progress,
) -> Volume:
    """Return the scan with the change from one volume of the model to another.

    Args:
        scan: the scan that was encoded, on its own grid.
        before: the cube of the scan's latent (:meth:`Model.decode`), shape (R, R, R).
        after: the cube of the moved latent; its ``meta`` says how it was made.
        record: of the scan's preparation, ``latent.preparation``.
        method: ``warp`` or ``difference``.
        aim: make a warp as strong as it must be for this change on the scan.
        progress: called for every level of the registration.

    Returns:
        On the scan's grid, in its dtype, marked synthetic.

    Raises:
        HaganError: the scan is not the one that was prepared, or there is no such method.
    """
    if scan.geometry.shape != record.source.shape:
        raise HaganError(
            f"The latent was made from a scan of {record.source.shape} voxels (z, y, x), this one has "
            f"{scan.geometry.shape}; give the scan that was encoded."
        )
    facts: dict[str, Any] = {"method": method}
    if np.array_equal(before.array, after.array):
        array = scan.array.copy()
    elif method == "warp":
        displacement = displacement_between(before, after, progress)
        strength = 1.0 if aim is None else strength_for(displacement, scan, aim)
        array = displacement.applied(scan, strength)
        facts |= {
            "strength": round(strength, 4),
            "largest_displacement_mm": round(displacement.largest_mm, 2),
            "folded": round(displacement.folded, 6),
        }
    elif method == "difference":
        array = _with_difference(scan, before, after, record, progress)
    else:
        raise HaganError(f"A change is carried over by {' or '.join(METHODS)}; found {method!r}.")
    provenance = {**after.meta.get("provenance", {}), "kind": "changed scan", "onto_scan": facts}
    meta = {**after.meta, "synthetic": True, "provenance": provenance}
    return Volume(array, scan.geometry, meta)


def displacement_between(before: Volume, after: Volume, progress: Progress = no_progress) -> Displacement:
    """Return the smooth displacement u for which ``after(x) = before(x + u(x))``, as nearly as it can be.

    Found on a grid of at most 64 voxels along each edge (the network's low-resolution one at 256³).
    """
    factor = max(1, after.geometry.shape[0] // _FINEST)
    fixed, moving = (
        sitk.Cast(_shrunk(to_itk(volume), factor), sitk.sitkFloat32) for volume in (after, before)
    )
    field: sitk.Image | None = None
    for level, (shrink, iterations) in enumerate(_LEVELS):
        progress(level / len(_LEVELS), "finding what moves")
        here, there = (_smooth(_shrunk(image, shrink)) for image in (fixed, moving))
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(iterations)
        demons.SetStandardDeviations(_FIELD_SIGMA)
        if field is None:
            field = demons.Execute(here, there)
        else:
            field = demons.Execute(here, there, sitk.Resample(field, here))
    progress(1.0, "finding what moves")
    return Displacement(_tapered(cast(sitk.Image, field)))


def strength_for(displacement: Displacement, scan: Volume, aim: Aim) -> float:
    """Return how strong a displacement must be for a change on the scan.

    By the scan's own label map first, deformed, which is much quicker than segmenting; then by lungs and
    bones found in the deformed scan itself, whose borders interpolation has moved a little, too.
    """
    labels = scan.with_array(aim.found.labels)
    base = measure(aim.direction, scan, aim.found)

    def of_labels(strength: float) -> float | None:
        return measure(
            aim.direction,
            scan,
            replace(aim.found, labels=displacement.applied(labels, strength, labels=True)),
        )

    def of_scan(strength: float) -> float | None:
        deformed = scan.with_array(displacement.applied(scan, strength))
        return measure(aim.direction, deformed, segment(deformed))

    if base is None:
        return 1.0
    strength, slope = _strength_towards(base + aim.change, aim.change, of_labels, 1.0, (0.0, base))
    return _strength_towards(base + aim.change, aim.change, of_scan, strength, None, slope)[0]


def _strength_towards(
    wanted: float,
    change: float,
    value_at: Callable[[float], float | None],
    strength: float,
    last: tuple[float, float] | None,
    slope: float = 0.0,
) -> tuple[float, float]:
    """Return the best of a few secant steps, and the slope there; ``last``: a strength and its value."""
    nearest, best = np.inf, strength
    for _ in range(_SECANT_STEPS):
        value = value_at(strength)
        if value is None:
            break
        if abs(value - wanted) < nearest:
            nearest, best = abs(value - wanted), strength
        if last is not None and strength != last[0]:
            slope = (value - last[1]) / (strength - last[0])
        if nearest <= _MET * abs(change) or abs(slope) < 1e-9:
            break
        last = (strength, value)
        strength = float(np.clip(strength + (wanted - value) / slope, *STRENGTHS))
        if strength == last[0]:
            break
    return best, slope


def _with_difference(
    scan: Volume, before: Volume, after: Volume, record: Preparation, progress: Progress
) -> npt.NDArray:
    difference = after.array.astype(np.float32) - before.array.astype(np.float32)
    change = restore(difference, record, 0.0, progress=progress).array
    if record.profile.unit != "HU":
        return scan.array + change
    changed = np.clip(np.rint(scan.array + change), *HU_LIMITS)
    # Padding and metal beyond 12 bits are left as they are where nothing changes.
    return np.where(change == 0, scan.array, changed).astype(scan.array.dtype)


def _shrunk(image: sitk.Image, factor: int) -> sitk.Image:
    return sitk.BinShrink(image, [factor] * 3) if factor > 1 else image


def _smooth(image: sitk.Image) -> sitk.Image:
    return sitk.SmoothingRecursiveGaussian(image, [_IMAGE_SIGMA * mm for mm in image.GetSpacing()])


def _tapered(field: sitk.Image) -> sitk.Image:
    """Return the field fading out at the faces of its grid, beyond which nothing is known to move."""
    array = sitk.GetArrayFromImage(field)
    for axis in range(3):
        count = array.shape[axis]
        to_face = np.minimum(np.arange(count), np.arange(count)[::-1])
        weight = np.clip(to_face / _TAPER, 0, 1).reshape([-1 if a == axis else 1 for a in range(4)])
        array *= weight
    return _field_like(field, array)


def _field_like(field: sitk.Image, array: npt.NDArray) -> sitk.Image:
    """Return displacements, shape (z, y, x, 3), on the grid of another field."""
    image = sitk.GetImageFromArray(array.astype(np.float64, copy=False), isVector=True)
    image.CopyInformation(field)
    return image
