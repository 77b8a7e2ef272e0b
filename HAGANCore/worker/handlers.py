"""Which handler answers which request, and in which thread."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .computing import Computing
from .export import export
from .server import Handler

Handlers = tuple[dict[str, Handler], dict[str, Handler], Callable[[], None]]


def make_handlers(session: Path, inner: bool) -> Handlers:
    """Return the handlers of the main thread, those with a thread of their own, and what ends children."""
    work = Computing(session)
    computing: dict[str, Handler] = {
        "load_model": work.load_model,
        "generate": work.generate,
        "check": work.check,
        "encode": work.encode,
        "step": work.step,
        "segment": work.segment,
    }
    beside: dict[str, Handler] = {"hello": work.hello, "export": export}
    return computing, beside, lambda: None
