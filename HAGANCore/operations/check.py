"""Check: what is wrong with a scan for a model, before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..fields import check_fields, choice, given, text
from .context import Context
from .scans import LABELS, MEANINGS, SCAN, take_scan

if TYPE_CHECKING:
    from ..imaging.measurable import Finding
    from ..imaging.volume import Volume


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """Which scan to look at."""

    model: str = text("A name ('hagan model list'), such as demo, or a model file.")
    scan: Path | Volume = given(SCAN)
    labels: Path | Volume | None = given(LABELS, None)
    labels_are: str = choice("hagan", "What the numbers of the label map mean.", of=MEANINGS)
    device: str | None = text("Where to compute: auto, cpu, cuda or cuda:1.", "auto", optional=True)

    def __post_init__(self) -> None:
        check_fields(self, "the request")


def run(request: CheckRequest, context: Context) -> list[Finding]:
    """Return what was found, refusals first.

    Raises:
        HaganError: no such model, or the scan cannot be read.
    """
    from ..anatomy.location import locate_lungs, lungs_of
    from ..anatomy.segmenter import segmenter_of
    from ..preparation.checks import examine

    model = context.model.get(request.model, request.device)
    context.progress(0.1, "looking at the scan")
    scan, locate = take_scan(request.scan, None, context), locate_lungs
    if request.labels is not None:
        outline = segmenter_of(request.labels, request.labels_are)
        locate = lambda volume: lungs_of(outline(volume))  # noqa: E731
    return examine(scan, model.profile, locate).findings
