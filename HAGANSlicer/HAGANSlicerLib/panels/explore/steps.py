"""Which step is computed next: the newest wish wins, and nothing ever queues up behind a slider."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from HAGANCore.worker.protocol import release

from ...bridge import WorkerBridge

OUTLINE_EVERY_S = 1.0
"""While a slider is dragged, lungs and bones follow at most so often: finding them takes several times as
long as the volume. Slices follow in between, and outlines as soon as the slider is held still."""


@dataclass(frozen=True)
class Wish:
    """A volume to be made: from where, how far along which directions, how well."""

    model: str
    latent: dict[str, Any]
    steps: list[dict[str, Any]]
    quality: str
    """``preview`` or ``full``."""
    exact: bool
    """Measure and correct until the changes are met."""


class NewestStep:
    """At most one preview is at the worker and at most one waits here, the newest.

    Only previews wait, so that a dragged slider always shows something. Any other wish goes to the worker at
    once, which drops the older one for it. Previews are volumes alone but now and then, see
    :data:`OUTLINE_EVERY_S`.

    Args:
        worker: where requests go.
        on_made: called with the wish and its result; the caller releases the result's arrays.
        on_error: called with kind and message of an error the user should see, or of a cancel.
        on_change: called when work begins and when it has ended.
    """

    def __init__(
        self,
        worker: WorkerBridge,
        on_made: Callable[[Wish, dict[str, Any]], None],
        on_error: Callable[[str, str], None],
        on_change: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._on_made, self._on_error, self._on_change = on_made, on_error, on_change
        self.running: Wish | None = None
        """What the worker is making."""
        self._request: int | None = None
        self._waiting: Wish | None = None
        self._without_outlines_since: float | None = None
        self.outlined = True
        """Whether lungs and bones were asked for with the newest volume that was made."""

    def ask(self, wish: Wish) -> None:
        """Make this, in place of everything that waits."""
        if self.running is not None and self.running.quality == wish.quality == "preview":
            self._waiting = wish
        else:
            self._waiting = None
            self._send(wish, self._outlines_due(wish))

    def cancel(self) -> None:
        """Stop what is being made and forget what waits; ``on_error`` hears of it."""
        self._waiting = None
        if self._request is not None:
            self._worker.cancel(self._request)

    def forget(self) -> None:
        """Stop as :meth:`cancel` does, and hear no more of it: the scene it was for is gone."""
        request, self._request, self.running, self._waiting = self._request, None, None, None
        if request is not None:
            self._worker.cancel(request)

    def _outlines_due(self, wish: Wish) -> bool:
        if wish.quality == "full":
            return True
        if self._without_outlines_since is None:
            self._without_outlines_since = time.monotonic()
        return time.monotonic() - self._without_outlines_since >= OUTLINE_EVERY_S

    def _send(self, wish: Wish, outlines: bool) -> None:
        self.running = wish
        if outlines:
            self._without_outlines_since = None
        number: list[int] = []  # known only after the request is made, and then never changes
        number.append(
            self._worker.request(
                "step",
                on_result=lambda result: self._made(number[0], wish, outlines, result),
                on_error=lambda kind, message: self._failed(number[0], kind, message),
                model=wish.model,
                latent=wish.latent,
                steps=wish.steps,
                quality=wish.quality,
                exact=wish.exact,
                segment=outlines,
                surfaces=True,
            )
        )
        self._request = number[0]
        self._on_change()

    def _made(self, request: int, wish: Wish, outlines: bool, result: dict[str, Any]) -> None:
        if request != self._request:
            release(result.get("volume"), result.get("labels"))
            return
        self.outlined = outlines
        if self._waiting is None and not outlines:
            self._send(wish, outlines=True)  # the slider is held still
        else:
            self._next()
        self._on_made(wish, result)

    def _failed(self, request: int, kind: str, message: str) -> None:
        if request != self._request:
            return
        if kind != "replaced":
            self._waiting = None
        self._next()
        if kind != "replaced":
            self._on_error(kind, message)

    def _next(self) -> None:
        wish, self._waiting = self._waiting, None
        self.running = self._request = None
        if wish is not None:
            self._send(wish, self._outlines_due(wish))
        else:
            self._on_change()
