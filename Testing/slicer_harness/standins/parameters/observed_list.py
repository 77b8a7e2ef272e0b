"""A list that tells when it was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence
from typing import Any


class ObservedList(MutableSequence):
    """The value of a `list[…]` parameter: a change of the list is a change of the parameter."""

    def __init__(self, items: Iterable, changed: Callable[[list], None]) -> None:
        self._items, self._changed = list(items), changed

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._items[index] = value
        self._changed(self._items)

    def __delitem__(self, index: Any) -> None:
        del self._items[index]
        self._changed(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def insert(self, index: int, value: Any) -> None:
        """Puts a value before the one at the index."""
        self._items.insert(index, value)
        self._changed(self._items)

    def __eq__(self, other: object) -> bool:
        return self._items == (other._items if isinstance(other, ObservedList) else other)

    def __repr__(self) -> str:
        return f"ObservedList({self._items})"
