"""Where the spine runs: the landmark that tells left from right and vertebra from aorta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import HU, Labels, Mask, Triple

_WINDOWS = ((45.0, 60.0), (30.0, 40.0), (28.0, 36.0))
"""Half widths (x, y) in mm around the line at each round of following it."""
_SMOOTH = 20.0
"""Half length in mm over which the line is averaged: a vertebra with its discs."""


_SEARCH = (40.0, 36.0)
"""mm in front of and behind the line within which the spinal canal is looked for."""


@dataclass(frozen=True, slots=True)
class Spine:
    """The line of the spinal canal: index of x and y by slice."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]

    def zone(
        self, shape: tuple[int, ...], spacing: Triple, aside: float, ahead: float, behind: float
    ) -> Mask:
        """Return the voxels within ``aside`` mm left or right of the line and in front of or behind it."""
        dx = (np.arange(shape[2]) - self.x[:, None]) * spacing[2]
        dy = (np.arange(shape[1]) - self.y[:, None]) * spacing[1]
        return ((dy >= -ahead) & (dy <= behind))[:, :, None] & (np.abs(dx) <= aside)[:, None, :]


def find_middle(hu: HU, body: Mask) -> float:
    """Return the x index of the spine: where bone is seen in most slices; else the middle of the body."""
    columns = ((hu > 200) & body).mean(0)
    column = columns > max(0.6 * columns.max(initial=0.0), 0.3)
    if column.any():
        return float(np.nonzero(column)[1].mean())
    width = body.sum((0, 1))
    return float((np.arange(width.size) * width).sum() / max(width.sum(), 1))


def follow_spine(hu: HU, hard: Mask, body: Mask, lungs: Labels, middle: float, spacing: Triple) -> Spine:
    """Return the spinal canal, starting near ``middle`` at the back of lungs or body.

    The centre of ``hard`` bone leads to the vertebrae, then the gap between their bodies and arches counts.
    """
    slices = hard.shape[0]
    x, y = np.full(slices, middle), _start(body, lungs, spacing)
    window = np.ones(2 * max(1, round(_SMOOTH / spacing[0])) + 1)
    for aside, along in _WINDOWS:
        near = hard & Spine(x, y).zone(hard.shape, spacing, aside, along, along)
        count = _averaged(near.sum((1, 2)), window)
        seen = count > 0
        at_x = _averaged(near.sum(1) @ np.arange(hard.shape[2]), window)
        at_y = _averaged(near.sum(2) @ np.arange(hard.shape[1]), window)
        x = np.where(seen, at_x / np.maximum(count, 1), x)
        y = np.where(seen, at_y / np.maximum(count, 1), y)
    return Spine(x, y + _to_canal(hu, Spine(x, y), spacing))


def _to_canal(hu: HU, line: Spine, spacing: Triple) -> npt.NDArray[np.float64]:
    """Return how many voxels behind ``line`` the canal lies, by slice: soft, with bone before and behind."""
    step = spacing[1]
    offsets = np.arange(-round(_SEARCH[0] / step), round(_SEARCH[1] / step) + 1)
    aside = np.arange(-round(5.0 / spacing[2]), round(5.0 / spacing[2]) + 1)
    z = np.arange(hu.shape[0])[:, None, None]
    y = np.clip(np.rint(line.y).astype(int)[:, None, None] + offsets[:, None], 0, hu.shape[1] - 1)
    x = np.clip(np.rint(line.x).astype(int)[:, None, None] + aside, 0, hu.shape[2] - 1)
    profile = hu[z, y, x].mean(2)
    near, far = max(1, round(8.0 / step)), max(2, round(22.0 / step))
    before = np.max([np.roll(profile, n, axis=1) for n in range(near, far + 1)], axis=0)
    behind = np.max([np.roll(profile, -n, axis=1) for n in range(near, far + 1)], axis=0)
    depth = np.minimum(before, behind) - profile
    depth[:, :far], depth[:, -far:] = -np.inf, -np.inf
    if not np.isfinite(depth).any():
        return np.zeros(len(profile))
    half = max(1, round(_SMOOTH / spacing[0]))
    padded = np.pad(depth, ((half, half), (0, 0)), mode="edge")
    smooth = np.sum([padded[n : n + len(depth)] for n in range(2 * half + 1)], axis=0)
    found = np.pad(offsets[smooth.argmax(1)].astype(np.float64), half, mode="edge")
    return np.median([found[n : n + len(depth)] for n in range(2 * half + 1)], axis=0)


def _averaged(values: npt.NDArray, window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    half = window.size // 2
    return np.convolve(values, window)[half : half + len(values)]


def _start(body: Mask, lungs: Labels, spacing: Triple) -> npt.NDArray[np.float64]:
    """Return a first guess of y by slice: 25 mm in front of the back of the lungs, 70 mm of the skin."""
    for mask, depth in ((lungs > 0, 25.0), (body, 70.0)):
        rows = np.any(mask, axis=2)
        used = np.flatnonzero(np.any(rows, axis=1))
        if used.size:
            back = rows.shape[1] - 1 - rows[used, ::-1].argmax(1)
            return np.interp(np.arange(len(rows)), used, back) - depth / spacing[1]
    return np.full(len(body), body.shape[1] / 2.0)
