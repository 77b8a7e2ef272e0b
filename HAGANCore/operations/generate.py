"""Generate: synthetic volumes from seeds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..fields import check_fields, choice, flag, label, number, text, whole
from ..progress import part_of
from .context import Context

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..imaging.volume import Volume
    from ..inference.latent import Latent

MOST_VOLUMES = 100_000


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """Which volumes to make.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    model: str = text("A name ('hagan model list'), such as demo, or a model file.")
    seed: int = whole(1, "Seed of the first volume; the next ones follow it.", below=2**63)
    count: int = whole(1, "How many volumes.", least=1, most=MOST_VOLUMES)
    class_: str | int | None = label("Class of a conditional model, by name or index.")
    truncation: float = number(1.0, "0 to 1: less is nearer to the model's mean volume.", least=0, most=1)
    preview: bool = flag(False, "Only the low-resolution volume, a quarter of the size.")
    segment: bool = flag(False, "Also outline lungs and bones and measure them in millilitres.")
    device: str | None = text("Where to compute: auto, cpu, cuda or cuda:1.", "auto", optional=True)
    precision: str = choice("auto", "What to compute in.", of=("auto", "float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_fields(self, "the request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """One volume, as soon as it is finished."""

    index: int
    seed: int
    seconds: float
    """That its making took, without its segmentation."""
    latent: Latent
    volume: Volume
    found: Segmentation | None
    """Its segmentation, where that was asked for."""
    notes: tuple[str, ...]
    """What the model noted meanwhile: a smaller plan, for example."""


def run(request: GenerateRequest, context: Context) -> None:
    """Make the volumes; each is a part (:class:`Generated`).

    Raises:
        HaganError: no such model, or it makes nothing that can be segmented.
        OutOfMemory: even the smallest way of working does not fit.
    """
    from ..anatomy import segment  # the engine loads here: see the package

    model = context.model.get(request.model, request.device, request.precision)
    if request.segment:
        require_segmentable(model, request.preview)
    share = 0.5 if request.segment else 1.0
    for index in range(request.count):
        progress = part_of(context.progress, index / request.count, (index + 1) / request.count)
        before, begun = len(model.notes), time.perf_counter()
        latent = model.latent(request.seed + index, request.class_, request.truncation)
        volume = model.decode(latent, request.preview, part_of(progress, 0.0, share))
        seconds = time.perf_counter() - begun
        found = segment(volume, part_of(progress, share, 1.0)) if request.segment else None
        progress(1.0)
        context.part(
            Generated(
                index=index,
                seed=request.seed + index,
                seconds=seconds,
                latent=latent,
                volume=volume,
                found=found,
                notes=tuple(model.notes[before:]),
            )
        )


def require_segmentable(model: Any, preview: bool = False) -> None:
    """Refuse to outline lungs and bones of what is no CT in full size.

    Raises:
        HaganError: the model makes something else, or a preview is asked for.
    """
    if model.profile.modality != "CT" or preview:
        small = ", and a preview is asked for" if preview else ""
        raise HaganError(
            f"Lungs and bones can be outlined in full-size CT only; '{model.name}' makes "
            f"{model.profile.modality}{small}. Leave the outlines out."
        )
