"""Undo and Redo for Explore: the places where its sliders came to rest. Knows neither Qt nor MRML."""

from __future__ import annotations

from collections.abc import Mapping

MOST = 100
"""Places kept; the oldest go first."""
Amounts = dict[str, float]
"""Direction: its amount. What is at 0 may be left out."""


class History:
    """The places at which the sliders of one latent came to rest, and which of them they are at.

    The scene's own undo is off unless the application switches it on, and a volume that follows a slider is
    made again from its place anyway.
    """

    def __init__(self) -> None:
        self._places: list[Amounts] = [{}]
        self._at = 0

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier place."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether there is a place that was left by :meth:`undo`."""
        return self._at + 1 < len(self._places)

    def begin(self, amounts: Mapping[str, float]) -> None:
        """Forget everything and begin here: another latent, model or scene."""
        self._places, self._at = [_moved(amounts)], 0

    def rest(self, amounts: Mapping[str, float]) -> None:
        """Note that the sliders came to rest; places that were undone are gone then."""
        place = _moved(amounts)
        if place == self._places[self._at]:
            return
        self._places = [*self._places[: self._at + 1], place][-MOST:]
        self._at = len(self._places) - 1

    def undo(self) -> Amounts:
        """Go back and return that place.

        Raises:
            IndexError: there is none.
        """
        return self._go(-1)

    def redo(self) -> Amounts:
        """Go forward again and return that place.

        Raises:
            IndexError: there is none.
        """
        return self._go(1)

    def _go(self, by: int) -> Amounts:
        if not 0 <= self._at + by < len(self._places):
            raise IndexError(self._at + by)
        self._at += by
        return dict(self._places[self._at])


def _moved(amounts: Mapping[str, float]) -> Amounts:
    return {name: amount for name, amount in amounts.items() if amount}
