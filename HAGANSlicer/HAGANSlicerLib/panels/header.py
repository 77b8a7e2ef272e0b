"""The top of the module: which model, what computes and how long it takes, what is missing, what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.models.registry import own_models, read_registry

from ..panel import Context, Job, Panel

IMPORT = "import…"
"""Stands for the last entry of the model selector; no model can have this name."""


class HeaderPanel(Panel):
    """Chooses the model for all panels and shows messages.

    Args:
        context: shared by all panels.
        on_model: called with the document of ``load_model``, or None where there is no usable model.
        on_import: called when the user chooses "Import…".
    """

    ui_name = "HAGANSlicer.ui"

    def __init__(
        self,
        context: Context,
        on_model: Callable[[dict[str, Any] | None], None],
        on_import: Callable[[], None],
    ) -> None:
        super().__init__(context)
        self._on_model = on_model
        self._on_import = on_import
        self._chosen = ""
        self._request: int | None = None
        self._installation = Job(context, self.ui.jobRow)
        self.jobs = []
        self.ui.modelSelector.connect("activated(int)", self._activated)
        self._fill_models()
        self.show_message("")
        self.ui.installRow.setVisible(False)

    def parameters_changed(self, parameters: Any) -> None:
        """Select the model that the scene names."""
        super().parameters_changed(parameters)
        if parameters is not None and parameters.modelName != self._chosen:
            self._choose(parameters.modelName)

    def show_message(self, text: str, error: bool = False) -> None:
        """Show what happened; an error in red and with a sign, so that it does not depend on the colour."""
        self.ui.messageLabel.setText(f"⚠ {text}" if error else text)
        self.ui.messageLabel.setStyleSheet("color: #b00020;" if error else "")
        self.ui.messageLabel.setVisible(bool(text))

    def models_changed(self, select: str | None = None) -> None:
        """Read the list of models again, and use ``select`` from now on."""
        self._fill_models()
        if select:
            self._choose(select)

    def _fill_models(self) -> None:
        selector = self.ui.modelSelector
        selector.blockSignals(True)
        selector.clear()
        try:
            for entry in read_registry():
                text = (
                    entry.title if entry.available else _("{title} (not here yet)").format(title=entry.title)
                )
                selector.addItem(text, entry.name)
            for name in own_models():
                selector.addItem(name, name)
        except HaganError as error:
            self.context.show_error(str(error))
        selector.insertSeparator(selector.count)
        selector.addItem(_("Import…"), IMPORT)
        selector.setCurrentIndex(selector.findData(self._chosen))
        selector.blockSignals(False)

    def _activated(self, index: int) -> None:
        name = self.ui.modelSelector.itemData(index)
        if name == IMPORT:
            self.ui.modelSelector.setCurrentIndex(self.ui.modelSelector.findData(self._chosen))
            self._on_import()
        elif name != self._chosen:
            self._choose(name)

    def _choose(self, name: str) -> None:
        self._chosen = name
        self.ui.modelSelector.setCurrentIndex(self.ui.modelSelector.findData(name))
        if self.context.parameters is not None and self.context.parameters.modelName != name:
            self.context.parameters.modelName = name
        self._load()

    def _load(self) -> None:
        self._on_model(None)
        self.ui.planLabel.setText(_("reading the model…"))
        name = self._chosen
        self._request = self.context.worker.request(
            "load_model",
            model=name,
            on_result=lambda model: self._loaded(name, model),
            on_error=lambda kind, message: self._not_loaded(name, kind, message),
        )

    def _loaded(self, name: str, model: dict[str, Any]) -> None:
        if name == self._chosen:
            self.ui.planLabel.setText(model["plan"])
            self._on_model(model)

    def _not_loaded(self, name: str, kind: str, message: str) -> None:
        if name == self._chosen and kind != "cancelled":
            self.ui.planLabel.setText(_("This model cannot be used yet."))
            self.context.show_error(message)
