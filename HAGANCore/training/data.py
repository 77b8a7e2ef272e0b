"""In which order volumes are seen, and how they come from the cohort to the device."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ..cohorts.store import Cohort
from ..errors import HaganError


class DataOrder:
    """The endless, shuffled order of a cohort: a pure function of seed and position, so nothing to save.

    Every volume comes once per epoch. Several processes share one order: each takes its part of a batch.

    >>> order = DataOrder(count=3, seed=0)
    >>> sorted(order.indices(0, 3)), sorted(order.indices(3, 6))
    ([0, 1, 2], [0, 1, 2])
    """

    def __init__(self, count: int, seed: int, shuffle: bool = True) -> None:
        if count < 1:
            raise HaganError("The cohort has no volume to train on.")
        self.count, self.seed, self.shuffle = count, seed, shuffle
        self._epoch: tuple[int, list[int]] = (-1, [])

    def indices(self, start: int, stop: int) -> list[int]:
        """Return the volumes at positions ``start`` to ``stop`` of the order."""
        return [self._order_of(place // self.count)[place % self.count] for place in range(start, stop)]

    def _order_of(self, epoch: int) -> list[int]:
        if self._epoch[0] != epoch:
            generator = np.random.default_rng((self.seed, epoch))
            order = generator.permutation(self.count) if self.shuffle else np.arange(self.count)
            self._epoch = (epoch, order.tolist())
        return self._epoch[1]


def batches(
    cohort: Cohort, order: DataOrder, batch: int, seen: int, device: torch.device
) -> Generator[tuple[Tensor, Tensor], None, None]:
    """Yield (volumes (N, 1, R, R, R) in [-1, 1], labels (N,)) for ever, after ``seen`` volumes.

    The next batch is read while the device works on this one.

    Raises:
        HaganError: a volume cannot be read; the message names the file.
    """
    labels = cohort.labels

    def load(start: int) -> tuple[Tensor, Tensor]:
        indices = order.indices(start, start + batch)
        volumes = torch.from_numpy(np.stack([cohort.load(index) for index in indices])).unsqueeze(1)
        if device.type == "cuda":
            volumes = volumes.pin_memory()
        return volumes, torch.from_numpy(labels[indices])

    # A thread is enough: reading a memory-mapped file and copying it release the interpreter lock.
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = reader.submit(load, seen)
        while True:
            volumes, batch_labels = waiting.result()
            seen += batch
            waiting = reader.submit(load, seen)
            yield volumes.to(device, non_blocking=True), batch_labels.to(device)


def random_stream(seed: int, iteration: int, part: int) -> torch.Generator:
    """Return the random numbers of one part of one iteration.

    Derived, not kept: a resumed run draws what the uninterrupted one would have drawn, and processes that
    share a batch draw different numbers.
    """
    mixed = (seed * 1_000_003 + iteration) * 1_009 + part
    return torch.Generator().manual_seed(mixed % 2**63)
