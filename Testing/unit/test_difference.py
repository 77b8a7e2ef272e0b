"""What a reconstruction changed of a scan, against NumPy's own percentile."""

from __future__ import annotations

import numpy as np
import pytest

from HAGANCore.imaging.difference import difference_of, spread_of


def test_whole_numbers_stay_whole_and_do_not_overflow() -> None:
    scan = np.array([[[-30_000, 100, 7]]], np.int16)
    made = np.array([[[30_000, 90, 7]]], np.int16)
    found = difference_of(made, scan)
    assert found.dtype == np.int16
    assert found.tolist() == [[[32_767, -10, 0]]]


def test_what_the_model_cannot_show_is_no_difference() -> None:
    scan = np.array([[[-2_000.0, 3_000.0, 100.0]]])
    made = np.array([[[-1_000, 600, 50]]])
    assert difference_of(made, scan, (-1000, 600)).tolist() == [[[0.0, 0.0, -50.0]]]


@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_the_spread_is_the_99th_percentile(kind: type) -> None:
    difference = (200 * np.random.default_rng(1).standard_normal((20, 30, 40))).astype(kind)
    largest = np.abs(difference.astype(float)).max()
    wanted = np.percentile(np.abs(difference.astype(float)), 99)
    assert spread_of(difference) == pytest.approx(wanted, abs=1 + largest / 2000)


def test_where_nothing_differs_the_spread_is_nought() -> None:
    assert spread_of(np.zeros((2, 3, 4), np.int16)) == 0.0
