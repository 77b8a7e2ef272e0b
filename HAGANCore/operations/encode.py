"""Encode: a scan's latent, and its reconstruction laid over the scan."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..fields import check_fields, choice, flag, given, label, text, whole
from ..progress import part_of
from .context import Context
from .generate import require_segmentable
from .scans import LABELS, MEANINGS, SCAN, SPACING, read_scan

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..anatomy import Segmentation
    from ..imaging.volume import Vector, Volume
    from ..inference.encode import Encoding
    from ..inference.model import Model


@dataclass(frozen=True, kw_only=True)
class EncodeRequest:
    """Which scan to encode.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    model: str = text("A name ('hagan model list'), such as demo, or a model file.")
    scan: Path | Volume = given(SCAN)
    spacing: Vector | None = given(SPACING, None)
    refine: int = whole(0, "Refine the encoder's latent in at most this many steps.", most=100_000)
    class_: str | int | None = label("Class of a conditional model, by name or index.")
    force: bool = flag(False, "Encode the scan even if a check refuses it.")
    labels: Path | Volume | None = given(LABELS, None)
    labels_are: str = choice("hagan", "What the numbers of the label map mean.", of=MEANINGS)
    segment: bool = flag(False, "Also outline lungs and bones of the scan and of its reconstruction.")
    difference: bool = flag(False, "Also show what the reconstruction has changed.")
    own_error: bool = flag(False, "Also work out the model's error on its own volumes.")
    device: str | None = text("Where to compute: auto, cpu, cuda or cuda:1.", "auto", optional=True)
    precision: str = choice("auto", "What to compute in.", of=("auto", "float32", "bfloat16"))

    def __post_init__(self) -> None:
        check_fields(self, "the request")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What was found."""

    model: Model
    scan: Volume
    encoding: Encoding
    found: Segmentation | None
    """Lungs and bones of the reconstruction, where they were asked for."""
    found_in_scan: Segmentation | None
    """Those of the scan."""
    difference: npt.NDArray[Any] | None
    """Reconstruction - scan, where it was asked for."""
    own_error: float | None
    """The model's error on its own volumes, where it was asked for and takes no more than ten seconds."""
    notes: tuple[str, ...]
    """What the model noted meanwhile: a smaller plan, for example."""


def run(request: EncodeRequest, context: Context) -> Encoded:
    """Encode the scan.

    Raises:
        HaganError: no such model, or the scan is not what it needs.
        OutOfMemory: even the smallest way of working does not fit.
    """
    model, scan = _model_and_scan(request, context)
    before = len(model.notes)
    share = 0.7 if request.segment else 0.95
    encoding = model.encode(
        scan,
        request.refine,
        request.class_,
        request.force,
        part_of(context.progress, 0.0, share),
        _segmenter(request),
        outline=request.segment,
    )
    notes = list(model.notes[before:])
    found = difference = own = None
    if request.segment:
        from ..anatomy import segment  # the engine loads here: see the package

        found = segment(encoding.reconstruction, part_of(context.progress, share, 0.95))
        if request.labels is not None:
            notes.append(
                "Lungs and bones of the scan are those of the label map; in the reconstruction they were "
                "found by rules."
            )
    if request.difference:
        from ..imaging.difference import difference_of

        difference = difference_of(encoding.reconstruction.array, scan.array)
    if request.own_error:
        own = _own_error(model, context)
    context.progress(0.98, "handing over")
    return Encoded(
        model=model,
        scan=scan,
        encoding=encoding,
        found=found,
        found_in_scan=encoding.found if request.segment else None,
        difference=difference,
        own_error=own,
        notes=tuple(notes),
    )


def _model_and_scan(request: EncodeRequest, context: Context) -> tuple[Model, Volume]:
    """Return both.

    A scan is unpacked and hashed without Python's lock: no time is lost beside loading torch and the model.
    """
    context.progress(0.0, "reading the scan")
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(read_scan, request.scan, request.spacing, context.scan is not None)
        model = context.model.get(request.model, request.device, request.precision)
        if request.segment:
            require_segmentable(model)
        scan, sha256 = reading.result()
    if context.scan is not None:
        context.scan(scan, sha256)
    return model, scan


def _segmenter(request: EncodeRequest) -> Any:
    if request.labels is None:
        return None
    from ..anatomy.segmenter import segmenter_of

    return segmenter_of(request.labels, request.labels_are)


def _own_error(model: Model, context: Context) -> float | None:
    from ..inference.own_error import own_error

    progress = part_of(context.progress, 0.95, 0.98)
    return context.model.kept("own error", lambda: own_error(model, progress))
