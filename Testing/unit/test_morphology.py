"""The morphology that the segmentation stands on: what it adds, takes away and counts."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.anatomy.morphology import closed, label_slices, opened


@settings(derandomize=True, max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), radius=st.floats(1.0, 6.0))
def test_closing_adds_and_opening_takes_away(seed: int, radius: float) -> None:
    mask = np.random.default_rng(seed).random((12, 13, 14)) < 0.4
    spacing = (3.0, 1.0, 2.0)
    assert (closed(mask, radius, spacing) >= mask).all()
    assert (opened(mask, radius, spacing) <= mask).all()
    np.testing.assert_array_equal(
        closed(np.flip(mask, 1), radius, spacing), np.flip(closed(mask, radius, spacing), 1)
    )


def test_regions_of_slices_are_numbered_upwards() -> None:
    mask = np.random.default_rng(0).random((9, 20, 20)) < 0.5
    regions, counts = label_slices(mask)
    assert counts[1:].sum() == mask.sum()
    for below, above in itertools.pairwise(regions):
        assert below.max() < above[above > 0].min()
