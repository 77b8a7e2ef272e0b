"""How long work reports where it is, and how it is stopped.

A *progress* is any callable ``progress(fraction, text)``. The worker of the work calls it often;
the caller draws a bar, or raises :class:`~HAGANCore.errors.Cancelled` out of it to stop the work.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Report that ``fraction`` (0 to 1) of the work is done; ``text`` says what is being done."""

    def __call__(self, fraction: float, text: str = "") -> None: ...


def no_progress(fraction: float, text: str = "") -> None:
    """Ignore the report: the default where nobody watches."""


def part_of(progress: Progress, start: float, stop: float) -> Progress:
    """Return a progress whose 0..1 is the stretch ``start``..``stop`` of ``progress``.

    >>> seen = []
    >>> half = part_of(lambda fraction, text="": seen.append(fraction), 0.5, 1.0)
    >>> half(0.5)
    >>> seen
    [0.75]
    """

    def report(fraction: float, text: str = "") -> None:
        progress(start + (stop - start) * fraction, text)

    return report
