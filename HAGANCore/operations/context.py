"""What an operation works with besides its request: how it reports, and the model that stays loaded."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import HaganError
from ..models.registry import resolve_model
from ..progress import Progress, no_progress

if TYPE_CHECKING:
    from ..imaging.volume import Volume
    from ..inference.model import Model

_Kept = TypeVar("_Kept")


class LoadedModel:
    """The model that was used last; it stays loaded until another one is asked for or its file changes."""

    def __init__(self) -> None:
        self._model: Model | None = None
        self._key: tuple[Any, ...] = ()
        self._kept: dict[str, Any] = {}

    def get(self, name: str, device: str | None = None, precision: str = "auto") -> Model:
        """Return a model, by a name or the path of its file.

        Args:
            name: what ``hagan model list`` shows, or a path.
            device: where it works; None is where it is, or wherever is best.
            precision: ``auto``, ``float32`` or ``bfloat16``.

        Raises:
            HaganError: no such model, a damaged file, no such device, or not enough memory.
        """
        path = resolve_model(name)
        try:
            status = path.stat()
        except OSError as error:
            raise HaganError(f"The model file '{path}' cannot be read: {error.strerror}.") from None
        key = (str(path), status.st_mtime_ns, status.st_size, precision)
        same = self._model is not None and self._key[:4] == key
        if self._model is None or not same or device not in (None, self._key[4]):
            from ..inference.model import load_model  # torch, which a worker starts without

            device = device or (self._key[4] if same else "auto")
            self._model, self._key, self._kept = None, (), {}  # the old one first: two may not fit
            gc.collect()
            self._model = load_model(path, device, precision)  # type: ignore[arg-type]
            self._key = (*key, device)
        return self._model

    def kept(self, what: str, make: Callable[[], _Kept]) -> _Kept:
        """Return what was worked out with the loaded model before; the first time, make it.

        It goes when the model goes.
        """
        if what not in self._kept:
            self._kept[what] = make()
        kept: _Kept = self._kept[what]
        return kept


def _nowhere(part: Any) -> None:
    """Drop a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A part of operations that look around first: the long work begins now."""

    text: str
    """What is done, for a person."""
    fraction: float
    """What was done before."""


@dataclass(slots=True)
class Context:
    """How an operation reports and what it keeps between requests."""

    progress: Progress = no_progress
    """Called often; it raises Cancelled where the work should stop."""
    part: Callable[[Any], None] = _nowhere
    """Called with each finished thing of a longer operation, before the next one is begun."""
    scan: Callable[[Volume, str], None] | None = None
    """Called with a request's scan and its hash once it is read: whoever will write looks at the places, and
    may refuse, before the work."""
    model: LoadedModel = field(default_factory=LoadedModel)
