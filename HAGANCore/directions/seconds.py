"""How long each of several directions took, where part of the work is done for all of them at once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Seconds:
    """Seconds of work by direction. What an earlier run has measured already takes none."""

    def __init__(self) -> None:
        self.own: dict[str, float] = {}
        """Direction's name: its fit, its steps and its calibration."""

    @contextmanager
    def of(self, *names: str) -> Iterator[None]:
        """Count the block for these directions, in equal parts: each measures as many steps as the others."""
        begun = time.perf_counter()
        yield
        for name in names:
            self.own[name] = self.own.get(name, 0.0) + (time.perf_counter() - begun) / len(names)
