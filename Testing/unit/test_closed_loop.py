"""Steps that are measured and corrected: met, named where they are not, cancelled, refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from HAGANCore import Cancelled, HaganError, Model, load_model
from HAGANCore.directions.closed_loop import MOST_VOLUMES, ClosedLoop, reach
from HAGANCore.directions.direction import Direction, directions_of
from HAGANCore.directions.search import FARTHEST, Search
from HAGANCore.directions.step import measure
from HAGANCore.directions.walk import walk


def test_steps_meet_their_changes_and_know_what_earlier_ones_measured(
    a_model: Model, a_lung_direction: Direction
):
    changes = [-400.0, -200.0, 200.0, 400.0]
    walked = walk(a_model, a_model.latent(4), a_lung_direction, changes)
    assert walked.exact
    assert [step.requested for step in walked.steps] == changes
    assert [step.measured for step in walked.steps] == pytest.approx(changes, rel=0.021)
    assert not any(step.note for step in walked.steps)
    alone = [reach(a_model, a_model.latent(4), a_lung_direction, change) for change in changes]
    assert sum(step.iterations for step in walked.steps) < sum(step.iterations for step in alone)


def test_a_known_step_is_not_measured_again(a_model: Model, a_lung_direction: Direction):
    loop = ClosedLoop(a_model, a_model.latent(1))
    once = loop.step([(a_lung_direction, 400.0)])
    again = loop.step([(a_lung_direction, once.measured)])
    assert again.measured == pytest.approx(once.measured)
    assert again.iterations <= 1  # its volume is not kept


@pytest.mark.parametrize(
    ("change", "end", "nearest"),
    [(-900.0, -3.3, -900.0), (-2000.0, -3.3, -990.0), (700.0, 4.0, 700.0), (-900.0, 0.0, 0.0)],
)
def test_a_search_turns_back_where_nothing_can_be_measured(change: float, end: float, nearest: float):
    search = Search(change, allowed=20.0, known={0.0: 0.0})
    length, best = search.first(calibrated=math.copysign(4.5, change)), 0.0
    for _ in range(20):
        if length is None or abs(best - change) <= 20:
            break
        if abs(length) > abs(end):
            length = search.lost(length)
        else:
            best = min(best, 300 * length, key=lambda got: abs(got - change))
            length = search.next(length, 300 * length)
    assert best == pytest.approx(nearest, abs=20)


def test_several_sliders_are_met_together():
    model = load_model("demo", "cpu")  # calibrated directions: the millilitres of one hardly move the other
    known = directions_of(model)
    lungs, bones = known["lung volume"], known["bone volume"]
    loop = ClosedLoop(model, model.latent(4))
    both = loop.step([(lungs, 300.0), (bones, 100.0)], tolerance=0.05)
    assert both.note == ""
    assert both.measured == pytest.approx(300, rel=0.051)
    start = measure(bones, loop.start(bones).volume, loop.start(bones).segmentation)
    assert measure(bones, both.volume, both.segmentation) - start == pytest.approx(100, rel=0.051)
    assert [step["direction"] for step in both.latent.facts["steps"]] == ["lung volume", "bone volume"]


def test_what_cannot_be_met_says_what_was_asked_and_what_is_nearest(
    a_model: Model, some_directions: dict[str, Direction]
):
    lungs, bones = some_directions["lung volume"], some_directions["bone volume"]
    loop = ClosedLoop(a_model, a_model.latent(1))
    for wanted in ([(lungs, 30_000.0)], [(lungs, 30_000.0), (bones, 0.0)]):
        step = loop.step(wanted)
        assert step.note
        assert step.requested == 30_000
        assert 0 < step.measured < 30_000
        assert step.iterations <= MOST_VOLUMES
        told = step.latent.facts["steps"]
        assert [each["amount"] for each in told] == [change for _, change in wanted]
        assert all(each["corrected"] for each in told)
        assert max(abs(each["length"]) for each in told) <= FARTHEST


def test_what_is_known_never_makes_a_step_worse(a_model: Model, a_lung_direction: Direction):
    loop = ClosedLoop(a_model, a_model.latent(7))
    seen: list[float] = []
    for change in (-450.0, 380.0, 410.0, -60.0, 455.0):
        step = loop.step([(a_lung_direction, change)], 0.005, progress=lambda f, text="": seen.append(f))
        assert seen == sorted(seen)
        seen.clear()
        alone = reach(a_model, a_model.latent(7), a_lung_direction, change, 0.005)
        allowed = 0.005 * abs(change)
        assert abs(step.measured - change) <= max(allowed, abs(alone.measured - change)) + 1e-6


def test_all_that_is_not_met_is_named(a_model: Model, some_directions: dict[str, Direction]):
    lungs, bones = some_directions["lung volume"], some_directions["bone volume"]
    note = ClosedLoop(a_model, a_model.latent(1)).step([(lungs, 30_000.0), (bones, 9_000.0)]).note
    assert "'lung volume' is off by −" in note
    assert "'bone volume' is off by −" in note


def test_too_few_volumes_are_no_end_of_the_range(a_model: Model, a_lung_direction: Direction):
    known = a_lung_direction.calibration
    short = replace(known, step=tuple(length / 3 for length in known.step))
    step = reach(a_model, a_model.latent(1), replace(a_lung_direction, calibration=short), 700.0, most=1)
    assert "was not reached within the volumes allowed" in step.note
    assert step.iterations == 1


@pytest.mark.parametrize("wrong", [{"wanted": []}, {"most": 0}, {"tolerance": math.nan}])
def test_a_step_to_nowhere_is_refused(a_model: Model, a_lung_direction: Direction, wrong: dict[str, Any]):
    loop = ClosedLoop(a_model, a_model.latent(1))
    with pytest.raises(HaganError, match="needs a direction, a volume to measure and a tolerance"):
        loop.step(**{"wanted": [(a_lung_direction, 1.0)], **wrong})


def test_a_step_can_be_cancelled_before_its_first_volume_is_measured(
    a_model: Model, a_lung_direction: Direction
):
    heard: list[float] = []

    def cancel(fraction: float, text: str = "") -> None:
        heard.append(fraction)
        raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        reach(a_model, a_model.latent(1), a_lung_direction, 300.0, progress=cancel)
    assert heard[0] < 0.1
