"""Ctrl-C and SIGTERM during a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def asking_to_stop(ask: Callable[[], bool]) -> Iterator[None]:
    """Call ``ask`` at SIGINT or SIGTERM in the block; where it returns False, the signal ends the block.

    Outside the main thread signals are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: object) -> None:
        if not ask():
            raise KeyboardInterrupt

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
