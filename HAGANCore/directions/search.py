"""How far to go along a direction until a measured change is the wanted one."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

FARTHEST = 5.0
"""Length in latent space, either way, that one step may go: a latent may rise where most do not."""
LEAP = 0.005
"""Length in latent space: where two steps so near to each other miss the change on either side, the measured
volume leaps there, and nothing in between meets it."""
COARSE = 1.0
"""Length in latent space: how closely steps are tried around the nearest one where none suffices."""


class Search:
    """Finds the length at which the measured change is the wanted one; ``error`` is measured - wanted.

    The secant through what was measured, kept between the nearest steps on either side: the Illinois variant
    of regula falsi, which cannot run away.

    Args:
        change: the wanted one.
        allowed: error within which a step is the wanted one.
        known: change for each length that was measured, (0, 0) among them.
    """

    def __init__(self, change: float, allowed: float, known: Mapping[float, float]) -> None:
        self.change, self.allowed = change, allowed
        self.known = dict(known)
        self.edges = (-FARTHEST, FARTHEST)
        self.below: tuple[float, float] | None = None
        self.above: tuple[float, float] | None = None
        self._lost: float | None = None
        self._last_side = 0
        # From 0 towards the change, as far as the first known step beyond it.
        way = [length for length in sorted(known, key=abs) if length * change >= 0]
        for length in way:
            self._note(length, known[length] - change)
            if self.between:
                break

    @property
    def between(self) -> bool:
        """Whether the wanted change lies between two that were measured."""
        return self.below is not None and self.above is not None

    @property
    def failure(self) -> str:
        """Why nothing that was measured is near enough, as a part of a sentence."""
        if self.between:  # it is in range, but there the volume changes by a leap
            return "could not be reached closely enough"
        edge = self.edges[0] if self.change < 0 else self.edges[1]
        searched = edge in self.known or edge == self._lost
        return "is out of range" if searched else "was not reached within the volumes allowed"

    def first(self, calibrated: float) -> float | None:
        """Return the length to begin with: ``calibrated`` where nothing but the start is known."""
        towards = [length for length in self.known if length * self.change > 0]
        if not towards:
            return float(np.clip(calibrated, *self.edges))
        nearest = min(towards, key=self._error)
        if self._error(nearest) <= self.allowed:
            return nearest
        farthest = max(towards, key=abs)
        return self._between() if self.between else self._beyond(farthest, self.known[farthest])

    def next(self, length: float, measured: float) -> float | None:
        """Return the next length to try; None where it is futile."""
        self.known[length] = measured
        self._note(length, measured - self.change)
        return self._between() if self.between else self._beyond(length, measured)

    def lost(self, length: float) -> float | None:
        """Return the length to try after one at which nothing could be measured; None where it is futile."""
        if self.between:
            return None
        self.edges = (length, self.edges[1]) if length < 0 else (self.edges[0], length)
        self._lost = length
        inner = max((each for each in self.known if each * length >= 0), key=abs)
        return (inner + length) / 2 if abs(length - inner) > LEAP else None

    def _error(self, length: float) -> float:
        return abs(self.known[length] - self.change)

    def _beyond(self, length: float, measured: float) -> float | None:
        edge = self.edges[1] if self.above is None else self.edges[0]
        if edge == self._lost:
            edge = (length + edge) / 2
        if edge in self.known or abs(edge - length) < COARSE / 8:
            return self._beside_nearest()
        # Not yet on the other side: the slope so far says where it is; half as far again, to get over.
        slope = measured / length if measured * length > 0 else None
        ahead = length + 1.5 * (self.change - measured) / slope if slope else 2 * length
        return ahead if abs(length) < abs(ahead) < abs(edge) else edge

    def _beside_nearest(self) -> float | None:
        """Return the middle of the wider gap beside the nearest step, as not even the edge suffices."""
        lengths = sorted(self.known)
        nearest = lengths.index(min(lengths, key=self._error))
        around = lengths[max(nearest - 1, 0) : nearest + 2]
        low, high = max(pairwise(around), key=lambda gap: gap[1] - gap[0])
        return (low + high) / 2 if high - low > COARSE else None

    def _between(self) -> float | None:
        assert self.below is not None
        assert self.above is not None
        (a, error_a), (b, error_b) = self.below, self.above
        if abs(b - a) < LEAP:
            return None
        share = float(np.clip(error_a / (error_a - error_b), 0.05, 0.95))
        return a + share * (b - a)

    def _note(self, length: float, error: float) -> None:
        side = -1 if error < 0 else 1
        # Illinois: the end that stays for a second time counts half, or the other one would creep.
        if side == self._last_side:
            if side < 0 and self.above is not None:
                self.above = (self.above[0], self.above[1] / 2)
            elif side > 0 and self.below is not None:
                self.below = (self.below[0], self.below[1] / 2)
        self._last_side = side
        if side < 0:
            self.below = (length, error)
        else:
            self.above = (length, error)
