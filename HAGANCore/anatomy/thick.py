"""Bone in voxels as thick as a rib: a small network judges what no limit of attenuation can.

The compact bone of a surface is several times as dense as the marrow behind it. In a voxel of 5 mm a border
that bone fills to a third therefore looks like an inside that it fills wholly; only the voxels around tell
them apart. The network sees 5 x 5 x 5 of them. It learnt from phantoms, whose truth is known, drawn with
slender and heavy, sparse and dense bones, the patient on the back (``Testing/train_thick_voxels.py`` makes
it again).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from ..resources import resource_path
from .grid import HU, Mask, Triple
from .morphology import dilate

WEIGHTS = "Segmentation/thick_voxels.safetensors"
"""The shipped file, a resource."""
REACH = 2
"""Voxels to each side that the network sees."""
WINDOW = (-1000, 600)
"""HU beyond which the network sees no difference."""
_EDGES = (4.5, 8.0)
"""Shortest and longest edge in mm of the voxels it is for, about those that it learnt from."""
_LUNG, _DENSE = -700, 110
"""HU: a voxel below the first holds no bone to speak of; one of bone, or beside it, is above the second."""
_HU_SCALE, _MM_SCALE = 300.0, 5.0
_AT_ONCE = 8_192
"""Voxels judged at once: what they need stays in a cache; a chest at 64³ has 20,000."""

Places = Mask | tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]
"""Some voxels: as a mask, or by their indices."""
Layer = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Weight and bias."""


def is_thick(spacing: Triple) -> bool:
    """Tell whether voxels are those that the network is for."""
    return min(spacing) >= _EDGES[0] and max(spacing) <= _EDGES[1]


def worth_a_look(hu: HU) -> Mask:
    """Return the voxels that may be mostly bone: dense, or beside what is dense."""
    return dilate(hu > _DENSE, 1.0, (1.0, 1.0, 1.0)) & (hu > _LUNG)


def windows(hu: HU) -> HU:
    """Return the 5 x 5 x 5 voxels around every voxel, (z, y, x, 5, 5, 5): a view that holds no copies."""
    padded = np.pad(np.clip(hu, *WINDOW), REACH, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1,) * 3)


def surroundings(around: HU, at: Places, spacing: Triple) -> npt.NDArray[np.float32]:
    """Return what the network sees of each voxel in ``at``: (N, 128), 125 attenuations and 3 edges.

    ``around`` are the :func:`windows` of the volume.
    """
    blocks = around[at]
    inputs = int(np.prod(blocks.shape[1:]))
    seen = np.empty((len(blocks), inputs + 3), np.float32)
    seen[:, :-3] = blocks.reshape(len(blocks), inputs) / np.float32(_HU_SCALE)
    seen[:, -3:] = np.log(np.asarray(spacing) / _MM_SCALE)
    return seen


def mirrored(seen: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return surroundings, or weights for them, with left and right exchanged."""
    width = 2 * REACH + 1
    other = seen.copy()
    other[:, :-3] = seen[:, :-3].reshape(-1, width, width, width)[..., ::-1].reshape(len(seen), width**3)
    return other


def likelihood(hu: HU, at: Mask, spacing: Triple) -> npt.NDArray[np.float32]:
    """Return how likely bone fills at least half of each voxel: 0 to 1, and 0 outside ``at``.

    Judged as it is and as its mirror image: a mirrored patient gets mirrored bones.
    """
    places = np.nonzero(at & worth_a_look(hu))
    (weight, bias), *deeper = _layers()
    both_ways = [[(first, bias), *deeper] for first in (weight, mirrored(weight))]
    around, likely = windows(hu), np.zeros(hu.shape, np.float32)
    for first in range(0, len(places[0]), _AT_ONCE):
        z, y, x = (axis[first : first + _AT_ONCE] for axis in places)
        seen = surroundings(around, (z, y, x), spacing)
        odds = sum(_log_odds(seen, layers) for layers in both_ways)
        likely[z, y, x] = 1 / (1 + np.exp(-np.clip(odds / 2, -30, 30)))
    return likely


def _log_odds(values: npt.NDArray[np.float32], layers: list[Layer]) -> npt.NDArray[np.float32]:
    """Return the output of a perceptron."""
    for weight, bias in layers[:-1]:
        values = np.maximum(values @ weight.T + bias, 0)
    weight, bias = layers[-1]
    return (values @ weight.T + bias)[:, 0]


@cache
def _layers() -> list[Layer]:
    from safetensors.numpy import load_file  # the worker starts before Slicer's Python has it

    weights = load_file(resource_path(WEIGHTS))
    return [(weights[f"{number}.weight"], weights[f"{number}.bias"]) for number in (0, 2, 4)]
