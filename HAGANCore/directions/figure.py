"""What a walk looks like: slices with outlines and percentages (paper, Fig. 5), a curve, an animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..anatomy import BONES, LEFT_LUNG, RIGHT_LUNG
from ..errors import HaganError
from ..files import written_whole
from ..imaging.orientation import canonical_view
from ..imaging.pictures import THORAX_WINDOW, Picture, drawable, grey, outlined, plane, resized, sheet
from ..imaging.volume import Volume
from ..wording import percent_text, short_text
from .direction import Direction
from .optional import plotting
from .walk import Walk

GREEN = (60, 255, 60)
ROWS = ("axial", "coronal")
NOTICE = "Synthetic. Not for diagnosis."
_PAPER, _INK = (24, 24, 24), (235, 235, 235)
_MOST_COLUMNS = 7
"""Of one row of a figure."""
_FRAME_MS = 350
_END_FRAMES = 3
"""How often the first and the last frame are shown: a moment to look before it turns back."""

Fractions = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Column:
    """One step of a figure: its slices, and what is written under them."""

    slices: tuple[Picture, ...]
    lines: tuple[str, ...]


def outlined_labels(direction: Direction) -> tuple[int, ...]:
    """Return the labels that a figure of a direction outlines: what its target is measured on."""
    return (BONES,) if (direction.target or "").startswith("bone") else (RIGHT_LUNG, LEFT_LUNG)


def middle_of(labels: npt.NDArray, volume: Volume, values: Sequence[int]) -> Fractions:
    """Return where to cut to see the labels: their centre, as fractions from below, front and right."""
    seen = np.isin(canonical_view(labels, volume.geometry, "SPL").array, values)
    if not seen.any():
        return (0.5, 0.5, 0.5)
    middle = []
    for axis in range(3):
        profile = seen.sum(axis=tuple(a for a in range(3) if a != axis))
        middle.append((float(np.average(np.arange(len(profile)), weights=profile)) + 0.5) / len(profile))
    return (middle[0], middle[1], middle[2])


def slices_of(
    volume: Volume,
    labels: npt.NDArray | None,
    values: Sequence[int],
    at: Fractions,
    width: int = 300,
    window: tuple[float, float] | None = None,
) -> tuple[Picture, ...]:
    """Return an axial and a coronal slice in true proportions, the labels outlined in green.

    Args:
        volume: in any orientation.
        labels: a label map on its grid (z, y, x), or None for no outline.
        values: the labels to outline, as one.
        at: where to cut, as fractions; see :func:`middle_of`.
        width: of the pictures, in pixels.
        window: the values that become black and white; of CT the thorax window if left out, of others the
            range that holds 98 % of the voxels.
    """
    view = canonical_view(volume.array, volume.geometry, "SPL")
    window = window or _window_of(volume)
    wanted = None
    if labels is not None:
        wanted = np.isin(canonical_view(labels, volume.geometry, "SPL").array, values)
    pixel = view.array.shape[2] * view.spacing[2] / width
    pictures = []
    for name in ROWS:
        across = 1 if name == "axial" else 0
        height = max(1, round(view.array.shape[across] * view.spacing[across] / pixel))
        position = at[0] if name == "axial" else at[1]
        picture = resized(grey(plane(view.array, name, position), window), width, height)
        if wanted is not None:
            # As numbers between 0 and 1, so that the outline of a coarse label map is smooth.
            share = Image.fromarray(np.ascontiguousarray(plane(wanted, name, position), np.float32))
            inside = np.asarray(share.resize((width, height), Image.Resampling.BICUBIC)) >= 0.5
            picture = outlined(picture, inside.astype(np.uint8), {1: GREEN})
        pictures.append(picture)
    return tuple(pictures)


def lines_under(
    direction: Direction, requested: float, measured: float | None, percent: float | None, value: float | None
) -> tuple[str, ...]:
    """Return what stands under a column: the measured change in percent (as in the paper) and in its unit."""
    if requested == 0:
        return ("start",) if value is None else ("start", short_text(value, direction.unit))
    asked = f"asked {short_text(requested, direction.unit, signed=True)}"
    if measured is None:
        return (asked,)
    change = short_text(measured, direction.unit, signed=True)
    return (change, asked) if percent is None else (percent_text(percent / 100, signed=True), change, asked)


def figure(title: str, columns: Sequence[Column]) -> Picture:
    """Return the figure: a column for each step, slices in rows, text under each, a title above all."""
    blocks = []
    for first in range(0, len(columns), _MOST_COLUMNS):
        some = columns[first : first + _MOST_COLUMNS]
        count = max(len(column.lines) for column in columns)
        rows = [[column.slices[row] for column in some] for row in range(len(some[0].slices))]
        under = [
            _text(column.slices[0].shape[1], [*column.lines, *[""] * (count - len(column.lines))])
            for column in some
        ]
        blocks.append(sheet([*rows, under]))
    return sheet([[_text(blocks[0].shape[1], (f"{title}   {NOTICE}",))], *([block] for block in blocks)])


def frames_of(title: str, columns: Sequence[Column]) -> list[Picture]:
    """Return one picture for each column: its slices side by side, its text under them."""
    frames = []
    for column in columns:
        body = sheet([list(column.slices)])
        text = "   ".join(column.lines)
        lines = _text(body.shape[1], (title, text, NOTICE))
        frames.append(sheet([[body], [lines]]))
    return frames


def write_animation(frames: Sequence[Picture], path: Path | str) -> Path:
    """Write frames as a GIF that runs back and forth for ever: every program for talks shows it.

    Raises:
        HaganError: there are no frames.
    """
    if not frames:
        raise HaganError("An animation needs at least one frame; found none.")
    order = [0] * _END_FRAMES + list(range(1, len(frames) - 1))
    if len(frames) > 1:
        order += [len(frames) - 1] * _END_FRAMES + list(range(len(frames) - 2, 0, -1))
    images = [_palette(frames[index]) for index in order]
    with written_whole(path) as temporary:
        images[0].save(
            temporary, format="GIF", save_all=True, append_images=images[1:], duration=_FRAME_MS, loop=0
        )
    return Path(path)


def write_curve(walk: Walk, path: Path | str, on_scan: Sequence[tuple[float, float]] = ()) -> Path:
    """Draw measured against requested changes, with the line on which both are the same.

    Args:
        walk: its steps that were measured are drawn.
        path: a PNG.
        on_scan: requested and measured changes of the scan that the steps were carried over to.

    Raises:
        HaganError: matplotlib is missing.
    """
    unit = f" ({walk.direction.unit})" if walk.direction.unit else ""
    points = sorted((step.requested, step.measured) for step in walk.steps if step.measured is not None)
    drawing = plotting().figure.Figure(figsize=(5, 5), dpi=120, layout="constrained")
    axes = drawing.add_subplot()
    axes.locator_params(nbins=6)
    both = [value for pair in (*points, *on_scan) for value in pair]
    ends = (min(both, default=0.0), max(both, default=1.0))
    axes.plot(ends, ends, color="0.7", linewidth=1, label="as asked")
    axes.plot(*zip(*points, strict=True), "o-", color="tab:green", label="volume of the model")
    if on_scan:
        axes.plot(*zip(*sorted(on_scan), strict=True), "s--", color="tab:orange", label="the scan")
    axes.set_xlabel(f"change asked for{unit}")
    axes.set_ylabel(f"change measured{unit}")
    axes.set_title(walk.direction.name)
    axes.grid(color="0.9")
    axes.legend()
    with written_whole(path) as temporary:
        drawing.savefig(temporary, format="png", metadata={"Software": None})
    return Path(path)


def _window_of(volume: Volume) -> tuple[float, float]:
    if volume.meta.get("unit") == "HU":
        return THORAX_WINDOW
    low, high = (float(value) for value in np.percentile(volume.array, (1, 99)))
    return (low, high if high > low else low + 1)


def _text(width: int, lines: Sequence[str]) -> Picture:
    """Return lines of text as a picture; a line that is too long is set smaller."""
    image = Image.new("RGB", (width, 18 * len(lines) + 4), _PAPER)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(map(drawable, lines)):
        size = 13
        while size > 7 and draw.textlength(line, font=ImageFont.load_default(size)) > width - 8:
            size -= 1
        draw.text((width / 2, 18 * row + 11), line, fill=_INK, font=ImageFont.load_default(size), anchor="mm")
    return np.asarray(image)


def _palette(frame: Picture) -> Image.Image:
    """Return a frame in the 256 colours of a GIF: every pixel is a grey or the outline's green.

    Pillow's own quantisation would take the nearest of every fourth grey only.
    """
    is_grey = frame.max(axis=-1) == frame.min(axis=-1)
    image = Image.fromarray(np.where(is_grey, np.minimum(frame[..., 0], 254), 255).astype(np.uint8), "P")
    image.putpalette([value for level in range(255) for value in (level, level, level)] + list(GREEN))
    return image
