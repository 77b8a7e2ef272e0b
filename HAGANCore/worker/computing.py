"""What the worker computes: models, volumes, latents. torch is imported when it is first needed."""

from __future__ import annotations

import gc
import math
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import HaganError
from ..models.registry import resolve_model
from ..processes import available_cores
from ..progress import Progress, part_of
from ..segmentation import Segmentation, segment
from ..volumes.checks import require_measurable
from ..volumes.provenance import SYNTHETIC_NOTICE
from ..volumes.volume import Volume
from .job import Job
from .protocol import PROTOCOL
from .stepping import Stepping
from .wire import array_to_wire, volume_from_wire, wire_of

if TYPE_CHECKING:
    from ..inference.encode import Encoding
    from ..inference.model import Model
    from ..latent.step import Step

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
            "has_encoder": model.file.can_encode,
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
            labels = self._labels(volume, part_of(progress, share, 1.0)) if wanted["segment"] else None
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
        from ..volumes.checks import check_scan

        model = self._loaded(job.arguments["model"])
        job.progress(0.1, "looking at the scan")
        findings = check_scan(volume_from_wire(job.arguments["volume"]), model.profile)
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
        scan = volume_from_wire(wanted["volume"])
        share = 0.6 if wanted["segment"] else 0.95
        with _notes_of(model) as notes:
            encoding = model.encode(
                scan, wanted["refine"], wanted["class"], wanted["force"], part_of(job.progress, 0.0, share)
            )
        labels = scan_labels = None
        if wanted["segment"]:
            labels = self._labels(encoding.reconstruction, part_of(job.progress, share, 0.8))
            scan_labels = self._labels(scan, part_of(job.progress, 0.8, 0.98))
        job.progress(0.98, "handing over")
        return {
            "reconstruction": wire_of(self.session, encoding.reconstruction),
            "latent": encoding.latent.to_document(),
            "errors": _errors_of(encoding, model),
            "labels": labels,
            "scan_labels": scan_labels,
            "warnings": [line for line in encoding.warnings if line not in model.notes],
            "notes": [*scan.meta.get("notes", ()), *notes],
            "seconds": {name: round(value, 3) for name, value in encoding.seconds.items()},
        }

    def step(self, job: Job) -> dict[str, Any]:
        """Move a latent along directions and make its volume."""
        from ..inference.latentfile import latent_from_document

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
            labels = self._labels_of(found)
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
        labels = self._labels(volume, job.progress)
        return {"labels": labels, "seconds": round(time.perf_counter() - begun, 3)}

    def _labels(self, volume: Volume, progress: Progress) -> dict[str, Any]:
        return self._labels_of(segment(volume, progress))

    def _labels_of(self, found: Segmentation) -> dict[str, Any]:
        wire = array_to_wire(self.session, found.labels, found.geometry.to_dict())
        return {**wire, "measurements": _rounded(found)}

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
            self._model, self._key = None, ()  # the old one first: two may not fit
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
    from ..latent.targets import TARGETS, measure_targets

    wanted = {str(direction.get("target")) for direction in model.description.directions}
    more = sorted(wanted & set(TARGETS) - set(found.measurements()))
    measured = measure_targets(volume, found, more)
    return {name: round(value, 3) for name, value in measured.items() if math.isfinite(value)}


def _errors_of(encoding: Encoding, model: Model) -> dict[str, Any]:
    before = encoding.errors_before
    return {
        **encoding.errors.to_dict(),
        "unit": model.profile.unit,
        "coverage": round(encoding.coverage, 4),
        "before_refinement": None if before is None else before.to_dict(),
    }


def _rounded(found: Segmentation) -> dict[str, float]:
    return {name: round(value, 3) for name, value in found.measurements().items()}


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
