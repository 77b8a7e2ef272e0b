"""Step: a latent moved along directions, and its volume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..fields import check_fields, choice, flag, given, objects, text
from ..progress import part_of
from .context import Context
from .stepping import Stepping

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..directions.step import Step
    from ..imaging.volume import Volume
    from ..inference.latent import Latent
    from ..inference.model import Model

_SMALLEST_PREVIEW = 64
"""Edge in voxels from which on the low-resolution volume shows enough to steer by."""


@dataclass(frozen=True, kw_only=True)
class StepRequest:
    """Where to go from a latent.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    model: str = text("A name ('hagan model list'), such as demo, or a model file.")
    latent: Latent = given("The latent to start from.")
    steps: tuple[Mapping[str, Any], ...] = objects("Each a 'direction' and an 'amount' in its unit.")
    quality: str = choice("preview", "The low-resolution volume or the full one.", of=("preview", "full"))
    segment: bool = flag(True, "Also outline lungs and bones and measure them in millilitres.")
    exact: bool = flag(False, "Measure the volume and correct the step until every change is met.")
    on_scan: bool = flag(False, "Make the volume on the grid of the scan that the latent comes from.")
    device: str | None = text("Where to compute: auto, cpu, cuda or cuda:1.", "auto", optional=True)

    def __post_init__(self) -> None:
        check_fields(self, "the request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped:
    """What was made."""

    latent: Latent
    volume: Volume
    found: Segmentation | None
    """Lungs and bones, where they were asked for and the volume is CT."""
    measured: Mapping[str, float]
    """What the model's directions move and ``found`` does not measure, where it can be measured."""
    reached: Step | None
    """Of an exact step, what was requested and measured."""
    preview: bool
    notes: tuple[str, ...]
    """What the model noted meanwhile: a smaller plan, for example."""


def run(request: StepRequest, context: Context) -> Stepped:
    """Move the latent and make its volume.

    Raises:
        HaganError: no such model or direction, an amount outside its range, another model's latent, …
        OutOfMemory: even the smallest way of working does not fit.
    """
    from ..anatomy import segment  # the engine loads here: see the package

    model = context.model.get(request.model, request.device)
    stepping, step, found = context.model.kept("stepping", Stepping), None, None
    large = model.architecture.size // 4 >= _SMALLEST_PREVIEW
    preview = request.quality == "preview" and large and not request.on_scan
    before = len(model.notes)
    if request.exact and request.steps:
        step = stepping.closed(model, request.latent, request.steps, part_of(context.progress, 0.0, 0.6))
    latent = stepping.moved(model, request.latent, request.steps) if step is None else step.latent
    progress = part_of(context.progress, 0.6, 0.8)
    if request.on_scan:
        volume = model.reconstruct(latent, progress)
    elif preview or step is None:
        volume = model.decode(latent, preview, progress)
    else:
        volume, found = step.volume, step.segmentation
    notes = tuple(model.notes[before:])
    measured: Mapping[str, float] = {}
    if request.segment and model.profile.modality == "CT":
        found = found or segment(volume, part_of(context.progress, 0.8, 0.95))
        measured = _moved_targets(model, volume, found)
    return Stepped(
        latent=latent,
        volume=volume,
        found=found if request.segment else None,
        measured=measured,
        reached=step,
        preview=preview,
        notes=notes,
    )


def _moved_targets(model: Model, volume: Volume, found: Segmentation) -> dict[str, float]:
    """Return what the model's directions move and the labels do not measure; what is not there is left out.

    Targets of a user's own table, such as an age, cannot be measured on a volume.
    """
    from ..directions.targets import TARGETS, measure_targets

    wanted = {str(direction.get("target")) for direction in model.description.directions}
    more = sorted(wanted & set(TARGETS) - set(found.measurements()))
    measured = measure_targets(volume, found, more)
    return {name: value for name, value in measured.items() if math.isfinite(value)}
