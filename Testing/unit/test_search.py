"""How far to go: the published search step by step, and Broyden's correction by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from HAGANCore.directions.closed_loop import _corrected
from HAGANCore.directions.search import Search


def illinois(function: Callable[[float], float], a: float, b: float, steps: int) -> list[float]:
    """Return the iterates of the Illinois algorithm as published (Dowell & Jarratt, BIT 11 (1971) 168).

    Written down from the paper: the new point c replaces b. Where the sign has changed, the old b becomes a;
    where it has not, a stays and its value is halved.
    """
    value_a, value_b, found = function(a), function(b), []
    for _ in range(steps):
        c = b - value_b * (b - a) / (value_b - value_a)
        value_c = function(c)
        if value_c * value_b < 0:
            a, value_a = b, value_b
        else:
            value_a /= 2
        b, value_b = c, value_c
        found.append(c)
    return found


@pytest.mark.parametrize(
    ("change", "beyond", "measured"),
    [
        # Convex: the far end would stay for ever. Concave: the near one. Both ways along the direction.
        (1.0, 2.0, lambda x: x**3),
        (1.0, 3.0, lambda x: np.sqrt(x)),
        (-1.0, -2.0, lambda x: x**3),
        (2.0, 4.0, lambda x: np.expm1(x / 2)),
    ],
)
def test_the_search_is_the_illinois_algorithm(
    change: float, beyond: float, measured: Callable[[float], float]
) -> None:
    search = Search(change, allowed=1e-9, known={0.0: 0.0})
    length, tried = search.next(beyond, measured(beyond)), []
    for _ in range(4):
        assert length is not None
        tried.append(length)
        length = search.next(length, measured(length))
    expected = illinois(lambda x: measured(x) - change, 0.0, beyond, 4)
    assert tried == pytest.approx(expected, rel=1e-12)


def test_three_steps_by_hand() -> None:
    """x³ = 1 between 0 (error -1) and 2 (error 7)."""
    search = Search(1.0, allowed=1e-9, known={0.0: 0.0})
    first = search.next(2.0, 8.0)
    assert first == pytest.approx(2 * 1 / 8)  # 0.25, error -0.984375
    second = search.next(0.25, 0.25**3)
    assert second == pytest.approx(0.25 + 1.75 * 0.984375 / 7.984375)  # 0.46576
    error = second**3 - 1
    third = search.next(second, second**3)
    assert third == pytest.approx(second + (2 - second) * -error / (-error + 3.5))  # 7 counts half


UNITS = np.array([2.0, 4.0])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((3.0, 1.0), [[3, 0], [1, 4]]),  # Broyden 1965: the column along the move is what it brought
        ((2.0, 0.0), [[2, 0], [0, 4]]),
        ((0.51, 0.0), [[0.51, 0], [0, 4]]),  # a quarter of the calibrated 2 is believed, barely
        ((0.49, 0.0), [[2, 0], [0, 4]]),  # less is a leap of the measurement
        ((7.9, 0.0), [[7.9, 0], [0, 4]]),  # and so is more than four times as much
        ((8.1, 0.0), [[2, 0], [0, 4]]),
        ((-3.0, 0.0), [[-3, 0], [0, 4]]),
    ],
)
def test_slopes_are_corrected_within_what_is_believed(
    answer: tuple[float, float], expected: list[list[float]]
) -> None:
    corrected = _corrected(np.diag(UNITS), np.array([1.0, 0.0]), np.array(answer), UNITS)
    assert corrected == pytest.approx(np.array(expected, float))


def test_a_correction_along_both_directions_by_hand() -> None:
    # moved (1, 1), slopes (2, 4) promised (2, 4), the answer is (3, 3): (1, -1) too much, shared out evenly.
    corrected = _corrected(np.diag(UNITS), np.ones(2), np.array([3.0, 3.0]), UNITS)
    assert corrected == pytest.approx(np.array([[2.5, 0.5], [-0.5, 3.5]]))
    assert corrected @ np.ones(2) == pytest.approx([3, 3])
    assert _corrected(np.diag(UNITS), np.zeros(2), np.ones(2), UNITS) == pytest.approx(np.diag(UNITS))
