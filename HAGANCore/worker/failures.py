"""What went wrong, in the words of the protocol: a kind, and one line for a person."""

from __future__ import annotations

import sys

from ..errors import Cancelled, HaganError, OutOfMemory
from .job import Stopped
from .protocol import RequestError


def describe(error: BaseException) -> tuple[str, str]:
    """Return kind and message of an error.

    >>> describe(HaganError("The seed must be a whole number; found 1.5."))
    ('input', 'The seed must be a whole number; found 1.5.')
    >>> describe(OutOfMemory("Memory ran out; take a smaller model."))
    ('memory', 'Memory ran out; take a smaller model.')
    """
    if isinstance(error, Stopped | RequestError):
        return error.kind, str(error)
    if isinstance(error, Cancelled):
        return "cancelled", str(error)
    if _is_memory(error):
        return "memory", str(error) if isinstance(error, HaganError) else _memory_message(error)
    if isinstance(error, HaganError):
        return "input", str(error)
    if isinstance(error, ModuleNotFoundError):
        return "input", f"The Python package '{error.name}' is not installed; install it, then try again."
    if isinstance(error, OSError) and error.strerror:
        place = f": '{error.filename}'" if error.filename else ""
        return "input", f"{error.strerror}{place}; check the place, its rights and the free space."
    text = " ".join(str(error).split())
    return "internal", f"Unexpected {type(error).__name__}: {text}. Please report it with the log."


def _is_memory(error: BaseException) -> bool:
    if isinstance(error, HaganError):
        return isinstance(error, OutOfMemory)
    if "torch" in sys.modules:
        from ..memory import is_out_of_memory

        return is_out_of_memory(error)
    return isinstance(error, MemoryError)


def _memory_message(error: BaseException) -> str:
    asked = " ".join(str(error).split())
    found = f" ({asked[:200]})" if asked else ""
    return f"Memory ran out{found}. Close other programs, or take a smaller volume or model."
