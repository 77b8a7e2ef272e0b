"""What went wrong, in one line that a person can act on."""

from __future__ import annotations

import errno
from pathlib import Path

from .errors import HaganError
from .files import file_among

_ADVICE = {
    errno.ENOSPC: "free some space on the disk, or write to another disk",
    errno.EDQUOT: "your disk quota is used up; free some space, or write to another disk",
    errno.EFBIG: "files of this size are not allowed here; write to another place",
    errno.EROFS: "write to a place that is not read-only",
    errno.EACCES: "choose a place that you are allowed to read and write",
    errno.EPERM: "choose a place that you are allowed to read and write",
}
"""What to do about an error of the system."""


def describe(error: BaseException) -> str:
    """Return one line that a person can act on."""
    if isinstance(error, KeyboardInterrupt):
        return "Stopped."
    if isinstance(error, HaganError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory; close other programs or choose a smaller size."
    if isinstance(error, OSError) and error.strerror:
        return _describe_system(error)
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text} (run again with --debug for the traceback)"


def _describe_system(error: OSError) -> str:
    """Return what the system said, of which file, and what to do."""
    advice = _ADVICE.get(error.errno or 0, "check the place")
    if error.filename is None:
        return f"{error.strerror}; {advice}."
    if (file := file_among(Path(error.filename).parent)) is not None:
        advice = f"'{file}' is a file, not a folder"
    return f"'{error.filename}': {error.strerror}; {advice}."
