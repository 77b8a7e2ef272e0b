"""Pictures: the patient lies as radiologists expect, in true proportions, with outlines where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from HAGANCore.imaging.pictures import captioned, grey, outlined, plane, sheet, three_planes, write_png
from HAGANCore.imaging.volume import Geometry, Volume

AIR, BODY, MARK = -1000.0, 0.0, 1000.0


@pytest.fixture
def a_marked_volume() -> Volume:
    """A body with a bright mark at the upper, front, left of the patient; slices twice as thick as wide."""
    array = np.full((20, 40, 40), BODY, np.float32)
    array[14:18, 4:12, 28:36] = MARK
    return Volume(array, Geometry(shape=array.shape, spacing=(2.0, 2.0, 4.0)))


def brightest(picture: np.ndarray) -> tuple[float, float]:
    """Return where the bright part lies, as fractions from the top and from the left."""
    rows, columns = np.nonzero(picture[..., 0] > 250)
    return rows.mean() / picture.shape[0], columns.mean() / picture.shape[1]


def test_the_patient_lies_as_radiologists_look_at_him(a_marked_volume: Volume):
    window = (AIR, MARK)
    axial = brightest(grey(plane(a_marked_volume.array, "axial", 0.8), window))
    coronal = brightest(grey(plane(a_marked_volume.array, "coronal", 0.2), window))
    sagittal = brightest(grey(plane(a_marked_volume.array, "sagittal", 0.8), window))
    assert axial == pytest.approx((0.2, 0.8), abs=0.03)  # front up, patient's left on the right
    assert coronal == pytest.approx((0.2, 0.8), abs=0.03)  # head up
    assert sagittal == pytest.approx((0.2, 0.2), abs=0.03)  # head up, front on the left


def test_orientation_in_the_file_does_not_change_the_picture(a_marked_volume: Volume):
    geometry = Geometry(
        shape=(20, 40, 40), spacing=(2.0, 2.0, 4.0), direction=(-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
    )
    turned = Volume(a_marked_volume.array[:, ::-1, ::-1], geometry)
    for one, other in zip(three_planes(a_marked_volume), three_planes(turned), strict=True):
        assert np.array_equal(one, other)


def test_proportions_are_true(a_marked_volume: Volume):
    axial, coronal, sagittal = three_planes(a_marked_volume, height=100)
    caption = 18
    assert axial.shape[:2] == (100 + caption, 100)
    assert coronal.shape == sagittal.shape == (100 + caption, 100, 3)


def test_the_outline_follows_the_label(a_marked_volume: Volume):
    labels = (a_marked_volume.array == MARK).astype(np.uint8)
    axial = three_planes(a_marked_volume, labels, {1: (0, 255, 0)}, height=80, at=(0.8, 0.5, 0.5))[0][18:]
    green = (axial == (0, 255, 0)).all(axis=-1)
    rows, columns = np.nonzero(green)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 23, 56, 71)
    assert not green[12:20, 60:68].any()


def test_outlined_draws_only_the_border():
    labels = np.zeros((7, 7), np.uint8)
    labels[1:6, 1:6] = 2
    picture = outlined(np.zeros((7, 7, 3), np.uint8), labels, {2: (255, 0, 0)})
    assert (picture[..., 0] == 255).sum() == 16


def test_a_sheet_holds_every_picture_and_is_written_whole(tmp_path: Path):
    picture = captioned(np.full((10, 30, 3), 200, np.uint8), "caption")
    whole = sheet([[picture, picture], [picture]])
    assert whole.shape == (2 * 28 + 4, 64, 3)
    path = write_png(whole, tmp_path / "new folder" / "ä sheet.png")
    assert np.array_equal(np.asarray(Image.open(path)), whole)
    assert list(path.parent.iterdir()) == [path]
