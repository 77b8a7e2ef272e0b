"""A request that is being worked on: its replies, and how it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..errors import Cancelled
from .protocol import Request, reply_line

_PROGRESS_SECONDS = 0.05
"""Between two progress replies: more often nobody sees."""
_ESTIMATE_SECONDS, _ESTIMATE_FRACTION = 0.5, 0.02
"""From when on a remaining time is worth saying."""


class Stopped(Cancelled):
    """The job was asked to stop; ``kind`` says why: ``cancelled`` or ``replaced``."""

    def __init__(self, kind: str) -> None:
        super().__init__("Stopped." if kind == "cancelled" else "A newer step has taken its place.")
        self.kind = kind


class Job:
    """A request from its arrival to its one end.

    Its methods may be called from any thread; what comes after the end is not sent.

    Args:
        request: checked.
        write: writes a line to the other side.
    """

    def __init__(self, request: Request, write: Callable[[bytes], None]) -> None:
        self.id, self.name, self.arguments = request.id, request.name, request.arguments
        self.ended = threading.Event()
        self._write = write
        self._lock = threading.Lock()
        self._stop: str | None = None
        self._begun: float | None = None
        self._last_progress = 0.0

    def begin(self) -> None:
        """Note that the work begins now: the remaining time is estimated from here."""
        self._begun = time.monotonic()

    @property
    def running(self) -> bool:
        """Whether the work has begun and has not ended."""
        return self._begun is not None and not self.ended.is_set()

    def stop(self, kind: str) -> None:
        """Ask the work to stop: ``cancelled`` or ``replaced``. The first reason counts."""
        self._stop = self._stop or kind

    def check(self) -> None:
        """Raise :class:`Stopped` where a stop was asked for."""
        if self._stop is not None:
            raise Stopped(self._stop)

    def progress(self, fraction: float, text: str = "") -> None:
        """Report how far the work is; a :class:`~HAGANCore.progress.Progress`. Raises :class:`Stopped`."""
        self.check()
        now = time.monotonic()
        if now - self._last_progress < _PROGRESS_SECONDS and fraction < 1:
            return
        self._last_progress = now
        elapsed = 0.0 if self._begun is None else now - self._begun
        remaining = None
        if elapsed >= _ESTIMATE_SECONDS and fraction >= _ESTIMATE_FRACTION:
            remaining = round(elapsed * (1 - min(fraction, 1.0)) / fraction, 1)
        self._send("progress", fraction=round(float(fraction), 4), text=text, remaining_s=remaining)

    def relay_progress(self, fraction: float, text: str, remaining_s: float | None) -> None:
        """Pass on the progress of a process that does the work."""
        self.check()
        self._send("progress", fraction=fraction, text=text, remaining_s=remaining_s)

    def part(self, part: dict[str, Any]) -> None:
        """Send one finished thing of a longer job."""
        self._send("part", part=part)

    def result(self, result: dict[str, Any]) -> None:
        """End with a result."""
        self._send("result", ends=True, result=result)

    def error(self, kind: str, message: str, **more: Any) -> None:
        """End with an error; ``message`` becomes one line."""
        self._send("error", ends=True, kind=kind, message=" ".join(message.split()), **more)

    def _send(self, reply: str, ends: bool = False, **values: Any) -> None:
        line = reply_line(self.id, reply, **values)
        with self._lock:
            if self.ended.is_set():
                return
            if ends:
                self.ended.set()
            self._write(line)
