"""What is printed: a stream that nobody reads, that is closed or narrow must not stop the work."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO


def prepare_streams() -> None:
    """Open what was closed (``>&-``), and let a narrow encoding print ``\\xb3`` where it has no "³"."""
    # In this order each gets its own number again; else the next file would, and libraries print into that.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115  until the process ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="backslashreplace")


def say(text: str, stream: TextIO) -> None:
    """Print a line at once; where the reader has left (``| head``), silently from then on."""
    patient = Patient(stream)
    patient.write(f"{text}\n")
    patient.flush()


def flush() -> None:
    """Write out what waits, so that the interpreter's end finds nothing that it could complain of."""
    for stream in (sys.stdout, sys.stderr):
        Patient(stream).flush()


class Patient:
    """A stream that takes a reader who has left for one who does not listen."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        with suppress(BrokenPipeError):
            return self._stream.write(text)
        _send_nowhere(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write out what waits."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            _send_nowhere(self._stream)

    def __getattr__(self, name: str) -> Any:
        """Leave everything else to the stream."""
        return getattr(self._stream, name)


def _send_nowhere(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
