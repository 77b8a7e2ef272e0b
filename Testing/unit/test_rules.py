"""Single rules of segmentation and measurement, each with a value that is known from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HAGANCore.anatomy import BONES, LEFT_LUNG, RIGHT_LUNG, Segmentation, segment
from HAGANCore.anatomy.bones import without_partial_edge
from HAGANCore.anatomy.chest import Chest
from HAGANCore.anatomy.dense import not_bone
from HAGANCore.anatomy.spine import Spine
from HAGANCore.directions.onto_scan import _tapered
from HAGANCore.directions.targets import measure_targets
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.phantoms import make_phantom


def test_emphysema_is_lung_below_minus_950() -> None:
    """Gevenois et al., Am J Respir Crit Care Med 154 (1996) 187: area with values below -950 HU."""
    hu = np.full((4, 10, 10), -850, np.int16)
    labels = np.full(hu.shape, RIGHT_LUNG, np.uint8)
    labels[2:] = LEFT_LUNG
    hu[0] = -951  # 100 of 400 voxels
    hu[1, :5] = -950  # none of these 50
    hu[1, 5:] = -940
    geometry = Geometry(shape=hu.shape)
    found = measure_targets(Volume(hu, geometry), Segmentation(labels, geometry, 1.0), ["emphysema_percent"])
    assert found == {"emphysema_percent": 25.0}


def test_a_pore_has_four_neighbours_in_bone() -> None:
    """On a dense block of 5 x 5 x 5: faces have five neighbours in it, edges four, corners three."""
    bones = np.zeros((9, 9, 9), bool)
    bones[2:7, 2:7, 2:7] = True
    for voxel, stays in (((2, 4, 4), True), ((2, 2, 4), True), ((2, 2, 2), False)):
        hu = np.full(bones.shape, 40, np.int16)
        hu[bones] = 600
        hu[voxel] = 60  # hardly any bone in it
        kept = without_partial_edge(bones, hu, (3.0, 3.0, 3.0))
        assert kept[voxel] == stays, voxel
        assert np.count_nonzero(kept) == 125 - (not stays)


def test_displacements_fade_over_four_voxels_at_the_faces() -> None:
    field = sitk.GetImageFromArray(np.ones((12, 12, 12, 3)), isVector=True)
    array = sitk.GetArrayFromImage(_tapered(field))
    wanted = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]
    np.testing.assert_allclose(array[:, 6, 6, 0], wanted)
    np.testing.assert_allclose(array[6, :, 6, 1], wanted)
    np.testing.assert_allclose(array[6, 6, :, 2], wanted)
    assert array[1, 2, 6, 0] == pytest.approx(0.25 * 0.5)


def test_an_enhanced_aorta_does_not_take_the_vertebra_that_it_touches() -> None:
    """Blood of 420 HU beside marrow of 200 HU, with which it makes one piece above any level of bone."""
    shape, mm = (30, 60, 80), 3.0
    _, y, x = np.indices(shape)
    hu = np.full(shape, 40, np.int16)
    vertebra = (abs(x - 40) * mm <= 30) & (y >= 30) & (y < 42)
    cortex = vertebra & ((abs(x - 40) * mm > 27) | (y == 30) | (y == 41))
    aorta = (x - 57) ** 2 + (y - 36) ** 2 < 7**2
    hu[vertebra], hu[cortex], hu[aorta] = 200, 560, 420
    body = np.ones(shape, bool)
    spine = Spine(np.full(30, 40.0), np.full(30, 44.0))
    chest = Chest(
        hu=hu,
        body=body,
        lungs=np.zeros(shape, np.uint8),
        spacing=(mm, mm, mm),
        between=np.zeros(shape, bool),
        front=np.zeros(30),
        blood=420.0,
        hard=hu > 520,
        deep=body,
        spine=spine,
        beyond_bone=hu > 1400,
    )
    other = not_bone(hu > 140, chest)
    assert other[aorta].mean() == 1.0
    assert other[vertebra & ~aorta].mean() < 0.1  # the blurred border of the aorta


@pytest.mark.parametrize("where", ["vein", "bowel"])
def test_undiluted_contrast_medium_is_no_bone(where: str) -> None:
    """Of a scan of 2 mm: 2,000 HU in a vein of 9 mm that runs to the shoulder, 500 HU in a loop of bowel."""
    grid = Geometry(shape=(120, 150, 170), spacing=(2.2, 2.2, 2.5), origin=(-187.0, -165.0, -150.0))
    phantom = make_phantom(2, geometry=grid)
    z, y, x = (np.indices(grid.shape).T * (2.5, 2.2, 2.2)).T
    plain = segment(phantom.volume)
    if where == "vein":
        inside = (y - 100) ** 2 + (z - 245) ** 2 < 4.5**2
        inside &= (phantom.volume.array > -200) & (x > 60) & (x < 150) & ~phantom.masks["bones"]
        value = 2000.0
    else:
        inside = (y - 120) ** 2 + (z - 15) ** 2 + (x - 187) ** 2 < 20**2
        value = 500.0
    hu = phantom.volume.array.copy()
    hu[inside] = value
    ml = np.count_nonzero(inside) * grid.voxel_ml
    assert ml > 3
    found = segment(phantom.volume.with_array(hu))
    assert np.mean(found.labels[inside] == BONES) < 0.05
    assert found.bones_ml == pytest.approx(plain.bones_ml, abs=0.5 * ml)
