"""Files dropped on a widget that a ``.ui`` file made, and which therefore cannot be a class of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt


class FileDrop(qt.QObject):
    """Takes files with certain suffixes that are dropped on a widget; others go to the application.

    Args:
        widget: where the files are dropped. It must outlive this object, or :meth:`let_go` be called.
        suffixes: of the files, in lower case, such as ``.safetensors``.
        on_drop: called with the paths.
    """

    def __init__(self, widget: Any, suffixes: tuple[str, ...], on_drop: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._widget, self._suffixes, self._on_drop = widget, suffixes, on_drop
        self._events = (qt.QEvent.DragEnter, qt.QEvent.DragMove, qt.QEvent.Drop)
        widget.acceptDrops = True
        widget.installEventFilter(self)

    def let_go(self) -> None:
        """Take no more files."""
        self._widget.removeEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802  the name is Qt's
        """Called by Qt for every event of the widget; True ends what happens with one."""
        kind = event.type()
        if kind not in self._events:
            return False
        paths = self._paths(event.mimeData())
        if not paths:
            return False
        event.acceptProposedAction()
        if kind == qt.QEvent.Drop:
            self._on_drop(paths)
        return True

    def _paths(self, data: Any) -> list[str]:
        """Return the files, or nothing where one of them is of another kind: half a drop helps nobody."""
        paths = [str(url.toLocalFile()) for url in data.urls()] if data.hasUrls() else []
        return paths if all(path.lower().endswith(self._suffixes) for path in paths) else []
