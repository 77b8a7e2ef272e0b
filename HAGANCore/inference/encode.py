"""From a scan to its latent, and back onto the scan."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import HaganError
from ..gans.hagan import SLABS, one_hot
from ..progress import Progress, no_progress, part_of
from ..volumes.checks import check_scan
from ..volumes.preprocess import Prepared, prepare
from ..volumes.volume import Volume
from .error_measures import ErrorMeasures, measure_errors
from .latentfile import Latent
from .refine import refine_latent
from .streaming import StreamedGenerator

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """A scan's latent, and how well it stands for the scan."""

    latent: Latent
    reconstruction: Volume
    """On the scan's own grid; the lower end of the window outside the network's cube."""
    errors: ErrorMeasures
    """Of the part of the scan that the cube covers."""
    errors_before: ErrorMeasures | None
    """Before refinement; None without one."""
    coverage: float
    """Share of the scan's voxels that the cube covers."""
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    """Time of each stage, and ``total``."""

    @property
    def inside(self) -> tuple[slice, slice, slice]:
        """The part of the scan's array that the cube covers."""
        assert self.latent.preparation is not None
        return self.latent.preparation.inside

    def save_latent(self, path: Path | str) -> Path:
        """Write the latent as ``*.latent.json``."""
        return self.latent.save(path)


def encode_scan(
    model: Model,
    volume: Volume,
    refine: int = 0,
    class_: int | str | None = None,
    force: bool = False,
    progress: Progress = no_progress,
) -> Encoding:
    """Do what :meth:`Model.encode` says."""
    if refine < 0:
        raise HaganError(f"The number of refinement steps must be 0 or more; found {refine}.")
    model.encoders()  # a model without them is said at once, not after the scan has been prepared
    if refine and model.plan.kind != "hagan":
        raise HaganError(
            f"Only latents of HA-GAN can be refined, and '{model.name}' is a {model.file.gan.title}; encode "
            f"with 0 refinement steps instead of {refine}."
        )
    class_index = model.class_index(class_)
    watch = _Stopwatch()
    # Refinement takes nearly all the time when there is one.
    end = 0.25 if refine else 0.75
    with watch("check"):
        warnings = _checked(volume, model, force)
        progress(0.05 * end, "scan checked")
    with watch("prepare"):
        prepared = prepare(
            volume, model.profile, model.architecture.size, progress=part_of(progress, 0.05 * end, 0.3 * end)
        )
        inside = prepared.record.inside
        if volume.array[inside].size == 0:
            raise HaganError("The model's field of view does not touch the scan; check the scan's geometry.")
    with watch("encode"):
        latent = _encoded(model, prepared, class_index, part_of(progress, 0.3 * end, 0.7 * end))
    reconstruction, errors = _reconstructed(model, latent, volume, watch, part_of(progress, 0.7 * end, end))
    before = None
    if refine:
        with watch("refine"):
            refined = _refined(model, latent, prepared, refine, part_of(progress, end, 0.85))
        before = errors
        again, after = _reconstructed(model, refined, volume, watch, part_of(progress, 0.85, 1.0))
        if after.mae < before.mae:
            latent, reconstruction, errors = refined, again, after
        else:
            warnings.append(
                f"Refinement found nothing better (mean absolute error {after.mae:.1f}, before "
                f"{before.mae:.1f}); the encoder's latent is kept."
            )
    # Only the name: a path may tell more about a patient than the file should.
    source = Path(str(volume.meta.get("source", ""))).name
    facts = {**latent.facts, "errors": errors.to_dict(), "source": source}
    progress(1.0, "encoded")
    return Encoding(
        latent=replace(latent, facts=facts),
        reconstruction=reconstruction,
        errors=errors,
        errors_before=before,
        coverage=volume.array[inside].size / volume.array.size,
        warnings=(*warnings, *model.notes),
        seconds=watch.seconds,
    )


def _checked(volume: Volume, model: Model, force: bool) -> list[str]:
    """Return what the user should know of the scan; a scan that cannot be used is refused unless forced."""
    findings = check_scan(volume, model.profile)
    for found in findings:
        if found.severity == "refuse" and not force:
            raise HaganError(found.message)
    return [found.message for found in findings]


def _encoded(model: Model, prepared: Prepared, class_index: int | None, progress: Progress) -> Latent:
    """Return the encoders' latent; of a conditional model with the class that shows the scan best."""

    def work(generator: StreamedGenerator) -> tuple[np.ndarray, int | None]:
        z, low = encode_cube(model, prepared.array, progress)
        chosen = class_index
        if model.architecture.classes and chosen is None:
            chosen = _best_class(generator, z, low)
        return z[0].cpu().numpy(), chosen

    z, chosen = model.with_fallback(work, progress)
    return model.latent_from(z, chosen, origin="encode", preparation=prepared.record)


@torch.no_grad()
def encode_cube(model: Model, array: np.ndarray, progress: Progress = no_progress) -> tuple[Tensor, Tensor]:
    """Return the latent (1, latent) of a cube in [-1, 1], and the cube at a quarter of its size."""
    encoders = model.encoders()
    if model.plan.kind != "hagan":
        x = torch.from_numpy(array)[None, None].to(model.plan.device)
        z = model.file.gan.encode_with(encoders, x)
        progress(1.0, "encoding")
        return z, F.avg_pool3d(x, 4)[0, 0]
    features, low = [], []
    for index, slab in enumerate(torch.from_numpy(array).chunk(SLABS)):
        # Slab by slab, as E^H was trained (its GroupNorm sees one slab), and to need little memory.
        x = slab[None, None].to(model.plan.device).contiguous(memory_format=torch.channels_last_3d)
        features.append(encoders["encoder"](x))
        low.append(F.avg_pool3d(x, 4)[0, 0])
        progress((index + 1) / SLABS, "encoding")
    z = encoders["ground_encoder"](torch.cat(features, dim=2))
    return z, torch.cat(low)


def _best_class(generator: StreamedGenerator, z: Tensor, low: Tensor) -> int:
    classes = generator.architecture.classes
    labels = one_hot(torch.arange(classes, device=z.device), classes)
    errors = [F.l1_loss(generator.low(generator.features(z, label[None])), low) for label in labels]
    return int(torch.stack(errors).argmin())


def _refined(model: Model, latent: Latent, prepared: Prepared, steps: int, progress: Progress) -> Latent:
    def work(generator: StreamedGenerator) -> tuple[np.ndarray, dict[str, Any]]:
        z, classes = model.tensors(latent)
        target = torch.from_numpy(prepared.array).to(z.device)
        refined = refine_latent(generator, z, classes, target, steps, progress)
        return refined.z[0].cpu().numpy(), {"refine_steps": refined.steps}

    z, facts = model.with_fallback(work, progress)
    return replace(latent, z=z, origin="refine", facts=facts)


def _reconstructed(
    model: Model, latent: Latent, volume: Volume, watch: _Stopwatch, progress: Progress
) -> tuple[Volume, ErrorMeasures]:
    """Return the reconstruction on the scan's grid and its error where the cube covers the scan."""
    record = latent.preparation
    assert record is not None
    with watch("reconstruct"):
        reconstruction = model.reconstruct(latent, part_of(progress, 0.0, 0.5))
    with watch("compare"):
        scan, shown = volume.array[record.inside], reconstruction.array[record.inside]
        unit = model.profile.unit
        errors = measure_errors(scan, shown, record.window, unit, part_of(progress, 0.5, 1.0))
    return reconstruction, errors


class _Stopwatch:
    """Adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.perf_counter()

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            now = time.perf_counter()
            self.seconds.pop("total", None)
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - begun
            self.seconds["total"] = now - self._begun
