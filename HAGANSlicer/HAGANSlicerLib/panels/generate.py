"""Generate: synthetic volumes from seeds, each in the scene as soon as it is finished."""

from __future__ import annotations

import secrets
from typing import Any

import qt
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.worker.protocol import release

from ..job import duration
from ..panel import ICON_FOLDER, Context, Job, Panel
from ..parameters import LARGEST_SEED
from ..scene import display, provenance, replay, results
from ..scene.history import Result
from ..showing import measured_text, show_result

SMALLEST_PREVIEW = 64
"""Edge in voxels from which on the low-resolution volume shows enough to be worth a look."""


class GeneratePanel(Panel):
    """Asks the worker for volumes and puts them into the scene."""

    ui_name = "GeneratePanel.ui"
    title = _("Generate")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._seed_used: int | None = None
        self._result: Result | None = None
        self._modality = "CT"
        self._wanted = ""
        """The volume to be made again when there is a model, by its node's ID."""
        self.job = Job(context, self.ui.jobRow, self._running_changed)
        self.jobs.append(self.job)
        self.ui.diceButton.setIcon(qt.QIcon(str(ICON_FOLDER / "Dice.svg")))
        self.ui.lockButton.setIcon(qt.QIcon(str(ICON_FOLDER / "Lock.svg")))
        self.ui.diceButton.connect("clicked()", self.draw_seed)
        self.ui.generateButton.connect("clicked()", self.generate)
        self.ui.classSelector.connect("currentIndexChanged(int)", self._class_selected)
        self.ui.previewCheckBox.connect("toggled(bool)", self._preview_toggled)
        self.ui.againSelector.addAttribute("vtkMRMLScalarVolumeNode", provenance.ROLE, "volume")
        self.ui.againSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self._show_state())
        self.ui.againButton.connect("clicked()", self.make_again)
        self.model_changed(None)

    def model_changed(self, model: dict[str, Any] | None) -> None:
        """Offer what the model can do: its classes, a preview, outlines of lungs and bones."""
        classes = model["classes"] if model else []
        self._fill_classes(classes)
        self.ui.classLabel.setVisible(bool(classes))
        self.ui.classSelector.setVisible(bool(classes))
        self.ui.previewCheckBox.setEnabled(model is not None and model["size"] // 4 >= SMALLEST_PREVIEW)
        self.ui.previewCheckBox.toolTip = (
            _("Make only the low-resolution branch of the network, for a quick look")
            if self.ui.previewCheckBox.enabled
            else _("This model makes small volumes: the full ones are quick enough")
        )
        self._preview_toggled()
        self._show_state()
        if model is not None and self._wanted:
            wanted, self._wanted = self.context.scene.GetNodeByID(self._wanted), ""
            if wanted is not None:
                self.run_on(wanted)

    def parameters_changed(self, parameters: Any) -> None:
        """Show the choices of another scene."""
        super().parameters_changed(parameters)
        if parameters is not None:
            self._fill_classes(self.context.model["classes"] if self.context.model else [])

    def scene_closing(self) -> None:
        """Forget what was made."""
        super().scene_closing()
        self._seed_used = self._result = None
        self._wanted = ""
        self._say("")

    def results_changed(self) -> None:
        """Do not speak of a volume that is gone."""
        last = self._result.parts[-1].volume if self._result is not None else None
        if last is not None and not self.context.scene.IsNodePresent(last):
            self._say("")

    def draw_seed(self) -> None:
        """Draw another seed."""
        self.ui.seedSpinBox.setValue(secrets.randbelow(LARGEST_SEED + 1))

    def generate(self) -> None:
        """Make volumes with the choices of the panel."""
        model, parameters = self.context.model, self.context.parameters
        if self.job.running or model is None or parameters is None:
            return
        chosen = parameters.generate
        if not chosen.lockSeed and chosen.seed == self._seed_used:
            self.draw_seed()
        self._seed_used = chosen.seed
        preview = chosen.preview and self.ui.previewCheckBox.enabled
        self._result = None
        self._modality = model["modality"]
        self._say("")
        self.context.status("")
        self.job.start(
            "generate",
            _("Generating"),
            on_result=self._finished,
            on_part=self._made,
            model=model["path"],
            count=chosen.count,
            seed=chosen.seed,
            truncation=chosen.truncation,
            preview=preview,
            segment=chosen.segment and self.ui.segmentCheckBox.enabled,
            surfaces=True,
            **{"class": chosen.className or None},
        )

    def run_on(self, volume: Any) -> None:
        """Make a volume again, as soon as there is a model."""
        self.ui.againCollapsible.collapsed = False
        self.ui.againSelector.setCurrentNode(volume)
        if self.context.model is None:
            self._wanted = str(volume.GetID())
        else:
            self.make_again()

    def make_again(self) -> None:
        """Make the selected volume again with the model of the panel, and compare the two."""
        node, model = self.ui.againSelector.currentNode(), self.context.model
        if self.job.running or model is None or node is None:
            return
        try:
            again = replay.replay_of(node)
            replay.require_model(node, again, model)
        except HaganError as error:
            self.context.show_error(str(error))
            return
        parts: list[dict[str, Any]] = []
        node_id, modality = str(node.GetID()), model["modality"]
        self.job.start(
            again.request,
            _("Making again"),
            on_result=lambda result: self._made_again(
                node_id, again, parts[0] if parts else result, modality
            ),
            on_part=parts.append,
            **{**again.arguments, "model": model["path"], "segment": False},
        )

    def _made_again(self, node_id: str, again: replay.Replay, result: dict[str, Any], modality: str) -> None:
        scene = self.context.scene
        node = scene.GetNodeByID(node_id)
        if node is None:
            release(result["volume"])
            self.context.show_error(
                _("The volume was deleted while it was made again; the result is dropped.")
            )
            return
        made = replay.add_again(scene, node, again, result)
        self.context.result_made(
            Result(provenance.plain_name(made.nodes.volume), modality, parts=[made.nodes])
        )
        show_result(scene, made.nodes, modality)
        self.context.status(made.text)

    def _made(self, part: dict[str, Any]) -> None:
        scene, result = self.context.scene, self._result
        made = results.add_generated(scene, part, table=result.parts[0].table if result else None)
        if result is None:
            self._result = Result(
                provenance.plain_name(made.volume), self._modality, finished=False, parts=[made]
            )
            self.context.result_made(self._result)
            show_result(scene, made, self._modality)
        else:
            result.parts.append(made)
            if made.segmentation is not None:
                display.show_segmentation(made.segmentation, visible=False)  # all lie in the same place
        self.context.node_made(made.latent)
        lines = [made.volume.GetName(), *part["notes"]]
        if part["labels"]:
            lines.insert(1, measured_text(part["labels"]))
        self._say("\n".join(lines))

    def _finished(self, result: dict[str, Any]) -> None:
        count, seconds = result["count"], result["seconds"]
        text = _("1 volume") if count == 1 else _("{count} volumes").format(count=count)
        self.context.status(_("{what} made in {time}.").format(what=text, time=duration(seconds)))

    def _running_changed(self, running: bool) -> None:
        if self._result is not None and not running:  # finished, cancelled or failed: it can be undone
            self._result.finished = True
        self._show_state()

    def _fill_classes(self, classes: list[str]) -> None:
        selector, parameters = self.ui.classSelector, self.context.parameters
        selector.blockSignals(True)
        selector.clear()
        selector.addItem(_("any"), "")
        for name in classes:
            selector.addItem(name, name)
        chosen = parameters.generate.className if parameters is not None else ""
        selector.setCurrentIndex(max(0, selector.findData(chosen)))
        selector.blockSignals(False)

    def _class_selected(self, index: int) -> None:
        if self.context.parameters is not None:
            self.context.parameters.generate.className = self.ui.classSelector.itemData(index)

    def _preview_toggled(self, checked: bool = False) -> None:
        model = self.context.model
        preview = self.ui.previewCheckBox.checked and self.ui.previewCheckBox.enabled
        self.ui.segmentCheckBox.setEnabled(model is not None and model["modality"] == "CT" and not preview)

    def _show_state(self) -> None:
        ready = not self.job.running and self.context.model is not None
        self.ui.generateButton.setEnabled(ready)
        self.ui.againButton.setEnabled(ready and self.ui.againSelector.currentNode() is not None)

    def _say(self, text: str) -> None:
        self.ui.resultLabel.setText(text)
        self.ui.resultLabel.setVisible(bool(text))
