"""What the worker computes: models, volumes, latents. torch is imported when it is first needed."""

from __future__ import annotations

import gc
import math
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..anatomy import LABELS, Segmentation, segment
from ..anatomy.segmenter import MEANINGS, LabelMap
from ..anatomy.surfaces import FULL_MM, PREVIEW_MM, surfaces_of
from ..errors import HaganError
from ..imaging.difference import difference_of, spread_of
from ..imaging.measurable import require_measurable
from ..imaging.provenance import SYNTHETIC_NOTICE
from ..imaging.volume import Volume
from ..models.registry import resolve_model
from ..processes import available_cores
from ..progress import Progress, part_of
from .job import Job
from .meshes import surfaces_to_wire
from .protocol import PROTOCOL
from .stepping import Stepping
from .wire import array_to_wire, volume_from_wire, wire_of

if TYPE_CHECKING:
    from ..directions.step import Step
    from ..inference.encode import Encoding
    from ..inference.model import Model

_SMALLEST_PREVIEW = 64
"""Edge in voxels from which on the low-resolution volume shows enough to steer by."""


class Computing:
    """Handlers that compute; the model they used last stays loaded.

    Args:
        session: folder that arrays pass through.
    """

    def __init__(self, session: Path) -> None:
        self.session = session
        self._stepping = Stepping()
        self._model: Model | None = None
        self._own: tuple[Model, float | None] | None = None
        self._key: tuple[Any, ...] = ()

    def hello(self, job: Job) -> dict[str, Any]:
        """Say what this process is and has."""
        facts: dict[str, Any] = {
            "protocol": PROTOCOL,
            "hagan": __version__,
            "python": platform.python_version(),
            "torch": None,
            "device": "cpu",
            "device_name": platform.processor() or platform.machine(),
            "cores": available_cores(),
            "free_memory": None,
        }
        try:
            import torch
        except ImportError:  # the GUI offers to install it
            return facts
        from ..devices import choose_device
        from ..memory import free_memory

        device = choose_device("auto")
        if device.type == "cuda":
            device = torch.device("cuda", torch.cuda.current_device())
            facts["device_name"] = torch.cuda.get_device_name(device)
        return facts | {
            "torch": torch.__version__,
            "device": str(device),
            "free_memory": free_memory(device),
        }

    def load_model(self, job: Job) -> dict[str, Any]:
        """Load a model, or take the one that is loaded, and describe it."""
        job.progress(0.0, "loading the model")
        model = self._loaded(job.arguments["model"], job.arguments["device"])
        said, profile = model.description, model.profile
        return {
            "name": said.name,
            "title": said.title,
            "summary": said.summary,
            "path": str(model.file.path),
            "sha256": model.file.sha256,
            "networks_sha256": model.file.networks_sha256,
            "size": said.architecture.size,
            "latent": said.architecture.latent,
            "classes": list(said.classes),
            "profile": profile.name,
            "modality": profile.modality,
            "unit": profile.unit,
            "window": list(profile.window),
            "physical": profile.physical,
            "has_encoder": {"encoder", "ground_encoder"} <= set(model.file.stored),
            "directions": [dict(direction) for direction in said.directions],
            "device": str(model.plan.device),
            "plan": model.plan.text,
            # As in the plan's text: below a tenth of a second other things take longer than the network.
            "seconds_per_volume": max(0.1, model.plan.seconds),
            "synthetic_notice": SYNTHETIC_NOTICE,
            "intended_use": said.intended_use,
            "licence": said.licence,
            "citation": said.citation,
            "trained_on": str(said.training.get("trained_on", "")),
        }

    def generate(self, job: Job) -> dict[str, Any]:
        """Make volumes from seeds; each is a part."""
        wanted = job.arguments
        begun = time.perf_counter()
        model = self._loaded(wanted["model"])
        if wanted["segment"]:
            _require_segmentable(model, wanted["preview"])
        count = wanted["count"]
        for index in range(count):
            progress = part_of(job.progress, index / count, (index + 1) / count)
            with _notes_of(model) as notes:
                latent = model.latent(wanted["seed"] + index, wanted["class"], wanted["truncation"])
                share = 0.5 if wanted["segment"] else 1.0
                volume = model.decode(latent, wanted["preview"], part_of(progress, 0.0, share))
            labels = None
            if wanted["segment"]:
                found = segment(volume, part_of(progress, share, 1.0))
                labels = self._labels_of(job, found)
            else:
                job.check()
            job.part(
                {
                    "index": index,
                    "seed": wanted["seed"] + index,
                    "volume": wire_of(self.session, volume),
                    "latent": latent.to_document(),
                    "labels": labels,
                    "notes": notes,
                }
            )
        return {"count": count, "seconds": round(time.perf_counter() - begun, 3)}

    def check(self, job: Job) -> dict[str, Any]:
        """Say what is wrong with a scan, before any work."""
        from ..anatomy.location import locate_lungs, lungs_of
        from ..preparation.checks import examine

        model, outline = self._loaded(job.arguments["model"]), _label_map_of(job.arguments)
        job.progress(0.1, "looking at the scan")
        scan = volume_from_wire(job.arguments["volume"])
        locate = locate_lungs if outline is None else lambda volume: lungs_of(outline(volume))
        findings = examine(scan, model.profile, locate).findings
        return {
            "problems": [found.message for found in findings if found.severity == "refuse"],
            "warnings": [found.message for found in findings if found.severity == "warn"],
        }

    def encode(self, job: Job) -> dict[str, Any]:
        """Find a scan's latent and lay its reconstruction over it."""
        wanted = job.arguments
        model = self._loaded(wanted["model"])
        if wanted["segment"]:
            _require_segmentable(model, preview=False)
        job.progress(0.0, "reading the scan")
        scan, outline = volume_from_wire(wanted["volume"]), _label_map_of(wanted)
        share = 0.6 if wanted["segment"] else 0.95
        with _notes_of(model) as notes:
            encoding = model.encode(
                scan,
                wanted["refine"],
                wanted["class"],
                wanted["force"],
                part_of(job.progress, 0.0, share),
                outline,
            )
        labels = scan_labels = difference = None
        if wanted["segment"]:
            found = segment(encoding.reconstruction, part_of(job.progress, share, 0.8))
            of_scan = (outline or segment)(scan, part_of(job.progress, 0.8, 0.95))
            labels, scan_labels = self._labels_of(job, found), self._labels_of(job, of_scan)
            if outline is not None:
                notes.append(
                    "Lungs and bones of the scan are those of the label map; in the reconstruction they were "
                    "found by rules."
                )
        if wanted["difference"]:
            difference = self._difference(encoding.reconstruction, scan)
        errors = _errors_of(encoding, model, self._own_error(model, part_of(job.progress, 0.95, 0.98)))
        job.progress(0.98, "handing over")
        return {
            "reconstruction": wire_of(self.session, encoding.reconstruction),
            "latent": encoding.latent.to_document(),
            "errors": errors,
            "labels": labels,
            "scan_labels": scan_labels,
            "difference": difference,
            "warnings": [line for line in encoding.warnings if line not in model.notes],
            "notes": [*scan.meta.get("notes", ()), *notes],
            "seconds": {name: round(value, 3) for name, value in encoding.seconds.items()},
        }

    def step(self, job: Job) -> dict[str, Any]:
        """Move a latent along directions and make its volume."""
        from ..inference.latent import latent_from_document

        wanted = job.arguments
        model = self._loaded(wanted["model"])
        latent = latent_from_document(dict(wanted["latent"]))
        steps, on_scan, step, found = wanted["steps"], wanted["on_scan"], None, None
        low = model.architecture.size // 4
        preview = wanted["quality"] == "preview" and low >= _SMALLEST_PREVIEW and not on_scan
        with _notes_of(model) as notes:
            if wanted["exact"] and steps:
                step = self._stepping.closed(model, latent, steps, part_of(job.progress, 0.0, 0.6))
            latent = self._stepping.moved(model, latent, steps) if step is None else step.latent
            progress = part_of(job.progress, 0.6, 0.8)
            if on_scan:
                volume = model.reconstruct(latent, progress)
            elif preview or step is None:
                volume = model.decode(latent, preview, progress)
            else:
                volume, found = step.volume, step.segmentation
        labels = measurements = None
        if wanted["segment"] and model.profile.modality == "CT":
            found = found or segment(volume, part_of(job.progress, 0.8, 0.95))
            labels = self._labels_of(job, found, PREVIEW_MM if preview else FULL_MM)
            measurements = labels["measurements"] | _moved_targets(model, volume, found)
        job.check()
        return {
            "volume": wire_of(self.session, volume),
            "labels": labels,
            "latent": latent.to_document(),
            "measurements": measurements,
            "reached": None if step is None else _reached(step),
            "quality": "preview" if preview else "full",
            "notes": notes,
        }

    def segment(self, job: Job) -> dict[str, Any]:
        """Outline lungs and bones of a CT."""
        begun = time.perf_counter()
        job.progress(0.0, "reading the volume")
        volume = volume_from_wire(job.arguments["volume"])
        require_measurable(volume)
        found = (_label_map_of(job.arguments) or segment)(volume, job.progress)
        labels = self._labels_of(job, found)
        seconds = round(time.perf_counter() - begun, 3)
        return {"labels": labels, "notes": list(found.notes), "seconds": seconds}

    def _labels_of(self, job: Job, found: Segmentation, edge_mm: float = FULL_MM) -> dict[str, Any]:
        made = None
        if job.arguments["surfaces"]:
            made = surfaces_of(found.labels, found.geometry, tuple(LABELS.values()), edge_mm)
        job.check()  # before there are files, which nobody would remove after a cancel
        wire = array_to_wire(self.session, found.labels, found.geometry.to_dict())
        wire |= {
            "measurements": _rounded(found),
            "complete": found.complete,
            "remarks": found.remarks(),
            "doubts": [doubt.message for doubt in found.doubts],
        }
        if made is not None:
            wire["surfaces"] = surfaces_to_wire(self.session, made)
        return wire

    def _own_error(self, model: Model, progress: Progress) -> float | None:
        """Return the model's error on its own volumes, worked out once for a loaded model."""
        from ..inference.own_error import own_error

        if self._own is None or self._own[0] is not model:
            self._own = (model, own_error(model, progress))
        return self._own[1]

    def _difference(self, reconstruction: Volume, scan: Volume) -> dict[str, Any]:
        difference = difference_of(reconstruction.array, scan.array)
        wire = array_to_wire(self.session, difference, scan.geometry.to_dict())
        return {**wire, "spread": spread_of(difference)}

    def _loaded(self, name: str, device: str | None = None) -> Model:
        """Return a model, kept from the last request where its file is still the same.

        Without a ``device`` the one that the model was loaded to is kept.
        """
        path = resolve_model(name)
        try:
            status = path.stat()
        except OSError as error:
            raise HaganError(f"The model file '{path}' cannot be read: {error.strerror}.") from None
        key = (str(path), status.st_mtime_ns, status.st_size)
        same = self._model is not None and self._key[:3] == key
        if self._model is None or not same or device not in (None, self._key[3]):
            from ..inference.model import load_model

            device = device or (self._key[3] if same else "auto")
            self._stepping.forget()
            self._model, self._own, self._key = None, None, ()  # the old one first: two may not fit
            gc.collect()
            self._model = load_model(path, device)
            self._key = (*key, device)
        return self._model


def _reached(step: Step) -> dict[str, Any]:
    return {
        "requested": step.requested,
        "measured": step.measured,
        "iterations": step.iterations,
        "note": step.note,
    }


def _moved_targets(model: Model, volume: Volume, found: Segmentation) -> dict[str, float]:
    """Return what the model's directions move and the labels do not measure; what is not there is left out.

    Targets of a user's own table, such as an age, cannot be measured on a volume.
    """
    from ..directions.targets import TARGETS, measure_targets

    wanted = {str(direction.get("target")) for direction in model.description.directions}
    more = sorted(wanted & set(TARGETS) - set(found.measurements()))
    measured = measure_targets(volume, found, more)
    return {name: round(value, 3) for name, value in measured.items() if math.isfinite(value)}


def _errors_of(encoding: Encoding, model: Model, own: float | None) -> dict[str, Any]:
    before, unit = encoding.errors_before, model.profile.unit
    return {
        **encoding.errors.to_dict(),
        "own_mae_hu" if unit == "HU" else "own_mae": own,
        "unit": unit,
        "coverage": round(encoding.coverage, 4),
        "before_refinement": None if before is None else before.to_dict(),
    }


def _rounded(found: Segmentation) -> dict[str, float]:
    return {name: round(value, 3) for name, value in found.measurements().items()}


def _label_map_of(wanted: Mapping[str, Any]) -> LabelMap | None:
    """Return the user's own outlines, which take the place of the rules; None where none were sent."""
    if wanted["labels"] is None:
        return None
    return LabelMap(volume_from_wire(wanted["labels"]), MEANINGS[wanted["labels_are"]])


def _require_segmentable(model: Model, preview: bool) -> None:
    if model.profile.modality != "CT" or preview:
        raise HaganError(
            f"Lungs and bones can be outlined in full-size CT only; '{model.name}' makes "
            f"{model.profile.modality}{', and a preview is asked for' if preview else ''}. Switch it off."
        )


@contextmanager
def _notes_of(model: Model) -> Iterator[list[str]]:
    """Yield a list that holds, after the block, what the model noted in it (a smaller plan, for example)."""
    before, notes = len(model.notes), list[str]()
    yield notes
    notes += model.notes[before:]
