"""Displacements end at the faces of the network's cube: beyond, nothing is known to move."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HAGANCore.directions.onto_scan import _tapered, displacement_between
from HAGANCore.imaging.volume import Geometry, Volume


def test_the_displacement_fades_over_four_voxels() -> None:
    field = sitk.GetImageFromArray(np.full((12, 14, 16, 3), 8.0), isVector=True)
    faded = sitk.GetArrayFromImage(_tapered(field))
    # d voxels from a face d/4 of it is left, from two faces the product; 8 mm at first.
    assert faded[6, 7, 8] == pytest.approx([8, 8, 8])
    assert faded[[0, 1, 2, 3, 4], 7, 8, 0] == pytest.approx([0, 2, 4, 6, 8])
    assert faded[[-1, -2, -3, -4, -5], 7, 8, 0] == pytest.approx([0, 2, 4, 6, 8])
    assert faded[6, [0, 1, -2, -1], 8, 1] == pytest.approx([0, 2, 2, 0])
    assert faded[6, 7, [0, 1, -2, -1], 2] == pytest.approx([0, 2, 2, 0])
    assert faded[1, 2, 8, 0] == pytest.approx(8 * 1 / 4 * 2 / 4)


def test_what_moves_through_a_face_does_not_move_there() -> None:
    """A column that runs through the cube and grows: at its ends the scan outside the cube stays in place."""
    geometry = Geometry(shape=(32, 32, 32), spacing=(2, 2, 2))
    _, y, x = np.mgrid[:32, :32, :32] - 15.5
    before, after = (
        Volume(np.where(np.hypot(y, x) < radius, 600, -800).astype(np.int16), geometry) for radius in (7, 9)
    )
    field = sitk.GetArrayFromImage(displacement_between(before, after).field)
    length = np.linalg.norm(field, axis=-1)
    for axis in range(3):
        assert length.take([0, -1], axis=axis).max() == 0
    assert length[14:18].max() > 2  # mm: the wall moves by two voxels of 2 mm in the middle
