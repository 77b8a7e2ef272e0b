"""Separable resampling between grids that share their axes: one weight matrix per axis, three products.

An output voxel depends on two or three input voxels along each axis, so within a slice the products are made
for a few neighbouring outputs at a time, with the inputs that these need: of 512 × 512 × 300 to 256³ and
back, once 1.4 and 2.5 s on one core, 0.3 and 0.2 s are left.

Cells that shrink take the average of what they cover (no aliasing, mass is kept), cells that grow are
interpolated linearly. Positions are *face coordinates*: voxel j covers j..j+1, whatever its size in mm.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..progress import Progress, no_progress

Float = npt.NDArray[np.float32]
Weights = tuple[Float, Float, Float]

_SLAB = 4
"""Output slices made at once: 5 MB of working memory for a 512 × 512 scan, near the processor's cache."""
_BAND = 32
"""Output rows or columns made at once; 64 take 1.3 times as long, 512 three times."""


def axis_weights(n_in: int, n_out: int, start: float, step: float, edge: bool) -> Float:
    """Return the (n_out, n_in) matrix for output cells ``start + step * m .. start + step * (m + 1)``.

    Args:
        n_in: number of input voxels, which cover the face coordinates 0..n_in.
        n_out: number of output cells.
        start: face coordinate where the first cell begins.
        step: length of a cell in input voxels.
        edge: repeat the outermost voxels beyond the input; otherwise what lies beyond counts as 0.
    """
    faces = start + step * np.arange(n_out + 1)
    if step >= 1:
        begin, end = _voxel_span(n_in, edge)
        covered = np.clip(faces[1:, None], begin, end) - np.clip(faces[:-1, None], begin, end)
        return (covered / step).astype(np.float32)
    centres = (faces[1:] + faces[:-1]) / 2
    position = np.clip(centres - 0.5, 0, n_in - 1)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(n_in)))
    if not edge:
        weights[(centres < 0) | (centres > n_in)] = 0
    return weights.astype(np.float32)


def _voxel_span(n_in: int, edge: bool) -> tuple[npt.NDArray, npt.NDArray]:
    """Return where each voxel begins and ends; with ``edge`` the outermost ones never end."""
    begin, end = np.arange(n_in, dtype=float), np.arange(1, n_in + 1, dtype=float)
    if edge:
        begin[0], end[-1] = -np.inf, np.inf
    return begin, end


def nearest_index(n_in: int, n_out: int, start: float, step: float) -> npt.NDArray[np.int64]:
    """Return for each output cell the input voxel that its centre lies in, or the nearest one."""
    position = np.floor(start + step * (np.arange(n_out) + 0.5)).astype(np.int64)
    return np.clip(position, 0, n_in - 1)


def resample(
    source: npt.NDArray,
    weights: Weights,
    write: Callable[[slice, Float], None],
    convert: Callable[[npt.NDArray], Float] = lambda part: part.astype(np.float32),
    progress: Progress = no_progress,
) -> None:
    """Resample ``source`` (z, y, x), slab by slab, so that the memory does not grow with the volume.

    Args:
        source: any dtype, any strides.
        weights: one matrix of :func:`axis_weights` per axis.
        write: called with the slice of output planes and their values, shape (k, n_out_y, n_out_x).
        convert: turns some planes of ``source`` into float32 before anything is averaged.
        progress: called once per slab.
    """
    along_z, (first_y, last_y), (first_x, last_x) = weights[0], _used(weights[1]), _used(weights[2])
    to_y, to_x = _Banded(weights[1][:, first_y:last_y]), _Banded(weights[2][:, first_x:last_x])
    count = len(along_z)
    for begin in range(0, count, _SLAB):
        planes = slice(begin, min(begin + _SLAB, count))
        first, last = _used(along_z[planes])
        part = convert(source[first:last, first_y:last_y, first_x:last_x])
        matrix = along_z[planes, first:last]
        if len(part) > len(matrix):
            part = _in_plane(_across(matrix, part), to_y, to_x)
        else:
            part = _across(matrix, _in_plane(part, to_y, to_x))
        write(planes, part)
        progress(planes.stop / count)


def _used(weights: Float) -> tuple[int, int]:
    """Return the range of input voxels that have any weight; at least one voxel."""
    used = np.flatnonzero(weights.any(axis=0))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)


def _across(matrix: Float, planes: Float) -> Float:
    return (matrix @ planes.reshape(len(planes), -1)).reshape(len(matrix), *planes.shape[1:])


def _in_plane(planes: Float, to_y: _Banded, to_x: _Banded) -> Float:
    k, y, x = planes.shape
    rows, along_x = planes.reshape(k * y, x), np.empty((k * y, to_x.count), np.float32)
    for outputs, inputs, matrix in to_x.bands:
        np.matmul(rows[:, inputs], matrix.T, out=along_x[:, outputs])
    along_x = along_x.reshape(k, y, to_x.count)
    result = np.empty((k, to_y.count, to_x.count), np.float32)
    for outputs, inputs, matrix in to_y.bands:
        np.matmul(matrix, along_x[:, inputs], out=result[:, outputs])
    return result


class _Banded:
    """A matrix of weights as its bands: outputs, the inputs that these need, and the weights between them."""

    def __init__(self, weights: Float) -> None:
        self.count = len(weights)
        self.bands = []
        for begin in range(0, self.count, _BAND):
            outputs = slice(begin, min(begin + _BAND, self.count))
            inputs = slice(*_used(weights[outputs]))
            self.bands.append((outputs, inputs, np.ascontiguousarray(weights[outputs, inputs])))
