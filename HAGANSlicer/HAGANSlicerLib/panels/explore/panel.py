"""Explore: sliders in physical units that move a latent along the directions of its model."""

from __future__ import annotations

import json
from typing import Any

import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError

from ...panel import Context, Panel
from ...scene import latents, provenance, tables
from .export import Exporter
from .history import Amounts, History
from .nodes import show_step
from .record import Recorder
from .rows import DirectionRow, line_up, range_of
from .said import unmet_text
from .steps import NewestStep, Wish


class ExplorePanel(Panel):
    """One slider per direction; the volume, its outlines and its surfaces follow."""

    ui_name = "ExplorePanel.ui"
    title = _("Explore")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows: list[DirectionRow] = []
        self._latent: slicer.vtkMRMLTextNode | None = None
        self._document: dict[str, Any] | None = None
        self._shown_start = False
        self._note = ""
        self.history = History()
        self.steps = NewestStep(context.worker, self._made, self._failed, self._show_state)
        self.recorder = Recorder(context, self.ui, self.wish_at, self._show_state)
        self.exporter = Exporter(context, self.ui, self.recorder, self._show_state)
        self.jobs = [self.exporter.job]
        # Asked of the widget: PythonQt takes an empty layout for false, and `ui` has nothing that is false.
        self._directions_layout = self.ui.directionsWidget.layout()
        self.ui.exploreLatentSelector.addAttribute("vtkMRMLTextNode", provenance.ROLE, latents.ROLE)
        self.ui.exploreLatentSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._latent_chosen)
        self.ui.resetAllButton.connect("clicked()", self.reset_all)
        self.ui.undoButton.connect("clicked()", lambda: self._go_to(self.history.undo()))
        self.ui.redoButton.connect("clicked()", lambda: self._go_to(self.history.redo()))
        self.ui.cancelStepButton.connect("clicked()", self.steps.cancel)
        self.model_changed(context.model)

    def parameters_changed(self, parameters: Any) -> None:
        """Take over latent and slider positions from the scene."""
        super().parameters_changed(parameters)
        self.exporter.parameters_changed(parameters)
        self._latent_chosen(None if parameters is None else parameters.exploreLatent)

    def model_changed(self, model: dict[str, Any] | None) -> None:
        """Build the sliders of another model."""
        self.steps.forget()
        self.recorder.stop()
        for row in self.rows:
            self._directions_layout.removeWidget(row.widget)
            row.widget.setParent(None)
            row.widget.deleteLater()
        self.rows = [
            DirectionRow(direction, self._dragged, self._released)
            for direction in (model or {}).get("directions", ())
            if range_of(direction) is not None
        ]
        for row in self.rows:
            self._directions_layout.addWidget(row.widget)
        line_up(self.rows)
        self._shown_start, self._note = False, ""
        self._restore_amounts()
        self.recorder.rows_changed(self.rows)
        self._show_state()
        self._show_start()

    def scene_closing(self) -> None:
        """Drop what is being made; its latent goes."""
        super().scene_closing()
        self.steps.forget()
        self.recorder.scene_closing()
        self._latent, self._document, self._note = None, None, ""
        self._restore_amounts()
        for row in self.rows:
            row.forget_measured()
        self._show_state()

    def shown(self) -> None:
        """Show the start, where the chosen latent was not shown yet."""
        self._show_start()

    def cleanup(self) -> None:
        """Stop everything."""
        super().cleanup()
        self.steps.forget()
        self.recorder.scene_closing()

    def reset_all(self) -> None:
        """Put every slider to 0 and show the start again."""
        for row in self.rows:
            row.set_amount(0.0)
        self._released()

    def wish_at(self, quality: str, other: dict[str, float] | None = None) -> Wish | None:
        """Return the volume at the sliders' places; ``other`` replaces the amounts of some directions."""
        if self._document is None or self.context.parameters is None:
            return None
        amounts = {row.name: row.amount for row in self.rows} | (other or {})
        steps = [{"direction": name, "amount": amount} for name, amount in amounts.items() if amount]
        exact = quality == "full" and self.context.parameters.explore.exactOnRelease
        return Wish(self.context.parameters.modelName, self._document, steps, quality, exact)

    def _latent_chosen(self, node: slicer.vtkMRMLTextNode | None) -> None:
        if node is self._latent and (node is None or self._document is not None):
            return
        self.steps.forget()
        self.recorder.stop()
        self._latent, self._document, self._shown_start, self._note = node, None, False, ""
        if node is not None:
            try:
                self._document = latents.latent_of(node)
            except HaganError as error:
                self.context.show_error(str(error))
        for row in self.rows:
            row.forget_measured()
        self._restore_amounts()
        self.recorder.latent_changed(self._latent)
        self._show_state()
        self._show_start()

    def _restore_amounts(self) -> None:
        """Put the sliders where the scene has them for this latent, or to 0."""
        amounts = saved_amounts(self.context.parameters, self._latent)
        self._put(amounts)
        self.history.begin(self._amounts())

    def _put(self, amounts: Amounts) -> None:
        for row in self.rows:
            row.set_amount(amounts.get(row.name, 0.0))

    def _amounts(self) -> Amounts:
        return {row.name: row.amount for row in self.rows if row.amount}

    def _go_to(self, amounts: Amounts) -> None:
        """Undo or redo: the sliders go to where they were, and their volume is made again."""
        self._put(amounts)
        self._keep_amounts()
        self._ask("full")

    def _keep_amounts(self) -> None:
        if self.context.parameters is not None and self._latent is not None:
            kept = {"latent": self._latent.GetID(), "amounts": self._amounts()}
            self.context.parameters.explore.amounts = json.dumps(kept)

    def _show_start(self) -> None:
        """Measure the start once, so that every slider has something to compare with."""
        if self._shown_start or not self.rows or not self.widget.visible:
            return
        wish = self.wish_at("full", {row.name: 0.0 for row in self.rows})
        if wish is not None:
            self._shown_start = True
            self.steps.ask(wish)

    def _dragged(self) -> None:
        if self.context.parameters is not None and self.context.parameters.explore.previewWhileDragging:
            self._ask("preview")

    def _released(self) -> None:
        self._keep_amounts()
        self.history.rest(self._amounts())
        self._ask("full")

    def _ask(self, quality: str) -> None:
        wish = self.wish_at(quality)
        if wish is None:
            self.context.show_error(_("Choose a latent to start from; Generate and Encode make them."))
            return
        self._note = ""
        self.steps.ask(wish)

    def _made(self, wish: Wish, result: dict[str, Any]) -> None:
        show_step(self.context.scene, self._latent, result)
        self.recorder.give_way()
        measured = result["measurements"] or {}
        for row in self.rows:
            if self.steps.outlined:
                remark = tables.remark_on(row.target, result["labels"])
                preview = result["quality"] == "preview"
                row.show_measured(measured.get(row.target), preview, not wish.steps, remark)
            else:
                row.show_measuring()
        for note in result["notes"]:
            self.context.status(note)
        self._note = (result["reached"] or {}).get("note", "")
        if self._note:
            amounts = {step["direction"]: step["amount"] for step in wish.steps}
            self._note = unmet_text(self.rows, amounts, measured) or self._note
        self._show_state()
        if not wish.steps and self.steps.running is None and any(row.amount for row in self.rows):
            self._ask("full")  # the start was measured; the sliders stand elsewhere, as in a loaded scene

    def _failed(self, kind: str, message: str) -> None:
        if kind != "cancelled":
            self.context.show_error(message)

    def _show_state(self) -> None:
        """Say what can be done now, and enable what makes sense."""
        ready = bool(self.rows) and self._document is not None
        busy = self.recorder.running
        self.ui.noDirectionsText.setText(no_directions_text(self.context.model))
        self.ui.noDirectionsText.setVisible(not self.rows)
        self.ui.startText.setText(start_text(self._latent, self._document))
        self.ui.startText.setVisible(bool(self.rows))
        self.ui.directionsWidget.setEnabled(ready and not busy)
        self.ui.resetAllButton.setEnabled(ready and not busy)
        self.ui.undoButton.setEnabled(ready and not busy and self.history.can_undo)
        self.ui.redoButton.setEnabled(ready and not busy and self.history.can_redo)
        wish = self.steps.running
        self.ui.cancelStepButton.setEnabled(wish is not None)
        texts = {
            None: self._note,
            "preview": _("computing a preview…"),
            "full": _("computing the full volume…"),
        }
        self.ui.stepText.setText(texts[None if wish is None else wish.quality])
        self.recorder.show_state(ready and wish is None)
        self.exporter.show_state()


def saved_amounts(parameters: Any, latent: slicer.vtkMRMLTextNode | None) -> dict[str, float]:
    """Return where the scene has the sliders for this latent; nothing where it has them for another."""
    if parameters is None or latent is None or not parameters.explore.amounts:
        return {}
    try:
        kept = json.loads(parameters.explore.amounts)
        if kept["latent"] != latent.GetID():
            return {}
        return {str(name): float(amount) for name, amount in kept["amounts"].items()}
    except (ValueError, TypeError, KeyError, AttributeError):  # edited by hand, or by another version
        return {}


def no_directions_text(model: dict[str, Any] | None) -> str:
    """Return what to do where there is nothing to slide."""
    if model is None:
        return _("Choose a model above that can be used.")
    return _(
        "The model '{name}' has no directions yet, so there is nothing to slide. Fit some in a terminal: "
        "hagan directions fit --model {name}"
    ).format(name=model["name"])


def start_text(latent: slicer.vtkMRMLTextNode | None, document: dict[str, Any] | None) -> str:
    """Return where the latent comes from."""
    if latent is None:
        return _("Choose a latent to start from; Generate and Encode make one for each volume.")
    if document is None:
        return _("'{name}' holds no latent that can be read.").format(name=latent.GetName())
    model, facts = document["model"]["name"], document.get("facts") or {}
    if document["origin"] == "seed":
        return _("Generated by '{model}' from seed {seed}.").format(model=model, seed=facts.get("seed", "?"))
    if document["origin"] in ("encode", "refine"):
        return _("Encoded from a scan with '{model}'.").format(model=model)
    return _("A latent of '{model}'.").format(model=model)
