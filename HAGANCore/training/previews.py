"""Preview pictures of a run: always the same latents and the same scans, so progress is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..gans import GAN
from ..gans.layers import one_hot
from ..imaging.pictures import PLANES, Picture, captioned, grey, plane, resized, sheet, write_png

COUNT = 4
_EDGE = 160
_WINDOW = (-1.0, 0.75)


def write_previews(gan: GAN, scans: Tensor, folder: Path, iteration: int, seed: int) -> Path:
    """Write ``NNNNNNNN.png``: generated volumes, and scans (N, 1, R, R, R) above their reconstructions.

    Reconstructions of a conditional model are made with the classes' frequencies in the cohort, as in
    training where a class is not known; a GAN without an encoder has none.
    """
    latents = gan.latents(COUNT, torch.Generator().manual_seed(seed))
    classes, frequencies = None, None
    if gan.class_frequencies is not None:
        count = len(gan.class_frequencies)
        classes = one_hot(torch.arange(COUNT) % count, count).to(latents)
        frequencies = gan.class_frequencies[None].to(latents)
    with torch.inference_mode():
        # One at a time: a picture must not need more memory than the training.
        generated = [
            gan.sample(latents[i : i + 1], None if classes is None else classes[i : i + 1])
            for i in range(COUNT)
        ]
        pairs = []
        for index, scan in enumerate(scans.to(latents.device).split(1)):
            z = gan.encode(scan)
            if z is not None:
                pairs += [(f"scan {index}", scan), (f"reconstruction {index}", gan.sample(z, frequencies))]
    rows = [[_view(v, f"synthetic {i}", name) for i, v in enumerate(generated)] for name in PLANES]
    if pairs:
        rows += [[_view(volume, caption, name) for caption, volume in pairs] for name in PLANES[:2]]
    return write_png(sheet(rows), folder / f"{iteration:08d}.png")


def _view(volume: Tensor, caption: str, name: str) -> Picture:
    array = volume[0, 0].float().cpu().numpy()
    return captioned(resized(grey(np.ascontiguousarray(plane(array, name)), _WINDOW), _EDGE, _EDGE), caption)
