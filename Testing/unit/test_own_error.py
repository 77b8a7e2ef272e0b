"""A model's error on its own volumes, held against the definition of a mean absolute error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.inference.model import Model, load_model
from HAGANCore.inference.own_error import own_error


@pytest.fixture
def a_model(a_model_file: Callable[..., Path]) -> Model:
    return load_model(a_model_file(), device="cpu")


def test_it_is_the_mean_absolute_difference_of_three_volumes_and_their_reconstructions(
    a_model: Model,
) -> None:
    differences = []
    for seed in (1, 2, 3):
        volume = a_model.generate(seed=seed)
        encoding = a_model.encode(volume, force=True)
        apart = volume.array.astype(float) - encoding.reconstruction.array.astype(float)
        differences.append(np.abs(apart[encoding.inside]).mean())
    assert own_error(a_model) == pytest.approx(np.mean(differences), rel=1e-5)


def test_a_model_that_cannot_encode_has_none(a_model_file: Callable[..., Path]) -> None:
    assert own_error(load_model(a_model_file(encoders=False), device="cpu")) is None


def test_it_is_left_out_where_it_would_take_more_than_ten_seconds(a_model: Model) -> None:
    a_model.plan = replace(a_model.plan, seconds=1.2)  # nine volumes: 10.8 s
    assert own_error(a_model) is None
    a_model.plan = replace(a_model.plan, seconds=1.1)  # 9.9 s
    assert own_error(a_model) is not None
