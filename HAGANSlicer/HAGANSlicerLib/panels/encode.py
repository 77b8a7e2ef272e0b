"""Encode: a scan becomes a latent, and the latent's volume lies exactly over the scan."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.wording import hounsfield_text
from HAGANCore.worker.protocol import release

from ..panel import Context, Job, Panel
from ..scene import display, provenance, results
from ..scene.history import Result
from ..sent import SentLabels, SentVolume
from ..showing import measured_text, show_result

_FAR = 2.0
"""From how many times the model's error on its own volumes a scan is called unlike what it has seen.

Demonstration model: 1.7 times for a phantom, 3.6 for patients' thoraces, 5.0 for an abdomen, 7.6 for a head.
"""

_Made = tuple[results.Nodes, dict[str, Any]]
"""The nodes of an encoding and the message they came in."""


class EncodePanel(Panel):
    """Checks a scan, encodes it, and compares it with its reconstruction."""

    ui_name = "EncodePanel.ui"
    title = _("Encode")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sent, self._sent_labels = SentVolume(), SentLabels()
        self._asked: object | None = None
        self._refused = False
        self._wanted = ""
        """The scan to be encoded when it has been checked, by its node's ID."""
        self._made: results.Nodes | None = None
        self._scan_id = ""
        self.job = Job(context, self.ui.jobRow, self._running_changed)
        self.jobs.append(self.job)
        self.ui.overlaySelector.addItem(_("reconstruction"), "reconstruction")
        self.ui.overlaySelector.addItem(_("difference"), "difference")
        self.ui.encodeButton.connect("clicked()", self.encode)
        self.ui.inputSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda node: self.check())
        self.ui.forceCheckBox.connect("toggled(bool)", self._update)
        self.ui.classSelector.connect("currentIndexChanged(int)", self._class_selected)
        self.ui.overlaySelector.connect("currentIndexChanged(int)", self._compare)
        self.ui.blendSlider.connect("valueChanged(double)", self._compare)
        self.ui.labelsAreSelector.addItem(_("1 right lung, 2 left lung, 3 bones"), "hagan")
        self.ui.labelsAreSelector.addItem(_("TotalSegmentator's, task total"), "totalsegmentator")
        self.ui.labelsSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._labels_selected)
        self.ui.labelsAreSelector.connect("currentIndexChanged(int)", self._meaning_selected)
        self._show_result(None)
        self.model_changed(None)

    def model_changed(self, model: dict[str, Any] | None) -> None:
        """Offer the model's classes, and check the scan for this model."""
        self._fill_classes()
        conditional = bool(model and model["classes"])
        self.ui.classLabel.setVisible(conditional)
        self.ui.classSelector.setVisible(conditional)
        of_ct = model is not None and model["modality"] == "CT"
        self.ui.segmentCheckBox.setEnabled(of_ct)
        self.ui.labelsSelector.setEnabled(of_ct)
        self.check()

    def parameters_changed(self, parameters: Any) -> None:
        """Show the choices of another scene."""
        super().parameters_changed(parameters)
        self._fill_classes()
        if parameters is not None:
            meaning, labels = self.ui.labelsAreSelector, parameters.encodeLabels
            meaning.blockSignals(True)
            meaning.setCurrentIndex(max(0, meaning.findData(parameters.encode.labelsAre)))
            meaning.blockSignals(False)
            self.ui.labelsSelector.setCurrentNode(labels)
        self.check()

    def shown(self) -> None:
        """Choose the first scan that is no synthetic volume, where none is chosen yet."""
        parameters = self.context.parameters
        if parameters is not None and parameters.encodeInput is None:
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", self.context.scene):
                if not node.GetHideFromEditors() and not provenance.is_synthetic(node):
                    parameters.encodeInput = node
                    break
        self.check()

    def results_changed(self) -> None:
        """Compare with the reconstruction that is in the scene now, if there is one."""
        if self._made is not None and not self.context.scene.IsNodePresent(self._made.volume):
            self._show_result(None)
        self._recall(self.ui.inputSelector.currentNode())

    def scene_closing(self) -> None:
        """Forget the scan and what was made of it."""
        super().scene_closing()
        self._wanted = ""
        self._show_result(None)
        self._forget_sent()

    def cleanup(self) -> None:
        """Stop what runs."""
        super().cleanup()
        self._forget_sent()

    def _forget_sent(self) -> None:
        self._sent.forget()
        self._sent_labels.forget()

    def check(self) -> None:
        """Ask the worker whether the scan fits the model, before any work; shown above the choices."""
        node, model = self.ui.inputSelector.currentNode(), self.context.model
        self._refused, self._asked = False, None
        self._recall(node)
        if model is None:
            self._say_check(_("waiting for a model"))
        elif not model["has_encoder"]:
            self._say_check(_("This model has no encoder: it can generate, not encode."))
        elif node is None or self.context.parameters is None:  # none, or it goes with the scene that closes
            self._say_check(_("Select a scan above; load one first where the list is empty."))
        elif self.ui.encodeButton.isVisible() and (wire := self._send(node)) is not None:
            self._say_check(_("looking at the scan…"))
            self._asked = asked = object()
            self.context.worker.request(
                "check",
                on_result=lambda found: self._found(found) if asked is self._asked else None,
                on_error=lambda kind, message: self._say_check(message) if asked is self._asked else None,
                model=model["path"],
                **wire,
            )
        self._update()

    def run_on(self, scan: Any) -> None:
        """Encode a scan as soon as the model is there and has found nothing against it."""
        self._wanted = str(scan.GetID())
        self.ui.inputSelector.setCurrentNode(scan)
        self.check()

    def encode(self) -> None:
        """Encode the scan with the choices of the panel."""
        node, model = self.ui.inputSelector.currentNode(), self.context.model
        parameters = self.context.parameters
        if self.job.running or node is None or model is None or parameters is None:
            return
        wire = self._send(node)
        if wire is None:
            return
        chosen = parameters.encode
        scan_id = node.GetID()
        self._show_result(None)
        self.context.status("")
        self.job.start(
            "encode",
            _("Encoding"),
            on_result=lambda made: self._finished(scan_id, model, made),
            in_turns=lambda result: self._add(scan_id, result),
            model=model["path"],
            **wire,
            refine=chosen.refineSteps,
            force=chosen.force,
            segment=chosen.segment and self.ui.segmentCheckBox.enabled,
            surfaces=True,
            difference=True,
            **{"class": chosen.className or None},
        )

    def _send(self, node: Any) -> dict[str, Any] | None:
        """Return scan and outlines as arguments of a request; None, with a message, where that cannot be."""
        session, labels = self.context.worker.session, self._labels()
        try:
            arguments = {"volume": self._sent.of(session, node)}
            if labels is not None:
                meaning = self.ui.labelsAreSelector.currentData if self._has_numbers(labels) else "hagan"
                arguments |= {"labels": self._sent_labels.of(session, labels), "labels_are": meaning}
            return arguments
        except (HaganError, OSError) as error:
            self._say_check(str(error))
            self.context.show_error(str(error))
            return None

    def _labels(self) -> Any:
        """Return the user's outlines; None where the rules are to find lungs and bones."""
        return self.ui.labelsSelector.currentNode() if self.ui.labelsSelector.enabled else None

    @staticmethod
    def _has_numbers(labels: Any) -> bool:
        """Tell whether outlines are numbers, which need a meaning: segments have names."""
        return labels is not None and bool(labels.IsA("vtkMRMLLabelMapVolumeNode"))

    def _labels_selected(self, node: Any) -> None:
        if self.context.parameters is not None:
            self.context.parameters.encodeLabels = node
        self.check()

    def _meaning_selected(self, index: int) -> None:
        if self.context.parameters is not None:
            self.context.parameters.encode.labelsAre = self.ui.labelsAreSelector.itemData(index)
        self.check()

    def _found(self, found: dict[str, Any]) -> None:
        lines = [f"✗ {text}" for text in found["problems"]] + [f"⚠ {text}" for text in found["warnings"]]
        lines = lines or [_("✓ The scan is what the model needs.")]
        if self._labels() is not None and (left_out := self._sent_labels.left_out):
            lines.append(_("Not used of the segmentation: {names}.").format(names=_listed(left_out)))
        self._refused = bool(found["problems"])
        self._say_check("\n".join(lines))
        self._update()
        node, wanted = self.ui.inputSelector.currentNode(), self._wanted
        self._wanted = ""
        if wanted and node is not None and node.GetID() == wanted and not self._refused:
            self.encode()

    def _add(self, scan_id: str, result: dict[str, Any]) -> Generator[None, None, _Made | None]:
        """Add the result to the scene piece by piece; None where its scan is gone."""
        scene = self.context.scene
        scan = scene.GetNodeByID(scan_id)
        if scan is None:
            release(*(result[key] for key in results.ARRAYS))
            return None
        nodes = yield from results.add_encoded_in_turns(scene, result, scan)
        return nodes, result

    def _finished(self, scan_id: str, model: dict[str, Any], added: _Made | None) -> None:
        scene = self.context.scene
        scan = scene.GetNodeByID(scan_id)
        if added is None or scan is None:
            self.context.show_error(_("The scan was deleted while it was encoded; the result is dropped."))
            return
        made, result = added
        self.context.result_made(Result(provenance.plain_name(made.volume), model["modality"], parts=[made]))
        show_result(scene, made, model["modality"])
        self._scan_id = scan_id
        self.context.node_made(made.latent)
        new = [line for line in result["warnings"] if line not in self.ui.checkLabel.text]
        lines = [error_text(result["errors"], model), *outlined_lines(result), *new]
        self._show_result(made, [*dict.fromkeys(lines), *result["notes"]])
        self.context.status(_("{scan} is encoded.").format(scan=scan.GetName()))
        self._compare()

    def _show_result(self, made: results.Nodes | None, lines: Sequence[str] = ()) -> None:
        self._made = made
        self.ui.resultLabel.setText("\n".join(filter(None, lines)))
        self._update()

    def _recall(self, scan: Any) -> None:
        """Go on with what was made of a scan before: it may have come with a saved scene."""
        if scan is None or (self._made is not None and scan.GetID() == self._scan_id):
            return
        made = results.encoded_of(self.context.scene, scan)
        if made is not None:
            self._scan_id = scan.GetID()
            self._show_result(made, [_("in the scene: {name}").format(name=made.volume.GetName())])

    def _compare(self, *_changed: Any) -> None:
        if self._made is None:
            return
        scene = self.context.scene
        scan, overlay = scene.GetNodeByID(self._scan_id), None
        made = results.encoded_of(scene, scan) if scan is not None else None
        if made is not None:  # asked anew: nodes may have been deleted, or loaded since
            nodes = {"reconstruction": made.volume, "difference": made.difference}
            overlay = nodes[self.ui.overlaySelector.currentData]
        if overlay is not None:
            display.compare(scene, scan, overlay, self.ui.blendSlider.value)
        else:
            self._show_result(None)

    def _fill_classes(self) -> None:
        selector, parameters, model = self.ui.classSelector, self.context.parameters, self.context.model
        selector.blockSignals(True)
        selector.clear()
        selector.addItem(_("the one that shows the scan best"), "")
        for name in model["classes"] if model else []:
            selector.addItem(name, name)
        chosen = parameters.encode.className if parameters is not None else ""
        selector.setCurrentIndex(max(0, selector.findData(chosen)))
        selector.blockSignals(False)

    def _class_selected(self, index: int) -> None:
        if self.context.parameters is not None:
            self.context.parameters.encode.className = self.ui.classSelector.itemData(index)

    def _update(self, *_changed: Any) -> None:
        model = self.context.model
        scan = self.ui.inputSelector.currentNode()
        usable = model is not None and model["has_encoder"] and scan is not None
        allowed = not self._refused or self.ui.forceCheckBox.checked
        self.ui.encodeButton.setEnabled(usable and allowed and not self.job.running)
        self.ui.forceCheckBox.setEnabled(self._refused)
        self.ui.labelsAreSelector.setEnabled(self._has_numbers(self._labels()))
        of_this_scan = self._made is not None and scan is not None and scan.GetID() == self._scan_id
        self.ui.compareRow.setVisible(of_this_scan)
        self.ui.resultLabel.setVisible(of_this_scan)

    def _running_changed(self, running: bool) -> None:
        self._update()

    def _say_check(self, text: str) -> None:
        self.ui.checkLabel.setText(text)


def error_text(errors: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Return how far a reconstruction is from its scan, and what that means, for a person.

    Args:
        errors: of the result of ``encode``.
        model: the document of ``load_model``.
    """
    unit = "HU" if "mae_hu" in errors else ""
    mae, own = (errors.get(f"{name}_hu" if unit else name) for name in ("mae", "own_mae"))
    if mae is None:
        return ""
    text = _("Mean absolute error: {value}.").format(value=_amount(mae, unit))
    if own is None:
        return text
    if mae > _FAR * own:
        meaning = _(
            "On volumes that it made itself, this model comes within {own}: the scan is unlike what the "
            "model has seen, or finer than its {size}³ voxels can show."
        )
    else:
        meaning = _(
            "On volumes that it made itself, this model comes within {own}: this is near the best "
            "that it can do."
        )
    return f"{text} {meaning.format(own=_amount(own, unit), size=model['size'])}"


def outlined_lines(result: Mapping[str, Any]) -> list[str]:
    """Return what was measured in scan and reconstruction, and what makes the scan's numbers doubtful."""
    if not result["scan_labels"]:
        return []
    scan, made = measured_text(result["scan_labels"]), measured_text(result["labels"])
    return [
        _("Scan: {measured}.").format(measured=scan),
        _("Reconstruction: {measured}.").format(measured=made),
        *result["scan_labels"]["doubts"],
    ]


def _listed(names: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    more = len(names) - most
    return shown if more <= 0 else _("{names} and {count} more").format(names=shown, count=more)


def _amount(value: float, unit: str) -> str:
    return hounsfield_text(value) if unit else f"{value:.3g}"
