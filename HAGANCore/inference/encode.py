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

from ..anatomy import LEFT_LUNG, RIGHT_LUNG, Segmentation, segment
from ..anatomy.location import lungs_in, lungs_of
from ..anatomy.lung_box import LungLocation
from ..anatomy.segment import Survey
from ..anatomy.segmenter import Segmenter, onto_grid
from ..errors import HaganError
from ..gans.hagan import SLABS, one_hot
from ..gans.hagan.streaming import StreamedGenerator
from ..imaging.provenance import SCAN_KEY, scan_sha256
from ..imaging.volume import Volume
from ..imaging.voxel_size import given_facts
from ..preparation.checks import Examination, examine
from ..preparation.preprocess import Preparation, Prepared, prepare
from ..progress import Progress, no_progress, part_of
from .error_measures import ErrorMeasures, error_within, measure_errors
from .latent import Latent
from .refine import refine_latent

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
    found: Segmentation | None
    """Lungs and bones of the scan, where they were given, asked for or needed."""
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
    segmenter: Segmenter | None = None,
    outline: bool = False,
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
    outlining = part_of(progress, 0.8, 1.0)
    if outline:
        progress = part_of(progress, 0.0, 0.8)
    # Refinement takes nearly all the time when there is one.
    end = 0.25 if refine else 0.75
    with watch("check"):
        chest = model.profile.anatomy == "thorax" and model.profile.unit == "HU"
        scan = _Scan(volume, segmenter if chest else None, keep=bool(refine or outline))
        examined = _checked(volume, model, force, scan)
        warnings = [finding.message for finding in examined.findings]
        warnings += [] if scan.found is None else scan.found.notes
        progress(0.05 * end, "scan checked")
    with watch("prepare"):
        prepared = prepare(
            volume,
            model.profile,
            model.architecture.size,
            examined.lungs,
            part_of(progress, 0.05 * end, 0.3 * end),
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
            found = scan.outlined(part_of(progress, end, end)) if chest else None
            weights = None if found is None else lung_weights(found, prepared)
            refined = _refined(model, latent, prepared, refine, weights, part_of(progress, end, 0.85))
        before = _with_lungs(errors, found, volume, reconstruction, prepared.record)
        again, after = _reconstructed(model, refined, volume, watch, part_of(progress, 0.85, 1.0))
        after = _with_lungs(after, found, volume, again, prepared.record)
        errors = before
        if after.judged < before.judged:
            latent, reconstruction, errors = refined, again, after
        else:
            where = "" if before.lungs_mae is None else " over all and inside the lungs"
            warnings.append(
                f"Refinement found nothing better (mean absolute error{where} {after.judged:.1f}, before "
                f"{before.judged:.1f}); the encoder's latent is kept."
            )
    if outline:
        with watch("segment"):
            scan.outlined(outlining)
    # No path and no name: either may be a patient's. The hash tells which scan it was.
    made_from = {SCAN_KEY: scan_sha256(volume), **given_facts(volume)}
    facts = {**latent.facts, "errors": errors.to_dict(), **made_from}
    provenance = {**reconstruction.meta["provenance"], **made_from}
    progress(1.0, "encoded")
    return Encoding(
        latent=replace(latent, facts=facts),
        reconstruction=reconstruction.with_array(reconstruction.array, provenance=provenance),
        errors=errors,
        errors_before=before,
        coverage=volume.array[inside].size / volume.array.size,
        warnings=(*warnings, *model.notes),
        found=scan.found,
        seconds=watch.seconds,
    )


class _Scan:
    """A scan whose lungs are looked for once, whoever asks: the checks, refinement, the caller.

    Args:
        volume: the scan.
        segmenter: finds lungs and bones in the place of this package's rules.
        keep: whether lungs and bones will be outlined: what the checks saw, as large as the scan, is kept.
    """

    def __init__(self, volume: Volume, segmenter: Segmenter | None, keep: bool) -> None:
        self._volume, self._keep = volume, keep
        self._survey: Survey | None = None
        self.found = None if segmenter is None else segmenter(volume)

    def locate(self, volume: Volume) -> LungLocation | None:
        """Return where the lungs lie."""
        if self.found is not None:
            return lungs_of(self.found)
        survey = Survey.of(volume)
        self._survey = survey if self._keep else None
        return lungs_in(survey)

    def outlined(self, progress: Progress) -> Segmentation:
        """Return lungs and bones."""
        if self.found is None:
            self.found = segment(self._volume, progress, self._survey)
            self._survey = None
        return self.found


def _checked(volume: Volume, model: Model, force: bool, scan: _Scan) -> Examination:
    """Return what was found in a scan; one that cannot be used is refused unless forced."""
    examined = examine(volume, model.profile, scan.locate)
    for finding in examined.findings:
        if finding.severity == "refuse" and not force:
            raise HaganError(finding.message)
    return examined


def _encoded(model: Model, prepared: Prepared, class_index: int | None, progress: Progress) -> Latent:
    """Return the encoders' latent; of a conditional model with the class that shows the scan best."""

    def work(generator: StreamedGenerator) -> tuple[np.ndarray, int | None]:
        z, low = encode_cube(model, prepared.array, progress)
        if not bool(torch.isfinite(z).all()):
            bad = z[~torch.isfinite(z)]
            raise HaganError(
                f"The encoder of the model '{model.name}' gives {len(bad)} of {z.numel()} values that are "
                f"not finite ({float(bad[0])}): its weights are damaged or too large. Use another model file."
            )
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


def _refined(
    model: Model,
    latent: Latent,
    prepared: Prepared,
    steps: int,
    weights: Tensor | None,
    progress: Progress,
) -> Latent:
    def work(generator: StreamedGenerator) -> tuple[np.ndarray, dict[str, Any]]:
        z, classes = model.tensors(latent)
        target = torch.from_numpy(prepared.array).to(z.device)
        weighing = None if weights is None else weights.to(z.device)
        refined = refine_latent(generator, z, classes, target, steps, progress, weighing)
        return refined.z[0].cpu().numpy(), {"refine_steps": refined.steps}

    z, facts = model.with_fallback(work, progress)
    return replace(latent, z=z, origin="refine", facts=facts)


def lung_weights(found: Segmentation, prepared: Prepared) -> Tensor | None:
    """Return weights of the cube's voxels (R, R, R), mean 1: half of all weight lies in the lungs.

    Weighed alike, two thirds of the error are soft tissue and air around the patient, and refinement made the
    lungs worse for them. None where the cube holds no lung.
    """
    grid = prepared.record.cube_geometry()
    labels = onto_grid(Volume(found.labels, found.geometry), grid)
    lungs = (labels == RIGHT_LUNG) | (labels == LEFT_LUNG)
    if not lungs.any():
        return None
    return torch.from_numpy(0.5 + 0.5 * lungs.astype(np.float32) / np.float32(lungs.mean()))


def _with_lungs(
    errors: ErrorMeasures,
    found: Segmentation | None,
    volume: Volume,
    reconstruction: Volume,
    record: Preparation,
) -> ErrorMeasures:
    """Return the errors with that inside the lungs, where these are known."""
    if found is None:
        return errors
    labels = found.labels[record.inside]
    lungs = (labels == RIGHT_LUNG) | (labels == LEFT_LUNG)
    scan, shown = volume.array[record.inside], reconstruction.array[record.inside]
    return replace(errors, lungs_mae=error_within(scan, shown, lungs, record.window))


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
