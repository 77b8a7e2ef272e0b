"""Errors of a reconstruction, against their definitions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from HAGANCore.errors import HaganError
from HAGANCore.inference.error_measures import ErrorMeasures, measure_errors, moving_sum

WINDOW = (-1024.0, 600.0)
WIDTH = 1624.0


def a_scan(shape: tuple[int, int, int] = (12, 20, 17), seed: int = 0) -> npt.NDArray[np.float64]:
    random = np.random.default_rng(seed)
    smooth = np.add.outer(np.linspace(-1000, 0, shape[0]), np.linspace(0, 400, shape[1]))
    return smooth[..., None] + random.normal(0, 60, shape)


def ssim_by_definition(x: npt.NDArray, y: npt.NDArray) -> float:
    """Return the mean SSIM of two arrays with range 1, window by window."""
    a, b = (sliding_window_view(array, (7, 7, 7)) for array in (x, y))
    axes = (3, 4, 5)
    mean_a, mean_b = a.mean(axes), b.mean(axes)
    covariance = (a * b).mean(axes) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (a.var(axes) + b.var(axes) + 9e-4)
    return float((luminance * structure).mean())


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), noise=st.sampled_from([0.5, 20.0, 300.0]))
def test_measures_are_those_of_the_definitions(seed: int, noise: float) -> None:
    scan = a_scan((12 if seed % 2 else 101, 20, 17), seed)  # 101 planes are compared in three threads
    shown = scan + np.random.default_rng(seed + 1).normal(0, noise, scan.shape)
    found = measure_errors(scan, shown, WINDOW)
    x, y = (np.clip(array, *WINDOW) for array in (scan, shown))
    assert found.mae == pytest.approx(np.abs(x - y).mean(), rel=1e-5)
    assert found.psnr_db == pytest.approx(10 * np.log10(WIDTH**2 / np.square(x - y).mean()), abs=1e-4)
    expected = ssim_by_definition((x + 1024) / WIDTH, (y + 1024) / WIDTH)
    assert found.ssim == pytest.approx(expected, abs=1e-5)


def test_equal_volumes_have_no_error() -> None:
    scan = a_scan().astype(np.int16)
    found = measure_errors(scan, scan, WINDOW)
    assert found.mae == 0
    assert found.ssim == pytest.approx(1, abs=1e-6)
    assert found.psnr_db == float("inf")
    assert found.to_dict()["psnr_db"] is None


def test_errors_are_told_by_the_scans_tissue() -> None:
    scan = np.full((4, 8, 8), -1000.0)
    scan[1], scan[2], scan[3] = -800, 40, 400
    shown = scan + np.array([10.0, -20.0, 30.0, -40.0])[:, None, None]
    found = measure_errors(scan, shown, WINDOW)
    assert found.tissue_mae == pytest.approx({"air": 10, "lung": 20, "soft_tissue": 30, "bone": 40})
    assert found.mae == pytest.approx(25)


def test_only_tissue_that_is_there_is_told() -> None:
    scan = np.full((4, 8, 8), 30.0)
    assert measure_errors(scan, scan + 5, WINDOW).tissue_mae == pytest.approx({"soft_tissue": 5})


def test_what_the_model_cannot_show_does_not_count() -> None:
    scan = np.full((4, 8, 8), -2048, np.int16)  # padding
    scan[2:] = 3000  # metal
    shown = np.full(scan.shape, -1024, np.int16)
    shown[2:] = 600
    assert measure_errors(scan, shown, WINDOW).mae == 0


def test_not_a_number_is_the_lower_end() -> None:
    scan = a_scan()
    scan[3, 4, 5] = np.nan
    filled = np.nan_to_num(scan, nan=-1024.0)
    assert measure_errors(scan, filled, WINDOW).mae == 0


def test_other_units_have_no_tissue() -> None:
    found = measure_errors(a_scan(), a_scan(seed=1), (0.0, 140.0), "a.u.")
    document = found.to_dict()
    assert document["tissue_mae"] == {}
    assert "mae_hu" not in document
    assert document["mae"] == found.mae


def test_names_in_the_document() -> None:
    document = ErrorMeasures(mae=1.0, psnr_db=30.0, ssim=0.9, tissue_mae={"lung": 2.0}).to_dict()
    assert document == {
        "mae_hu": 1.0,
        "psnr_db": 30.0,
        "ssim": 0.9,
        "unit": "HU",
        "tissue_mae_hu": {"lung": 2.0},
    }


def test_thin_volumes_have_a_similarity_too() -> None:
    scan = a_scan((3, 9, 9))
    assert 0 < measure_errors(scan, scan + 50, WINDOW).ssim < 1


@pytest.mark.parametrize("shape", [(12, 20, 16), (0, 20, 17), (20, 17)])
def test_what_cannot_be_compared_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(HaganError, match="of one shape and not empty"):
        measure_errors(np.zeros(shape) if 0 in shape else a_scan(), np.zeros(shape), WINDOW)


@pytest.mark.parametrize("count", range(1, 9))
def test_moving_sums(count: int) -> None:
    array = np.random.default_rng(count).normal(size=(9, 3)).astype(np.float32)
    expected = sliding_window_view(array, count, axis=0).sum(-1)
    assert moving_sum(array, count) == pytest.approx(expected, abs=1e-5)
