"""A request to the worker with its row in a panel: a bar, what is being done, the time left, Cancel."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

if TYPE_CHECKING:
    from .panel import Context

_STEPS = 1000


class Job:
    """Runs one request at a time and shows it; hidden while nothing runs.

    Args:
        context: the panel's context.
        place: an empty QWidget of the panel's .ui file, which gets the row.
        changed: called with True when a request starts and False when it has ended.
    """

    def __init__(self, context: Context, place: qt.QWidget, changed: Callable[[bool], None] | None = None):
        self._context = context
        self._changed = changed or (lambda running: None)
        self._request: int | None = None
        self._run = 0
        self._work: Generator[None, None, Any] | None = None
        self._title = ""
        self._place = place
        layout = qt.QGridLayout(place)
        layout.setContentsMargins(0, 0, 0, 0)
        self.bar = qt.QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.toolTip = _("How much of the work is done")
        self.cancel_button = qt.QPushButton(_("Cancel"))
        self.cancel_button.toolTip = _("Stop the work; what is finished stays in the scene")
        self.cancel_button.connect("clicked()", self.cancel)
        self.label = qt.QLabel()
        self.label.setWordWrap(True)
        layout.addWidget(self.bar, 0, 0)
        layout.addWidget(self.cancel_button, 0, 1)
        layout.addWidget(self.label, 1, 0, 1, 2)
        place.setVisible(False)

    @property
    def running(self) -> bool:
        """Whether a request is under way."""
        return self._request is not None

    def start(
        self,
        request: str,
        title: str,
        /,
        on_result: Callable[[Any], None],
        on_part: Callable[[dict[str, Any]], None] | None = None,
        on_error: Callable[[str, str], None] | None = None,
        in_turns: Callable[[dict[str, Any]], Generator[None, None, Any]] | None = None,
        **arguments: Any,
    ) -> None:
        """Send ``request`` and show it under ``title`` until it ends.

        ``in_turns`` takes a large result apart: the event loop has a turn after each of its pieces, so that
        the window goes on, and what it returns is the result. Errors are shown to the user;
        ``on_error(kind, message)`` is called in addition. After :meth:`abandon` none of the callbacks is
        called any more.
        """
        if self.running:
            raise RuntimeError("A job runs one request at a time.")
        self._run += 1
        self._title = title
        self.cancel_button.setEnabled(True)
        self._show(0.0, "", None)
        self._place.setVisible(True)
        self._request = self._context.worker.request(
            request,
            on_result=self._of_this_run(lambda result: self._arrived(on_result, in_turns, result)),
            on_error=self._of_this_run(lambda kind, message: self._failed(on_error, kind, message)),
            on_progress=self._of_this_run(self._show),
            on_part=self._of_this_run(on_part) if on_part else None,
            **arguments,
        )
        self._changed(True)

    def cancel(self) -> None:
        """Stop the request; it ends within a second."""
        if self._request is not None:
            self.label.setText(_("{title}: stopping…").format(title=self._title))
            self.cancel_button.setEnabled(False)
            self._context.worker.cancel(self._request)

    def abandon(self) -> None:
        """Stop the request and drop what it still delivers: its scene is gone, or the module is."""
        if self._request is not None:
            request, title = self._request, self._title
            self._end()
            self._context.worker.cancel(request)
            self._context.status(
                _("{title} was stopped because the scene was closed; its results are dropped.").format(
                    title=title
                )
            )

    def _of_this_run(self, callback: Callable[..., None]) -> Callable[..., None]:
        """Return ``callback``, silent once the job has ended or was abandoned."""
        run = self._run

        def call(*arguments: Any) -> None:
            if run == self._run:
                callback(*arguments)

        return call

    def _show(self, fraction: float, text: str, remaining_s: float | None) -> None:
        if not self.cancel_button.enabled:  # "stopping…" stays
            return
        self.bar.setValue(round(fraction * _STEPS))
        new = text and text.lower() != self._title.lower()
        shown = f"{self._title}: {text}" if new else self._title
        self.label.setText(shown if remaining_s is None else f"{shown} · {time_left(remaining_s)}")

    def _arrived(
        self,
        on_result: Callable[[Any], None],
        in_turns: Callable[[dict[str, Any]], Generator[None, None, Any]] | None,
        result: dict[str, Any],
    ) -> None:
        if in_turns is None:
            self._finished(on_result, result)
            return
        self.cancel_button.setEnabled(False)  # it takes less than the second that Cancel may take
        self._work = in_turns(result)
        self._take_turn(on_result)

    def _take_turn(self, on_result: Callable[[Any], None]) -> None:
        work = self._work
        try:
            next(work)
        except StopIteration as ended:
            self._finished(on_result, ended.value)
        except Exception:
            self._end()
            raise
        else:
            qt.QTimer.singleShot(0, self._of_this_run(lambda: self._take_turn(on_result)))

    def _finished(self, on_result: Callable[[Any], None], result: Any) -> None:
        self._end()
        on_result(result)

    def _failed(self, on_error: Callable[[str, str], None] | None, kind: str, message: str) -> None:
        title = self._title
        self._end()
        if kind == "cancelled":
            self._context.status(_("{title} was cancelled.").format(title=title))
        else:
            self._context.show_error(message)
        if on_error:
            on_error(kind, message)

    def _end(self) -> None:
        self._run += 1
        self._request = None
        work, self._work = self._work, None
        if work is not None:
            work.close()
        self._place.setVisible(False)
        self._changed(False)


def time_left(seconds: float) -> str:
    """Return how long it will take, in words a person would use.

    >>> time_left(4.4), time_left(100), time_left(7300)
    ('about 4 s left', 'about 2 min left', 'about 2.0 h left')
    """
    if seconds < 90:
        return _("about {seconds} s left").format(seconds=max(1, round(seconds)))
    if seconds < 5400:
        return _("about {minutes} min left").format(minutes=round(seconds / 60))
    return _("about {hours} h left").format(hours=f"{seconds / 3600:.1f}")


def duration(seconds: float) -> str:
    """Return an estimated time with one or two digits.

    >>> duration(0.0312), duration(2.6), duration(45), duration(400)
    ('0.03 s', '3 s', '45 s', '7 min')
    """
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    if seconds >= 1:
        return f"{seconds:.0f} s"
    return f"{max(seconds, 0.01):.1g} s"
