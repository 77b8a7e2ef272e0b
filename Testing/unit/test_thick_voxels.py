"""Bones in voxels as thick as a rib: the network, the file it comes in, and how it is made."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from HAGANCore import resource_path
from HAGANCore.anatomy import BONES, segment, thick
from HAGANCore.anatomy.thick import WEIGHTS, is_thick, likelihood, mirrored, surroundings, windows
from HAGANCore.imaging.volume import Volume
from HAGANCore.phantoms import draw_parameters, make_phantom

ROOT = Path(__file__).resolve().parents[2]
CUBE = (6.0, 5.0, 5.0)
"""mm, the voxels of models at 64³."""


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    """Return the Dice of two masks."""
    return 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))


@pytest.mark.parametrize("density", [85.0, 150.0, 215.0])
@pytest.mark.parametrize("size", [0.85, 1.15])
def test_bones_slender_or_heavy_sparse_or_dense(density: float, size: float) -> None:
    # The most slender and sparse ones together are the hardest: 0.83; all others reach 0.88 and more.
    parameters = replace(draw_parameters(21), bone_density=density, bone_size=size, contrast=0.0)
    phantom = make_phantom(21, 64, parameters=parameters)
    assert overlap(segment(phantom.volume).labels == BONES, phantom.masks["bones"]) > 0.8


def test_it_is_for_thick_voxels_only() -> None:
    assert is_thick(CUBE)
    assert is_thick((4.5, 8.0, 4.5))
    for other in ((2.75, 2.5, 2.5), (11.0, 10.0, 10.0), (5.0, 0.7, 0.7), (4.49, 5.0, 5.0), (5.0, 5.0, 8.01)):
        assert not is_thick(other), other


def test_a_mirrored_patient_has_mirrored_bones() -> None:
    hu = np.random.default_rng(0).integers(-900, 700, (9, 10, 11)).astype(np.int16)
    everywhere = np.ones(hu.shape, bool)
    flipped = likelihood(np.ascontiguousarray(hu[:, :, ::-1]), everywhere, CUBE)
    np.testing.assert_allclose(flipped[:, :, ::-1], likelihood(hu, everywhere, CUBE), atol=1e-5)
    seen = surroundings(windows(hu), everywhere, CUBE)
    np.testing.assert_array_equal(mirrored(mirrored(seen)), seen)


def test_each_voxel_sees_its_own_surroundings() -> None:
    hu = np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9) - 250
    at = np.zeros(hu.shape, bool)
    at[3, 4, 5] = at[2, 2, 2] = True
    seen = surroundings(windows(hu), at, CUBE)
    np.testing.assert_allclose(seen[1, :125].reshape(5, 5, 5) * 300, hu[1:6, 2:7, 3:8], atol=1e-3)
    np.testing.assert_allclose(seen[0, :125].reshape(5, 5, 5) * 300, hu[:5, :5, :5], atol=1e-3)
    np.testing.assert_allclose(np.exp(seen[:, 125:]) * 5, [CUBE, CUBE], rtol=1e-6)


def test_tissue_all_alike_is_no_bone_and_a_bone_is() -> None:
    hu = np.full((9, 9, 9), 50, np.int16)
    everywhere = np.ones(hu.shape, bool)
    assert not likelihood(hu, everywhere, CUBE).any(), "nothing dense enough for a look"
    hu[:] = 120
    assert likelihood(hu, everywhere, CUBE).max() < 0.1
    hu[2:7, 2:7, 2:7] = 400
    assert likelihood(hu, everywhere, CUBE)[3:6, 3:6, 3:6].min() > 0.5


def test_many_voxels_are_judged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    hu = np.random.default_rng(0).integers(-900, 700, (9, 10, 11)).astype(np.int16)
    everywhere = np.ones(hu.shape, bool)
    whole = likelihood(hu, everywhere, CUBE)
    monkeypatch.setattr(thick, "_AT_ONCE", 100)
    np.testing.assert_allclose(likelihood(hu, everywhere, CUBE), whole, atol=1e-6)


def test_padding_beyond_the_ends_of_a_scan_changes_nothing() -> None:
    volume = make_phantom(3, 64).volume
    padded = np.pad(volume.array, ((8, 8), (0, 0), (0, 0)), constant_values=-2048)
    geometry = replace(volume.geometry, shape=padded.shape)
    measured, expected = segment(Volume(padded, geometry)), segment(volume)
    assert measured.bones_ml == pytest.approx(expected.bones_ml, rel=0.003)


def test_the_file_says_what_it_learnt_from() -> None:
    with safe_open(resource_path(WEIGHTS), "numpy") as file:
        card = json.loads(file.metadata()["hagan"])
    assert "computed phantoms" in card["trained_on"]
    assert "no patients" in card["trained_on"]
    assert (ROOT / card["made_by"].split()[1]).is_file()


def test_the_script_makes_such_a_file_and_the_same_again(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "Testing" / "train_thick_voxels.py"), "--phantoms", "3"]
    made = []
    for name in ("a", "b"):
        out = tmp_path / f"{name}.safetensors"
        subprocess.run([*command, "--jobs", "1", "--out", str(out)], check=True, capture_output=True)
        made.append(out)
    assert made[0].read_bytes() == made[1].read_bytes(), "the same file again"
    shipped = load_file(resource_path(WEIGHTS))
    assert {name: w.shape for name, w in load_file(made[0]).items()} == {
        name: w.shape for name, w in shipped.items()
    }
