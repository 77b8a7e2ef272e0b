"""The lungs' texture and the scanner's: gravity, emphysema, blur of the kernel, correlated noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..volume import Geometry
from .grid import Array, RenderGrid
from .parameters import PhantomParameters
from .thorax import Thorax

_REACH = 180.0


class Lattice:
    """Smooth random numbers fixed in space: a lattice of normal deviates, looked up between its points."""

    def __init__(self, rng: np.random.Generator, step: float, smooth: float) -> None:
        self.step = step
        count = int(2 * _REACH / step) + 2
        noise = sitk.GetImageFromArray(rng.standard_normal((count,) * 3, dtype=np.float32))
        self.values = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(noise, smooth))
        self.values /= self.values.std()

    def at(self, x: Array, y: Array, z: Array) -> Array:
        """Return the field at points of the patient frame (trilinear)."""
        x, y, z = np.broadcast_arrays(x, y, z)
        limit = self.values.shape[0] - 2
        result = np.zeros(x.shape, np.float32)
        places = [np.clip((c + _REACH) / self.step, 0, limit + 0.999) for c in (z, y, x)]
        low = [p.astype(np.int32) for p in places]
        share = [(p - i).astype(np.float32) for p, i in zip(places, low, strict=True)]
        for corner in range(8):
            bits = (corner >> 2 & 1, corner >> 1 & 1, corner & 1)
            weight = np.ones(x.shape, np.float32)
            for bit, part in zip(bits, share, strict=True):
                weight = weight * (part if bit else 1 - part)
            result += weight * self.values[tuple(i + bit for i, bit in zip(low, bits, strict=True))]
        return result


class Parenchyma:
    """Attenuation of the lungs of one patient, as a field over the patient's frame."""

    def __init__(
        self,
        parameters: PhantomParameters,
        thorax: Thorax,
        inside: npt.NDArray[np.float64],
        rng: np.random.Generator,
    ) -> None:
        self.parameters, self.thorax = parameters, thorax
        self._coarse, self._fine = Lattice(rng, 8.0, 1.1), Lattice(rng, 4.0, 0.8)
        x, y, z = inside.astype(np.float32).T
        self._limit = float(np.quantile(self._proneness(x, y, z), 1 - parameters.emphysema))

    def _proneness(self, x: Array, y: Array, z: Array) -> Array:
        """Return where emphysema comes first: in clusters, the upper lobes before the lower."""
        level = z / np.float32(self.thorax.height)
        return 0.8 * self._coarse.at(x, y, z) + 0.35 * self._fine.at(x, y, z) + np.float32(1.6) * level

    def attenuation(self, grid: RenderGrid) -> Array:
        """Return HU of the parenchyma everywhere on the grid."""
        x, y, z = grid.points()
        p, th = self.parameters, self.thorax
        depth = np.float32(th.parameters.depth * th.scale * 95.0)
        healthy = np.float32(p.lung_hu) + np.float32(p.gravity / 2) * y / depth
        healthy = healthy + 14.0 * self._fine.at(x, y, z)
        excess = self._proneness(x, y, z) - np.float32(self._limit)
        sick = 1 / (1 + np.exp(-np.clip(excess * 9.0, -30, 30)))
        return healthy + sick * (np.float32(-978.0) - healthy)


def blurred(image: Array, geometry: Geometry, sigma: float) -> Array:
    """Return the image seen through the reconstruction kernel: a Gaussian of ``sigma`` mm."""
    itk = sitk.GetImageFromArray(image)
    itk.SetSpacing(geometry.spacing)
    return sitk.GetArrayFromImage(sitk.DiscreteGaussian(itk, sigma**2, 16, 0.05, True))


def add_noise(image: Array, geometry: Geometry, sigma: float, rng: np.random.Generator) -> None:
    """Add noise of a scanner, in place: ``sigma`` HU in voxels of 1 mm, correlated over 1 mm in plane.

    Larger voxels average it: the variance falls with the number of independent cells (4 mm³ each) in one.
    """
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    itk = sitk.GetImageFromArray(grain)
    itk.SetSpacing(geometry.spacing)
    noise = sitk.GetArrayFromImage(sitk.DiscreteGaussian(itk, [0.64, 0.64, 0.16], 16, 0.05, True))
    cells = 1.0 + float(np.prod(geometry.spacing)) / 4.0
    image += noise * np.float32(sigma / np.sqrt(cells) / noise.std())
