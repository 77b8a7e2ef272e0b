"""What the worker computes: models, volumes, latents. torch is imported when it is first needed."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..anatomy import LABELS, Segmentation
from ..anatomy.surfaces import FULL_MM, PREVIEW_MM, surfaces_of
from ..imaging.difference import spread_of
from ..imaging.provenance import SYNTHETIC_NOTICE
from ..operations.check import CheckRequest
from ..operations.check import run as check
from ..operations.context import Context, LoadedModel
from ..operations.encode import Encoded, EncodeRequest
from ..operations.encode import run as encode
from ..operations.generate import Generated, GenerateRequest
from ..operations.generate import run as generate
from ..operations.segment import SegmentRequest
from ..operations.segment import run as segment
from ..operations.step import StepRequest
from ..operations.step import run as step
from ..processes import available_cores
from .job import Job
from .meshes import surfaces_to_wire
from .protocol import PROTOCOL
from .requests import request_of
from .wire import array_to_wire, volume_from_wire, wire_of

if TYPE_CHECKING:
    from ..directions.step import Step
    from ..imaging.volume import Volume
    from ..inference.encode import Encoding
    from ..inference.model import Model


class Computing:
    """Handlers that compute; the model they used last stays loaded.

    Args:
        session: folder that arrays pass through.
    """

    def __init__(self, session: Path) -> None:
        self.session = session
        self._models = LoadedModel()

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
        model = self._models.get(job.arguments["model"], job.arguments["device"])
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
        begun = time.perf_counter()
        request = request_of(GenerateRequest, job.arguments, device=None)

        def send(made: Generated) -> None:
            labels = None if made.found is None else self._labels_of(job, made.found)
            job.part(
                {
                    "index": made.index,
                    "seed": made.seed,
                    "volume": wire_of(self.session, made.volume),
                    "latent": made.latent.to_document(),
                    "labels": labels,
                    "notes": list(made.notes),
                }
            )

        context = self._context(job)
        context.part = send
        generate(request, context)
        return {"count": request.count, "seconds": round(time.perf_counter() - begun, 3)}

    def check(self, job: Job) -> dict[str, Any]:
        """Say what is wrong with a scan, before any work."""
        scan = volume_from_wire(job.arguments["volume"])
        findings = check(
            request_of(CheckRequest, job.arguments, scan=scan, device=None, labels=_labels_of(job)),
            self._context(job),
        )
        return {
            "problems": [found.message for found in findings if found.severity == "refuse"],
            "warnings": [found.message for found in findings if found.severity == "warn"],
        }

    def encode(self, job: Job) -> dict[str, Any]:
        """Find a scan's latent and lay its reconstruction over it."""
        job.progress(0.0, "reading the scan")
        scan = volume_from_wire(job.arguments["volume"])
        request = request_of(
            EncodeRequest, job.arguments, scan=scan, device=None, own_error=True, labels=_labels_of(job)
        )
        encoded = encode(request, self._context(job))
        encoding, model = encoded.encoding, encoded.model
        labels = None if encoded.found is None else self._labels_of(job, encoded.found)
        of_scan = None if encoded.found_in_scan is None else self._labels_of(job, encoded.found_in_scan)
        job.check()
        return {
            "reconstruction": wire_of(self.session, encoding.reconstruction),
            "latent": encoding.latent.to_document(),
            "errors": _errors_of(encoding, model, encoded.own_error),
            "labels": labels,
            "scan_labels": of_scan,
            "difference": self._difference(encoded),
            "warnings": [line for line in encoding.warnings if line not in model.notes],
            "notes": [*scan.meta.get("notes", ()), *encoded.notes],
            "seconds": {name: round(value, 3) for name, value in encoding.seconds.items()},
        }

    def step(self, job: Job) -> dict[str, Any]:
        """Move a latent along directions and make its volume."""
        from ..inference.latent import latent_from_document

        latent = latent_from_document(dict(job.arguments["latent"]))
        request = request_of(StepRequest, job.arguments, latent=latent, device=None)
        stepped = step(request, self._context(job))
        labels = measurements = None
        if stepped.found is not None:
            labels = self._labels_of(job, stepped.found, PREVIEW_MM if stepped.preview else FULL_MM)
            more = {name: round(value, 3) for name, value in stepped.measured.items()}
            measurements = labels["measurements"] | more
        job.check()
        return {
            "volume": wire_of(self.session, stepped.volume),
            "labels": labels,
            "latent": stepped.latent.to_document(),
            "measurements": measurements,
            "reached": None if stepped.reached is None else _reached(stepped.reached),
            "quality": "preview" if stepped.preview else "full",
            "notes": list(stepped.notes),
        }

    def segment(self, job: Job) -> dict[str, Any]:
        """Outline lungs and bones of a CT."""
        begun = time.perf_counter()
        job.progress(0.0, "reading the volume")
        scan = volume_from_wire(job.arguments["volume"])
        segmented = segment(
            request_of(SegmentRequest, job.arguments, scan=scan, labels=_labels_of(job)), self._context(job)
        )
        labels = self._labels_of(job, segmented.found)
        seconds = round(time.perf_counter() - begun, 3)
        return {"labels": labels, "notes": list(segmented.found.notes), "seconds": seconds}

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

    def _difference(self, encoded: Encoded) -> dict[str, Any] | None:
        if encoded.difference is None:
            return None
        wire = array_to_wire(self.session, encoded.difference, encoded.scan.geometry.to_dict())
        return {**wire, "spread": spread_of(encoded.difference)}

    def _context(self, job: Job) -> Context:
        return Context(progress=job.progress, model=self._models)


def _reached(step: Step) -> dict[str, Any]:
    return {
        "requested": step.requested,
        "measured": step.measured,
        "iterations": step.iterations,
        "note": step.note,
    }


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


def _labels_of(job: Job) -> Volume | None:
    """Return the label map of the user's that a request brings, which takes the place of the rules."""
    wire = job.arguments["labels"]
    return None if wire is None else volume_from_wire(wire)
