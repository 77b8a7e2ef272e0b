"""Profiles: values and their way back, and refusal of what cannot be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.errors import HaganError
from HAGANCore.preparation.profiles import PROFILES, Profile, profile_named

NAMES = sorted(PROFILES)


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_survives_json(name: str) -> None:
    profile = PROFILES[name]
    assert profile.name == name
    assert Profile.from_dict(json.loads(json.dumps(profile.to_dict()))) == profile


@settings(derandomize=True, max_examples=50, deadline=None)
@given(value=st.floats(-4000, 4000), name=st.sampled_from(NAMES))
def test_normalising_clips_and_denormalising_inverts(value: float, name: str) -> None:
    profile = PROFILES[name]
    unit = profile.normalise([value])
    assert unit.dtype == np.float32
    assert -1 <= unit[0] <= 1
    assert profile.denormalise(unit)[0] == pytest.approx(np.clip(value, *profile.window), abs=1e-3)


def test_the_published_windows() -> None:
    ct, brain = PROFILES["thorax-ct"], PROFILES["brain-mr"]
    np.testing.assert_allclose(ct.normalise([-1024, -212, 600, 3000, np.nan]), [-1, 0, 1, 1, -1], atol=1e-6)
    np.testing.assert_allclose(brain.normalise([0, 70, 140, 255]), [-1, 0, 1, 1], atol=1e-6)


def test_normalising_leaves_its_input_alone() -> None:
    values = np.array([-2000.0, 0.0, np.nan], np.float32)
    before = values.copy()
    PROFILES["thorax-ct"].normalise(values)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("size", [32, 256])
def test_a_generated_thorax_has_true_millimetres(size: int) -> None:
    profile = PROFILES["thorax-ct-fov"]
    geometry = profile.cube_geometry(size)
    assert profile.physical
    assert geometry.extent_mm == (384.0, 320.0, 320.0)
    corners = geometry.matrix @ np.array([[0, 0, 0, 1], [size - 1, size - 1, size - 1, 1]]).T
    np.testing.assert_allclose(corners[:3].sum(axis=1), 0, atol=1e-9)
    assert geometry.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_stretched_profiles_say_that_their_millimetres_are_nominal() -> None:
    assert not PROFILES["thorax-ct"].physical
    assert not PROFILES["brain-mr"].physical


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("anatomy", "foot"),
        ("modality", "PET"),
        ("unit", None),
        ("window", [600, -1024]),
        ("window", [0, "1"]),
        ("window", [0]),
        ("window", [float("nan"), 1]),
        ("window", 7),
        ("percentiles", [-1, 50]),
        ("axes", "SPX"),
        ("axes", "SIL"),
        ("axes", 12),
        ("extent_mm", [1, 2, -3]),
        ("extent_mm", [True, 1, 1]),
        ("stretch", [1, 0, 0]),
        ("pad_edge", "yes"),
        ("trim_blank", 1),
        ("centre", "heart"),
        ("flavour", "sweet"),
    ],
)
def test_a_damaged_profile_is_refused_in_one_line(field: str, value: object) -> None:
    stored = {**PROFILES["thorax-ct"].to_dict(), field: value}
    with pytest.raises(HaganError) as caught:
        Profile.from_dict(stored)
    assert "\n" not in str(caught.value)
    assert field in str(caught.value) or field == "name"


@pytest.mark.parametrize("stored", [None, [], "thorax-ct", {}, {"name": "x"}])
def test_something_else_than_a_profile_is_refused(stored: object) -> None:
    with pytest.raises(HaganError, match="rofile"):
        Profile.from_dict(stored)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(HaganError, match="thorax-ct-fov"):
        profile_named("thorax")
