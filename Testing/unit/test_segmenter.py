"""A label map of the user's takes the place of the rules; what it cannot mean is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from HAGANCore.anatomy import BONES, LEFT_LUNG, RIGHT_LUNG, segment
from HAGANCore.anatomy.location import locate_lungs, lungs_of
from HAGANCore.anatomy.segmenter import MEANINGS, LabelMap, TotalSegmentator
from HAGANCore.errors import HaganError
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.phantoms import Phantom, make_phantom


@pytest.fixture(scope="module")
def a_phantom() -> Phantom:
    return make_phantom(3, 64)


def truth(phantom: Phantom) -> np.ndarray:
    labels = np.zeros(phantom.volume.array.shape, np.int16)
    for name, number in (("right_lung", RIGHT_LUNG), ("left_lung", LEFT_LUNG), ("bones", BONES)):
        labels[phantom.masks[name]] = number
    return labels


def test_the_true_label_map_gives_the_true_millilitres(a_phantom: Phantom) -> None:
    volume = a_phantom.volume
    found = LabelMap(Volume(truth(a_phantom), volume.geometry), MEANINGS["hagan"])(volume)
    for name in ("right_lung", "left_lung", "bones"):
        counted = np.count_nonzero(a_phantom.masks[name]) * 6 * 5 * 5 / 1000
        assert found.measurements()[f"{name}_ml"] == pytest.approx(counted)
    assert found.thorax_ml == segment(volume).thorax_ml
    assert found.notes == ()
    mine, rules = lungs_of(found), locate_lungs(volume)
    assert mine is not None
    assert rules is not None
    np.testing.assert_allclose(mine.box, rules.box, atol=2)


def test_lobes_and_vertebrae_of_totalsegmentator(a_phantom: Phantom) -> None:
    """Its class numbers, version 2: 10, 11 left lobes, 12 to 14 right ones, 32 to 43 thoracic vertebrae."""
    labels = truth(a_phantom)
    total = np.select([labels == LEFT_LUNG, labels == RIGHT_LUNG, labels == BONES], [11, 13, 38], 0)
    total[:4][total[:4] == 0] = 5  # liver
    found = LabelMap(Volume(total.astype(np.uint8), a_phantom.volume.geometry), MEANINGS["totalsegmentator"])
    np.testing.assert_array_equal(found(a_phantom.volume).labels, labels)
    with pytest.raises(HaganError, match="5, 11, 13, 38, which mean nothing here"):
        LabelMap(found.labels, MEANINGS["hagan"])(a_phantom.volume)


def test_a_map_cut_out_of_the_scan_s_grid_is_taken_voxel_by_voxel(a_phantom: Phantom) -> None:
    labels, geometry = truth(a_phantom), a_phantom.volume.geometry
    cut = labels[3:, 2:-5, 4:]
    place = geometry.matrix @ (4, 2, 3, 1)
    smaller = replace(geometry, shape=cut.shape, origin=tuple(place[:3]))
    found = LabelMap(Volume(cut, smaller), MEANINGS["hagan"])(a_phantom.volume)
    np.testing.assert_array_equal(found.labels[3:, 2:-5, 4:], cut)
    assert found.notes == ()
    half = replace(smaller, origin=tuple(place[:3] + 0.5 * np.array(geometry.spacing)))
    assert "another grid" in LabelMap(Volume(cut, half), MEANINGS["hagan"])(a_phantom.volume).notes[0]


def test_a_map_on_another_grid_is_brought_to_the_scan_and_says_so(a_phantom: Phantom) -> None:
    labels, geometry = truth(a_phantom), a_phantom.volume.geometry
    x, y, z = geometry.spacing
    ox, oy, oz = geometry.origin
    finer = replace(
        geometry,
        shape=(128, 128, 128),
        spacing=(x / 2, y / 2, z / 2),
        origin=(ox - x / 4, oy - y / 4, oz - z / 4),
    )
    twice = labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    found = LabelMap(Volume(twice, finer), MEANINGS["hagan"])(a_phantom.volume)
    np.testing.assert_array_equal(found.labels, labels)
    assert "another grid" in found.notes[0]


def test_what_cannot_be_a_label_map_is_refused(a_phantom: Phantom) -> None:
    volume = a_phantom.volume
    with pytest.raises(HaganError, match="whole numbers"):
        LabelMap(volume, MEANINGS["hagan"])(volume)
    far = replace(volume.geometry, origin=(5000.0, 0.0, 0.0))
    with pytest.raises(HaganError, match="does it belong to this scan"):
        LabelMap(Volume(truth(a_phantom), far), MEANINGS["hagan"])(volume)


def test_totalsegmentator_where_it_is_not_installed(a_phantom: Phantom) -> None:
    pytest.importorskip("SimpleITK")
    try:
        import totalsegmentator  # noqa: F401
    except ImportError:
        with pytest.raises(HaganError, match="not installed"):
            TotalSegmentator()(a_phantom.volume)
    else:
        pytest.skip("TotalSegmentator is installed")


def test_a_lung_cut_at_the_border_of_a_round_field_of_view() -> None:
    """Scanners write -2048 and less there; the array's own border is far away."""
    grid = Geometry(shape=(64, 90, 90), spacing=(4.5, 4.5, 5.0), origin=(-200.0, -200.0, -160.0))
    phantom = make_phantom(3, 64, geometry=grid)
    j, i = np.indices((90, 90))
    assert segment(phantom.volume).complete["lungs"]
    narrow = phantom.volume.array.copy()
    narrow[:, (i - 44.5) ** 2 + (j - 44.5) ** 2 > 24**2] = -2048
    found = segment(phantom.volume.with_array(narrow))
    assert found.cut["right_lung"] == ("side",)
    assert not found.complete["left_lung"]


def test_what_is_not_finite_is_no_tissue() -> None:
    phantom = make_phantom(3, 64)
    plain, spoilt = segment(phantom.volume), phantom.volume.array.copy()
    spoilt[20:26, 30:34, 30:34] = np.inf
    spoilt[30, 5:60, 10:50] = -np.inf
    spoilt[40, 30:40, 12:20] = np.nan
    found = segment(phantom.volume.with_array(spoilt))
    assert not found.labels[~np.isfinite(spoilt)].any()
    assert found.bones_ml == pytest.approx(plain.bones_ml, rel=0.02)  # infinity alone would be 14 mL of bone
    assert found.complete["lungs"]
    missing = np.count_nonzero(~np.isfinite(spoilt)) * phantom.volume.geometry.voxel_ml
    assert plain.thorax_ml - 1.2 * missing < found.thorax_ml < plain.thorax_ml


@pytest.mark.parametrize("side", ["right", "left"])
def test_lung_lost_behind_is_said(side: str) -> None:
    """The back of one lung is filled as by an effusion: a third of its depth, 30 HU."""
    phantom = make_phantom(4, 64)
    assert segment(phantom.volume).doubts == ()
    lung = phantom.masks[f"{side}_lung"]
    hu = phantom.volume.array.copy()
    rows = np.arange(64)[None, :, None]
    back = np.where(lung, rows, -1).max(1, keepdims=True)
    lost = lung & (rows > back - 10) & (np.arange(64)[:, None, None] < 30)
    hu[lost] = 30.0
    found = segment(phantom.volume.with_array(hu))
    assert [doubt.code for doubt in found.doubts] == ["lung-dense"]
    assert found.doubts[0].organs == (f"{side}_lung",)
    assert f"{side} lung may be too dense" in found.doubts[0].message
    assert found.remarks()[f"{side}_lung"] == "doubtful"
