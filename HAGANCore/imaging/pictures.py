"""Pictures of volumes as PNG: slices in a window, outlines, text, and sheets of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..files import written_whole
from ..wording import MINUS
from .orientation import canonical_view
from .volume import Volume

Picture = npt.NDArray[np.uint8]
"""A colour picture (height, width, 3)."""
PLANES = ("axial", "coronal", "sagittal")
THORAX_WINDOW = (-1000.0, 400.0)
"""HU from black to white: lungs, soft tissue and bones all visible."""


def plane(array: np.ndarray, name: str, position: float = 0.5) -> np.ndarray:
    """Return a slice of an array in (z, y, x) order as radiologists look at it.

    Axial from the feet, coronal from the front (the patient's right is on the left), sagittal from the
    left; the head is up, the front is up or to the left.

    >>> plane(np.arange(8).reshape(2, 2, 2), "coronal", 0.0).tolist()
    [[4, 5], [0, 1]]
    """
    axis = PLANES.index(name)
    index = min(int(position * array.shape[axis]), array.shape[axis] - 1)
    view = np.take(array, index, axis=axis)
    return view if name == "axial" else view[::-1]


def grey(view: np.ndarray, window: tuple[float, float] = THORAX_WINDOW) -> Picture:
    """Return a slice as a grey picture; ``window`` says which values are black and white."""
    low, high = window
    levels = np.clip((np.asarray(view, np.float32) - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def resized(picture: Picture, width: int, height: int) -> Picture:
    """Return the picture at another size."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def outlined(picture: Picture, labels: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> Picture:
    """Return the picture with the inner border of each label (height, width) drawn in its colour."""
    result = picture.copy()
    for value, colour in colours.items():
        mask = np.pad(labels == value, 1)
        inside = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        result[mask[1:-1, 1:-1] & ~inside] = colour
    return result


def three_planes(
    volume: Volume,
    labels: np.ndarray | None = None,
    colours: dict[int, tuple[int, int, int]] | None = None,
    *,
    captions: tuple[str, str, str] = PLANES,
    height: int = 220,
    window: tuple[float, float] = THORAX_WINDOW,
    at: tuple[float, float, float] = (0.5, 0.5, 0.5),
) -> list[Picture]:
    """Return an axial, a coronal and a sagittal picture in true proportions, with labels outlined.

    Args:
        volume: in any orientation.
        labels: a label map on the volume's grid (z, y, x).
        colours: label: colour of its outline.
        captions: written above the pictures.
        height: of the coronal and sagittal pictures, in pixels; one scale for all three.
        window: the values that become black and white.
        at: where to cut, as fractions from below, from the front and from the right.
    """
    view = canonical_view(volume.array, volume.geometry, "SPL")
    outline = None if labels is None else canonical_view(labels, volume.geometry, "SPL").array
    pixels = [
        max(1, round(n * mm * height / (view.array.shape[0] * view.spacing[0])))
        for n, mm in zip(view.array.shape, view.spacing, strict=True)
    ]
    pictures = []
    for name, caption, (rows, columns) in zip(PLANES, captions, ((1, 2), (0, 2), (0, 1)), strict=True):
        axis = PLANES.index(name)
        picture = resized(grey(plane(view.array, name, at[axis]), window), pixels[columns], pixels[rows])
        if outline is not None:
            # Outlined after resizing, so that the line is one pixel wide whatever the voxel size.
            cut = np.ascontiguousarray(plane(outline, name, at[axis]))
            cut = np.asarray(
                Image.fromarray(cut).resize((pixels[columns], pixels[rows]), Image.Resampling.NEAREST)
            )
            picture = outlined(picture, cut, colours or {})
        pictures.append(captioned(picture, caption))
    return pictures


def drawable(text: str) -> str:
    """Return a text for the font that comes with Pillow, which has no minus sign."""
    return text.replace(MINUS, "-")


def captioned(picture: Picture, text: str) -> Picture:
    """Return the picture with a line of text above it."""
    height, width, _ = picture.shape
    sheet = Image.new("RGB", (width, height + 18), (24, 24, 24))
    sheet.paste(Image.fromarray(picture), (0, 18))
    ImageDraw.Draw(sheet).text((4, 2), drawable(text), fill=(235, 235, 235), font=ImageFont.load_default(12))
    return np.asarray(sheet)


def sheet(rows: list[list[Picture]], gap: int = 4) -> Picture:
    """Return the pictures laid out in rows, on black."""
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    width = max(sum(picture.shape[1] + gap for picture in row) - gap for row in rows)
    result = np.zeros((sum(heights) + gap * (len(rows) - 1), width, 3), np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for picture in row:
            result[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + gap
        top += height + gap
    return result


def write_png(picture: Picture, path: Path | str) -> Path:
    """Write a picture, whole or not at all."""
    with written_whole(path) as temporary:
        Image.fromarray(picture).save(temporary)
    return Path(path)
