"""What is printed: a stream that nobody reads, that is closed or narrow must not stop the work."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

_STEERING = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"  # C0 without tab and line feed, delete, C1
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # direction of writing (Unicode annex 9)
    "\\u2028\\u2029]"  # line and paragraph separators
)


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
    """Print a text at once; where the reader has left (``| head``), silently from then on."""
    patient = Patient(stream)
    patient.write(f"{visible(text)}\n")
    patient.flush()


def visible(text: str) -> str:
    """Return the text with what would steer a terminal written out; lines and tabs stay.

    Names of files and texts of DICOM headers come from anywhere: they may clear the screen, turn the order of
    letters around or look like another message.

    >>> print(visible("scan\\x1b[2J \\u202egpj.exe"))
    scan\\x1b[2J \\u202egpj.exe
    """
    return _STEERING.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Return the text as one line: a file name may hold line breaks and look like a message of its own.

    >>> one_line("two\\nlines")
    'two\\\\nlines'
    """
    return visible(text).replace("\n", "\\n")


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
