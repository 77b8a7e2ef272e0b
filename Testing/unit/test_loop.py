"""The training loop with a GAN of three turns that uses everything a turn can ask for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.errors import Cancelled
from HAGANCore.fields import number
from HAGANCore.gans import GAN, GANS, Batch, Losses, Moment, Turn
from HAGANCore.gans.base import Architecture, Options
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.training import Trainer, TrainingConfig
from HAGANCore.training.checkpoint import load_checkpoint


@dataclass(frozen=True, kw_only=True)
class _Options(Options):
    latent: int = 4
    lr: float = number(0.1, "Rate.", above=0)


class _Mean(nn.Module):
    """A generator of constant volumes: one parameter."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        return self.level.expand(len(z), 1, 32, 32, 32)


class _Recorder(GAN):
    """Notes what its turns are given: critic steps, a lazy turn, and a generator that grows."""

    kind = "recorder"
    title = "Recorder"
    source = "none"
    Options, Architecture = _Options, Architecture
    parts: ClassVar = {"generator": _Mean, "critic": _Mean, "new": _Mean}
    seen: ClassVar[list[tuple[str, float, bool]]] = []

    def turns(self, moment: Moment) -> Sequence[Turn]:
        lr, grown = self.options.lr, moment.iteration >= 3
        return [
            Turn(name="C", trains=("critic",), loss=self._loss("critic"), lr=lr, repeat=3, amp=False),
            Turn(name="R", trains=("critic",), loss=self._loss("critic", "R"), lr=lr, every=2),
            Turn(
                name="G",
                trains=("generator", "new") if grown else ("generator",),
                loss=self._loss("generator"),
                lr=lr,
                era=int(grown),
            ),
        ]

    def _loss(self, name: str, turn: str | None = None):
        def loss(batch: Batch) -> Losses:
            level = self.networks[name].level
            recorded = self.networks["generator"].level.requires_grad
            self.seen.append((turn or name[0].upper(), float(batch.real.mean()), recorded))
            return (level - batch.real.mean()).square().sum() + 0 * self.networks["new"].level.sum(), {}

        return loss


@pytest.fixture
def a_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    """A cohort of six constant volumes 0.0, 0.1, …; the recorder is a GAN like any other."""
    monkeypatch.setitem(GANS, _Recorder.kind, _Recorder)
    monkeypatch.setattr(_Recorder, "seen", [])
    with CohortWriter(tmp_path / "cohort", PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(6):
            writer.add(f"v{index}", np.full((32, 32, 32), index / 10, np.float32))
    return Cohort.open(tmp_path / "cohort")


def config(**changed: object) -> TrainingConfig:
    base = {"iterations": 5, "batch": 1, "shuffle": False, "log_every": 1, "preview_every": 100}
    return TrainingConfig.of(gan="recorder", **base | changed)


def test_turns_repeat_on_their_own_batches_and_lazy_ones_wait(a_cohort: Cohort, tmp_path: Path):
    Trainer(a_cohort, tmp_path / "run", config(iterations=2)).run()
    turns = [(turn, round(mean, 1)) for turn, mean, _ in _Recorder.seen]
    # Three batches each for the critic; the other turns use the last of them. The lazy one waits once.
    assert turns == [
        *(("C", 0.0), ("C", 0.1), ("C", 0.2), ("R", 0.2), ("G", 0.2)),
        *(("C", 0.3), ("C", 0.4), ("C", 0.5), ("G", 0.5)),
    ]


def test_a_turn_records_gradients_of_what_it_trains_alone(a_cohort: Cohort, tmp_path: Path):
    Trainer(a_cohort, tmp_path / "run", config(iterations=1)).run()
    assert [(turn, recorded) for turn, _, recorded in _Recorder.seen] == [
        *[("C", False)] * 3,
        ("R", False),
        ("G", True),
    ]


def test_an_optimiser_of_another_era_starts_anew_and_trains_what_has_grown(a_cohort: Cohort, tmp_path: Path):
    trainer = Trainer(a_cohort, tmp_path / "run", config())
    data = itertools.repeat((torch.full((1, 1, 32, 32, 32), 0.5), torch.full((1,), -1)))
    for _ in range(3):
        trainer.iterate(data)
    before = trainer.optimisers.by_turn["G"]
    assert len(before.param_groups[0]["params"]) == 1
    trainer.iterate(data)
    after = trainer.optimisers.by_turn["G"]
    assert after is not before
    assert len(after.param_groups[0]["params"]) == 2
    assert [int(state["step"]) for state in after.state.values()] == [1, 1]


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_run_is_resumed_across_growth_and_lazy_turns(a_cohort: Cohort, tmp_path: Path, stop: int):
    Trainer(a_cohort, tmp_path / "whole", config()).run()
    first = Trainer(a_cohort, tmp_path / "parts", config())

    def cancel(fraction: float, text: str = "") -> None:
        if first.iteration == stop:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        first.run(cancel)
    Trainer(a_cohort, tmp_path / "parts", config(), resume=True).run()
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "parts"))
    for name, value in whole["networks"].items():
        assert torch.equal(value, parts["networks"][name]), name
    for name in ("C", "R", "G"):
        one, other = whole["optimisers"][name], parts["optimisers"][name]
        assert one["era"] == other["era"]
        for key, state in one["state"]["state"].items():
            for part, value in state.items():
                assert torch.equal(value, other["state"]["state"][key][part]), (name, part)
