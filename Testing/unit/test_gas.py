"""Gas in the stomach under the diaphragm is no lung, and a bulla is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from HAGANCore.anatomy import LEFT_LUNG, segment
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.phantoms import make_phantom

THICK = Geometry(shape=(45, 200, 200), spacing=(1.9, 1.9, 8.0), origin=(-190.0, -190.0, -180.0))


@pytest.mark.parametrize(("seed", "geometry", "rel"), [(1, None, 0.03), (4, None, 0.03), (0, THICK, 0.03)])
def test_gas_that_presses_against_the_left_lung_is_none_of_it(
    seed: int, geometry: Geometry | None, rel: float
) -> None:
    phantom = make_phantom(seed, 64, geometry=geometry, bloated=True)
    found = segment(phantom.volume)
    assert phantom.millilitres["stomach_gas"] > 300
    assert np.count_nonzero(found.labels[phantom.masks["stomach_gas"]] == LEFT_LUNG) == 0
    assert found.left_lung_ml == pytest.approx(phantom.millilitres["left_lung"], rel=rel)


def test_a_bloated_stomach_changes_nothing_else_of_a_patient() -> None:
    plain, bloated = (make_phantom(2, 48, bloated=wanted, noise=False) for wanted in (False, True))
    assert "stomach_gas" not in plain.masks
    for name in ("left_lung", "right_lung", "bones"):
        np.testing.assert_array_equal(plain.masks[name], bloated.masks[name])
    changed = np.argwhere(plain.volume.array != bloated.volume.array)
    assert changed[:, 0].max() < np.argwhere(plain.masks["left_lung"])[:, 0].max() - 10  # far below the apex


def a_chest_with(gas_hu: float, centre: tuple[float, float, float], radius: float, wall: float) -> Volume:
    """Return a drawn chest, voxels of 3 mm, with a ball of gas that a wall of ``wall`` mm of tissue parts."""
    z, y, x = 3.0 * np.mgrid[:90, :90, :110].astype(np.float32)
    hu = np.full(x.shape, -1000.0, np.float32)
    hu[((x - 165) / 150) ** 2 + ((y - 130) / 105) ** 2 < 1] = 40
    for side in (85, 245):
        lung = (((x - side) / 55) ** 2 + ((y - 130) / 75) ** 2 < 1) & (z > 90) & (z < 240)
        hu[lung] = -850 + 25 * np.random.default_rng(0).standard_normal(np.count_nonzero(lung))
    away = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    tissue = np.clip((radius + wall - away) / 3 + 0.5, 0, 1)
    hu += tissue * (40 - hu)
    hu += np.clip((radius - away) / 3 + 0.5, 0, 1) * (gas_hu - hu)
    return Volume(hu, Geometry(shape=hu.shape, spacing=(3.0, 3.0, 3.0)))


@pytest.mark.parametrize(
    ("centre", "radius"),
    [((165.0, 130.0, 245.0), 30.0), ((165.0, 130.0, 280.0), 30.0), ((110.0, 150.0, 245.0), 25.0)],
    ids=["inside", "at the ribs", "on the diaphragm"],
)
def test_a_bulla_stays_lung(centre: tuple[float, float, float], radius: float) -> None:
    """The wall of a bulla is thinner than 1 mm (Fleischner Society, Radiology 246 (2008) 697)."""
    volume = a_chest_with(-1000.0, centre, radius, 0.3)
    z, y, x = 3.0 * np.mgrid[:90, :90, :110]
    bulla = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < (radius - 6) ** 2
    assert np.mean(segment(volume).labels[bulla] == LEFT_LUNG) == 1.0


def test_a_wall_of_four_millimetres_keeps_gas_out_of_the_lung() -> None:
    """As large and as dark as a bulla, but in a wall, half in the lung's base and half below it."""
    plain = segment(a_chest_with(40.0, (70.0, 130.0, 245.0), 40.0, 0.0)).left_lung_ml
    found = segment(a_chest_with(-1000.0, (70.0, 130.0, 245.0), 36.0, 4.0)).left_lung_ml
    assert found == pytest.approx(plain, rel=0.02)


def test_gas_under_the_diaphragm_of_a_patient(real_scans: Path) -> None:
    """250 to 290 mL of what seemed to be his left lung, 1,810 mL, were gas."""
    scan = read_volume(real_scans / "thorax_gas_under_diaphragm.nii.gz")
    found = segment(scan)
    gas = np.zeros(scan.array.shape, bool)
    gas[:35] = scan.array[:35] < -900  # the stomach lies in these slices, and lung that is lighter
    assert np.count_nonzero(gas & (found.labels == 0)) * scan.geometry.voxel_ml > 220
    assert 1480 < found.left_lung_ml < 1810 - 250
