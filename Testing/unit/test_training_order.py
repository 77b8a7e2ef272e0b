"""What a run sees, and when: the order of a cohort's volumes, and the slabs that are drawn from them."""

from __future__ import annotations

import numpy as np
import torch

from HAGANCore.gans.hagan.batch import draw_slab
from HAGANCore.training.data import DataOrder


def test_every_volume_comes_once_per_epoch_in_a_new_order():
    order = DataOrder(count=7, seed=3)
    epochs = [order.indices(7 * e, 7 * e + 7) for e in range(3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_order_is_a_function_of_the_position():
    order = DataOrder(count=5, seed=1)
    assert order.indices(0, 12)[4:9] == DataOrder(count=5, seed=1).indices(4, 9)


def test_first_and_last_slices_are_drawn_as_often_as_the_middle():
    low_size, depth = 64, 8
    random = torch.Generator().manual_seed(0)
    seen = np.zeros(low_size)
    for _ in range(20_000):
        start = draw_slab(low_size, depth, random)
        seen[start : start + depth] += 1
    assert seen.min() > 0.9 * seen[20:40].mean()
    assert seen.max() < 2.1 * seen[20:40].mean()
