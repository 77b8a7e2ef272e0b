"""Resampling in bands and slabs is the three whole matrix products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.imaging.resample import axis_weights, resample

an_edge = st.integers(1, 90)


@settings(derandomize=True, max_examples=25, deadline=None)
@given(
    shape=st.tuples(an_edge, an_edge, an_edge),
    wanted=st.tuples(an_edge, an_edge, an_edge),
    start=st.floats(-20, 20),
    edge=st.booleans(),
)
def test_bands_and_slabs_are_the_whole_products(
    shape: tuple[int, int, int], wanted: tuple[int, int, int], start: float, edge: bool
) -> None:
    source = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    z, y, x = (axis_weights(n, m, start, n / m, edge) for n, m in zip(shape, wanted, strict=True))
    found = np.full(wanted, np.nan, np.float32)

    def keep(planes: slice, values: np.ndarray) -> None:
        found[planes] = values

    resample(source, (z, y, x), keep)
    expected = np.einsum("az,by,cx,zyx->abc", *(w.astype(float) for w in (z, y, x)), source, optimize=True)
    assert found == pytest.approx(expected, abs=2e-3)
