"""What all panels share: the context they meet in, and their life from loading to cleanup."""

from __future__ import annotations

import html
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer

from .bridge import WorkerBridge
from .job import Job

if TYPE_CHECKING:
    from .parameters import HAGANSlicerParameterNode
    from .scene.history import Result
    from .window import ModuleWindow

__all__ = ["ICON_FOLDER", "UI_FOLDER", "Context", "Job", "Panel", "tool_tip"]

_RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
UI_FOLDER = _RESOURCES / "UI"
ICON_FOLDER = _RESOURCES / "Icons"


class Context:
    """What a panel may know of the rest of the module."""

    def __init__(self, worker: WorkerBridge, window: ModuleWindow) -> None:
        self.worker = worker
        self.parameters: HAGANSlicerParameterNode | None = None
        """The choices in the scene; None for a moment while the scene closes."""
        self.model: dict[str, Any] | None = None
        """What ``load_model`` said of the selected model; None while it is read or cannot be used."""
        self._window = window

    @property
    def scene(self) -> slicer.vtkMRMLScene:
        """The scene of the application."""
        return slicer.mrmlScene

    def status(self, text: str) -> None:
        """Show one line on what has just happened."""
        self._window.show_message(text)

    def show_error(self, message: str) -> None:
        """Show an error: what happened, the value found, what to do. It stays until the next action."""
        logging.error(message)
        self._window.show_message(message, error=True)

    def node_made(self, node: slicer.vtkMRMLNode) -> None:
        """Tell the other panels of a node that they may want to select, such as a new latent."""
        self._window.node_made(node)

    def result_made(self, result: Result) -> None:
        """Tell of a new result, which Undo takes out of the scene as one; more parts may follow in it."""
        self._window.result_made(result)

    def models_changed(self, select: str | None = None) -> None:
        """Tell that a model was imported or downloaded; ``select`` names the one to use from now on."""
        self._window.models_changed(select)


class Panel:
    """One tab of the module, built from one file of Qt Designer."""

    ui_name = ""
    """File in Resources/UI."""
    title = ""
    """Text of the tab."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.jobs: list[Job] = []
        """Requests with a progress row; they are dropped when the scene closes."""
        self._parameters: HAGANSlicerParameterNode | None = None
        self._gui_tag: int | None = None
        self.widget = slicer.util.loadUI(str(UI_FOLDER / self.ui_name))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)

    def parameters_changed(self, parameters: HAGANSlicerParameterNode | None) -> None:
        """Show other choices: those of a new scene, or None while there is no scene."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui_tag)
        self._parameters = parameters
        if parameters is not None:
            self._gui_tag = parameters.connectGui(self.ui)

    def model_changed(self, model: dict[str, Any] | None) -> None:
        """Adapt to another model, or to none."""

    def results_changed(self) -> None:
        """Results were taken out of the scene or brought back: do not speak of what is gone."""

    def scene_closing(self) -> None:
        """Forget the scene that is about to close; jobs are stopped and their results dropped."""
        for job in self.jobs:
            job.abandon()

    def scene_closed(self) -> None:
        """Go on with the new, empty scene."""

    def enter(self) -> None:
        """The user opens the module."""

    def shown(self) -> None:
        """The panel's tab comes to the front, or the module is opened while it is there."""

    def exit(self) -> None:
        """The user opens another module."""

    def cleanup(self) -> None:
        """Let go of everything: the module is reloaded or Slicer ends."""
        for job in self.jobs:
            job.abandon()


def tool_tip(lines: Iterable[str], about: str) -> str:
    """Return a tooltip that shows ``lines`` above ``about``, the widget's own, which Qt wraps as it is."""
    text = "<br>".join(html.escape(line) for line in lines if line)
    return f"<p>{text}</p>{about}" if text else about
