"""The messages between a GUI and its worker: one JSON object per line, UTF-8, both ways.

Needs neither Qt nor torch: both transports (``subprocess`` in :mod:`~HAGANCore.worker.client`, a GUI's own)
move bytes, and what they mean is here. ``README.md`` beside this file has an example of each message.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HaganError
from .requests import checked_arguments
from .wire import open_array, release, volume_to_wire

__all__ = [
    "PROTOCOL",
    "Request",
    "RequestError",
    "Requests",
    "ended_message",
    "open_array",
    "parse_request",
    "release",
    "reply_line",
    "volume_to_wire",
    "worker_command",
    "worker_environment",
]

PROTOCOL = 1
KINDS = ("input", "cancelled", "replaced", "memory", "internal")
"""Kinds of errors."""
_LONGEST_LINE = 64 << 20
"""Bytes; arrays go through files, so no message comes near."""

OnResult = Callable[[dict[str, Any]], object]
OnError = Callable[[str, str], object]
OnProgress = Callable[[float, str, "float | None"], object]
OnPart = Callable[[dict[str, Any]], object]


class RequestError(HaganError):
    """A request ended with an error; ``kind`` is one of :data:`KINDS`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been checked."""

    id: int
    name: str
    arguments: dict[str, Any]
    """With their defaults."""


def worker_command(python: str | Path, session: Path) -> list[str]:
    """Return the command line of a worker; ``session`` is the folder that arrays pass through."""
    return [str(python), "-m", "HAGANCore.worker", "--session", str(session)]


def worker_environment() -> dict[str, str]:
    """Return what to add to the environment of a worker, so that it finds this HAGANCore and its paths."""
    folder = str(Path(__file__).resolve().parents[2])
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != folder]
    return {"PYTHONPATH": os.pathsep.join([folder, *others]), "PYTHONUTF8": "1"}


def parse_request(line: bytes) -> Request:
    """Return the request of a line.

    Raises:
        HaganError: it is not one; the message says why. :func:`request_id` finds whom to tell.
    """
    document = _parsed(line)
    if not isinstance(document, dict):
        raise HaganError(f"A request must be one JSON object in one line; found {_shown(line)}.")
    arguments = dict(document)
    id, name = arguments.pop("id", None), arguments.pop("request", None)
    if type(id) is not int or not isinstance(name, str):
        raise HaganError(f"A request needs a whole number 'id' and a text 'request'; found {_shown(line)}.")
    return Request(id, name, checked_arguments(name, arguments))


def request_id(line: bytes) -> int | None:
    """Return the id of a line that may be no request otherwise."""
    document = _parsed(line)
    id = document.get("id") if isinstance(document, dict) else None
    return id if type(id) is int else None


def reply_line(id: int | None, reply: str, **values: Any) -> bytes:
    """Return a reply as a line."""
    document = {"id": id, "reply": reply, **values}
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def ended_message(code: int | None, last_lines: Sequence[str] = ()) -> str:
    """Return one line on how a worker ended: its exit code, or minus the signal, and its last words."""
    how = f"exit code {code}"
    if code is not None and code < 0:
        names = {int(number): number.name for number in signal.Signals}
        how = f"killed by {names.get(-code, f'signal {-code}')}"
        if -code == 9:
            how += ", perhaps because memory ran out"
    said = " ".join(" ".join(last_lines[-1:]).split())
    said = f" Its last words: {said[-300:]}." if said else ""
    return f"The worker process has ended ({how}).{said} The next request starts a new one."


@dataclass(slots=True)
class _Open:
    on_result: OnResult | None
    on_error: OnError | None
    on_progress: OnProgress | None
    on_part: OnPart | None


class Requests:
    """The requests that wait for replies, and whom to tell.

    Callbacks are called from :meth:`feed` and :meth:`fail_all`, in the caller's thread:
    ``on_result(result)``, ``on_error(kind, message)``, ``on_progress(fraction, text, remaining_s)``,
    ``on_part(part)``. Exactly one of ``on_result`` and ``on_error`` ends a request.

    Args:
        on_noise: called with one line of text for a person, for each line that is not a message; it is
            passed over.
    """

    def __init__(self, on_noise: Callable[[str], object] | None = None) -> None:
        self._on_noise = on_noise
        self._open: dict[int, _Open] = {}
        self._last_id = 0
        self._buffer = bytearray()
        self.leaving = False
        """Whether the worker has said that it ends; the next request needs a new one."""

    def request(
        self,
        name: str,
        arguments: Mapping[str, Any],
        on_result: OnResult | None = None,
        on_error: OnError | None = None,
        on_progress: OnProgress | None = None,
        on_part: OnPart | None = None,
    ) -> tuple[int, bytes]:
        """Return a new request's id, and the line to write to the worker's stdin."""
        id = self._last_id + 1
        document = {"id": id, "request": name, **arguments}
        line = json.dumps(document, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        self._last_id = id
        self._open[id] = _Open(on_result, on_error, on_progress, on_part)
        return id, line

    def is_open(self, id: int) -> bool:
        """Whether a request still waits for its end."""
        return id in self._open

    @property
    def open_ids(self) -> tuple[int, ...]:
        """The requests that wait for their end, oldest first."""
        return tuple(self._open)

    def feed(self, data: bytes) -> None:
        """Take bytes from the worker's stdout, cut anywhere, and call the callbacks.

        A callback may feed more (an event loop within an event loop). Where callbacks raise, all lines are
        still dealt with, then the first exception is raised.
        """
        self._buffer += data
        raised: list[Exception] = []
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            try:
                self._deal_with(line)
            except Exception as error:
                raised.append(error)
        if len(self._buffer) > _LONGEST_LINE:
            self._noise(bytes(self._buffer[:100]))
            self._buffer.clear()
        if raised:
            raise raised[0]

    def fail_all(self, kind: str, message: str) -> None:
        """End every open request with an error: the worker has died. What it wrote last is forgotten."""
        self._buffer.clear()
        self.leaving = False
        ended, self._open = self._open, {}
        for waiting in ended.values():
            if waiting.on_error is not None:
                waiting.on_error(kind, message)

    def fail(self, id: int, kind: str, message: str) -> None:
        """End one request with an error; nothing where it has ended."""
        waiting = self._open.pop(id, None)
        if waiting is not None and waiting.on_error is not None:
            waiting.on_error(kind, message)

    def mute(self, id: int) -> None:
        """Call no more callbacks for progress and parts of a request."""
        if id in self._open:
            self._open[id].on_progress = self._open[id].on_part = None

    def _deal_with(self, line: bytes) -> None:
        message = _parsed(line)
        if not _is_reply(message):
            if line.strip():
                self._noise(line)
            return
        id = message["id"]
        self.leaving = self.leaving or message.get("leaving") is True
        if id is None:  # an answer to a line that was no request
            self._noise(str(message["message"]).encode())
        waiting = self._open.get(id)
        if waiting is None:  # ended by fail_all or fail, or not ours
            return
        reply = message["reply"]
        if reply == "progress" and waiting.on_progress is not None:
            waiting.on_progress(float(message["fraction"]), str(message["text"]), message["remaining_s"])
        elif reply == "part" and waiting.on_part is not None:
            waiting.on_part(message["part"])
        elif reply == "result":
            del self._open[id]
            if waiting.on_result is not None:
                waiting.on_result(message["result"])
        elif reply == "error":
            self.fail(id, message["kind"], str(message["message"]))

    def _noise(self, line: bytes) -> None:
        if self._on_noise is not None:
            self._on_noise(f"The worker wrote a line that is no message and was passed over: {_shown(line)}.")


_REPLY_KEYS = {
    "progress": {"fraction", "text", "remaining_s"},
    "part": {"part"},
    "result": {"result"},
    "error": {"kind", "message"},
}


def _is_reply(message: Any) -> bool:
    """Whether a message is a reply of this protocol, all its entries there and of their kind."""
    if not isinstance(message, dict) or not isinstance(message.get("reply"), str):
        return False
    keys = _REPLY_KEYS.get(message["reply"])
    if keys is None or not {"id", *keys} <= message.keys():
        return False
    if message["reply"] == "progress":
        numbers = (message["fraction"], message["remaining_s"] or 0.0)
        return all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers)
    if message["reply"] == "error":
        return message["kind"] in KINDS
    return isinstance(message[message["reply"]], dict)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return repr(text if len(text) <= 100 else text[:99] + "…")
