"""The module's window: the header above, a tab for each panel, and what they have in common."""

from __future__ import annotations

import importlib
from typing import Any

from .bridge import WorkerBridge
from .panel import Context, Panel
from .panels.header import HeaderPanel

PANELS = (
    ("generate", "GeneratePanel"),
    ("encode", "EncodePanel"),
    ("explore", "ExplorePanel"),
    ("train", "TrainPanel"),
    ("models", "ModelsPanel"),
)
"""Tabs from left to right: file in ``panels`` and class."""


class ModuleWindow:
    """Builds the panels and passes on to them what happens to the scene, the model and the module."""

    def __init__(self, logic: Any) -> None:
        self.logic = logic
        self.worker = WorkerBridge()
        self.context = Context(self.worker, self)
        self.header = HeaderPanel(self.context, self._model_changed, self.import_model)
        self.panels: dict[str, Panel] = {}
        self.widget = self.header.widget
        for name, class_name in PANELS:
            module = importlib.import_module(f".panels.{name}", __package__)
            panel = getattr(module, class_name)(self.context)
            self.panels[name] = panel
            self.header.ui.panels.addTab(panel.widget, panel.title)
        self.header.ui.panels.connect("currentChanged(int)", self._tab_changed)

    @property
    def all_panels(self) -> list[Panel]:
        """The header and all tabs."""
        return [self.header, *self.panels.values()]

    def use_parameters(self, parameters: Any) -> None:
        """Show the choices of ``parameters``; None while there is no scene."""
        self.context.parameters = parameters
        for panel in self.all_panels:
            panel.parameters_changed(parameters)

    def enter(self) -> None:
        """The user opens the module."""
        for panel in self.all_panels:
            panel.enter()
        self._tab_changed(self.header.ui.panels.currentIndex)

    def exit(self) -> None:
        """The user opens another module; jobs go on."""
        for panel in self.all_panels:
            panel.exit()

    def scene_closing(self) -> None:
        """Stop and drop what belongs to the scene that closes, and what was said of it."""
        self.show_message("")
        for panel in self.all_panels:
            panel.scene_closing()
        self.use_parameters(None)

    def scene_closed(self, parameters: Any) -> None:
        """Go on with the empty scene."""
        self.use_parameters(parameters)
        for panel in self.all_panels:
            panel.scene_closed()

    def cleanup(self) -> None:
        """End the worker and let go of the scene; trainings go on."""
        for panel in self.all_panels:
            panel.cleanup()
        self.use_parameters(None)
        self.worker.shutdown()

    def show_message(self, text: str, error: bool = False) -> None:
        """Show one line above the tabs."""
        self.header.show_message(text, error)

    def node_made(self, node: Any) -> None:
        """Select a new latent in Explore."""
        if node.IsA("vtkMRMLTextNode") and self.context.parameters is not None:
            self.context.parameters.exploreLatent = node

    def models_changed(self, select: str | None = None) -> None:
        """Read the list of models again; ``select`` is used from now on."""
        self.header.models_changed(select)

    def import_model(self) -> None:
        """Let the Models panel ask for a file and import it."""
        panel = self.panels["models"]
        self.header.ui.panels.setCurrentWidget(panel.widget)
        panel.import_model()

    def _tab_changed(self, index: int) -> None:
        list(self.panels.values())[index].shown()

    def _model_changed(self, model: dict[str, Any] | None) -> None:
        self.context.model = model
        for panel in self.panels.values():
            panel.model_changed(model)
