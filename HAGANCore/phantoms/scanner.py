"""What the scanner adds: the blur of its kernel and correlated noise."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from ..imaging.volume import Geometry
from .grid import Array


def blurred(image: Array, geometry: Geometry, sigma: float) -> Array:
    """Return the image seen through the reconstruction kernel: a Gaussian of ``sigma`` mm."""
    itk = sitk.GetImageFromArray(image)
    itk.SetSpacing(geometry.spacing)
    return _filtered(itk, [sigma**2] * 3)


def add_noise(image: Array, body: Array, geometry: Geometry, sigma: float, rng: np.random.Generator) -> None:
    """Add noise of a scanner, in place: ``sigma`` HU in voxels of 1 mm, correlated over 1 mm in plane.

    Fewer rays are lost around the patient: outside ``body`` (fraction of each voxel) the noise is halved.

    Larger voxels average it: the variance falls with the number of independent cells (4 mm³ each) in one.
    """
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    itk = sitk.GetImageFromArray(grain)
    itk.SetSpacing(geometry.spacing)
    noise = _filtered(itk, [0.64, 0.64, 0.16])
    cells = 1.0 + float(np.prod(geometry.spacing)) / 4.0
    image += noise * (0.5 + 0.5 * body) * np.float32(sigma / np.sqrt(cells) / noise.std())


def _filtered(image: sitk.Image, variances: list[float]) -> Array:
    """Return the image after a Gaussian of these variances, mm² (x, y, z)."""
    gaussian = sitk.DiscreteGaussianImageFilter()
    gaussian.SetVariance(variances)
    gaussian.SetMaximumError(0.05)
    gaussian.SetMaximumKernelWidth(16)
    gaussian.SetUseImageSpacing(True)
    return sitk.GetArrayFromImage(gaussian.Execute(image))
