"""The Undo and Redo buttons of the header: the last result leaves the scene, and comes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .panel import ICON_FOLDER, Context
from .scene.history import History, Result
from .showing import show_result


class ResultKeeper:
    """Keeps what was made in this scene and works the two buttons.

    Args:
        context: shared by all panels.
        ui: of the header, with ``undoButton`` and ``redoButton``.
        on_change: called after a result was taken out or brought back.
    """

    def __init__(self, context: Context, ui: Any, on_change: Callable[[], None]) -> None:
        self._context, self._ui, self._on_change = context, ui, on_change
        self._history = History()
        for button, icon, action in (
            (ui.undoButton, "Undo.svg", self.undo),
            (ui.redoButton, "Redo.svg", self.redo),
        ):
            button.setIcon(qt.QIcon(str(ICON_FOLDER / icon)))
            button.connect("clicked()", action)
        self._show_state()

    def add(self, result: Result) -> None:
        """Remember a new result."""
        self._history.add(result)
        self._show_state()

    def clear(self) -> None:
        """Forget all results: their scene closes."""
        self._history.clear()
        self._show_state()

    def undo(self) -> None:
        """Take the last result out of the scene and show the one before."""
        scene = self._context.scene
        last = self._history.last(scene)
        if last is not None and not last.finished:
            self._context.status(
                _("'{title}' is still being made; wait for its end, or cancel it.").format(title=last.title)
            )
            return
        result = self._history.undo(scene)
        if result is None:
            self._context.status(_("There is no result to undo."))
        else:
            self._context.status(
                _("'{title}' was taken out of the scene; Redo brings it back.").format(title=result.title)
            )
        self._changed(self._history.last(scene))

    def redo(self) -> None:
        """Bring back the result that was taken out last, and show it."""
        result = self._history.redo(self._context.scene)
        if result is not None:
            self._context.status(_("'{title}' is back in the scene.").format(title=result.title))
        self._changed(result)

    def _changed(self, shown: Result | None) -> None:
        scene = self._context.scene
        volume = shown.parts[0].volume if shown is not None else None
        if volume is not None and scene.IsNodePresent(volume):
            show_result(scene, shown.parts[0], shown.modality)
            self._context.node_made(shown.parts[0].latent)
        self._show_state()
        self._on_change()

    def _show_state(self) -> None:
        last, following = self._history.last(self._context.scene), self._history.next
        self._ui.undoButton.setEnabled(last is not None)
        self._ui.undoButton.toolTip = (
            _("Undo: take '{title}' out of the scene, with everything that was made with it").format(
                title=last.title
            )
            if last is not None
            else _("Undo the last result; nothing has been made in this scene yet")
        )
        self._ui.redoButton.setEnabled(following is not None)
        self._ui.redoButton.toolTip = (
            _("Redo: bring '{title}' back into the scene").format(title=following.title)
            if following is not None
            else _("Bring back the result that was undone last; there is none")
        )
