"""The patient without the air around: what a drawn chest with arms beside it keeps."""

from __future__ import annotations

import numpy as np
import pytest

from HAGANCore.anatomy.body import find_body

SPACING = (3.0, 3.0, 3.0)


def a_chest_with_arms(gap: float) -> np.ndarray:
    """Return HU: a chest with two lungs, arms this many voxels beside it, with shoulders."""
    z, y, x = np.mgrid[:60, -45:45, -120:120]

    def column(cx: float, rx: float, ry: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + (y / ry) ** 2 < 1

    hu = np.full(x.shape, -1000, np.int16)
    hu[column(0, 50, 36)] = 40
    for side in (-1, 1):
        hu[column(side * 25, 18, 26) & (z > 5) & (z < 55)] = -850
        shoulder = (z > 50) & (side * x > 45) & (side * x < 60 + gap) & (abs(y) < 28) & (hu < -900)
        hu[column(side * (60 + gap), 10, 36) | shoulder] = 40
    return hu


@pytest.mark.parametrize("gap", [3, 8, 12, 16])
def test_air_between_arm_and_chest_is_no_body(gap: int) -> None:
    hu = a_chest_with_arms(gap)
    wanted = np.count_nonzero(hu > -900)
    assert np.count_nonzero(find_body(hu, SPACING)) == pytest.approx(wanted, rel=0.01)


def test_lungs_behind_a_hole_in_the_wall_are_body_even_with_arms() -> None:
    hu = a_chest_with_arms(8)
    whole = find_body(hu, SPACING)
    hu[20:40, 40:50, 70:87] = -1000  # 30 mm wide, 60 mm tall, through the wall of the right lung
    holed = find_body(hu, SPACING)
    assert np.count_nonzero(whole & ~holed) < 0.01 * np.count_nonzero(whole)
