"""Preview pictures of a run: always the same latents and the same scans, so progress is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..networks import one_hot
from ..pictures import PLANES, Picture, captioned, grey, plane, resized, sheet, write_png
from .step import Networks

COUNT = 4
_EDGE = 160
_WINDOW = (-1.0, 0.75)


def write_previews(
    networks: Networks, scans: Tensor, folder: Path, iteration: int, seed: int, class_frequencies: Tensor
) -> Path:
    """Write ``NNNNNNNN.png``: generated volumes, and scans (N, 1, R, R, R) above their reconstructions.

    Reconstructions of a conditional model are made with the classes' frequencies in the cohort (classes,), as
    in training where a class is not known.
    """
    device = next(networks.average.parameters()).device
    architecture = networks.average.architecture
    random = torch.Generator().manual_seed(seed)
    latents = networks.prior.draw(COUNT, random)
    classes = None
    if architecture.classes:
        classes = one_hot(torch.arange(COUNT) % architecture.classes, architecture.classes).to(device)
    with torch.inference_mode():
        # One at a time: a picture must not need more memory than the training.
        generated = [
            networks.average(latents[i : i + 1], None if classes is None else classes[i : i + 1])
            for i in range(COUNT)
        ]
        pairs = []
        for index, scan in enumerate(scans.to(device).split(1)):
            z = networks.ground_encoder(networks.encoder.volume(scan))
            prior = class_frequencies[None].to(device) if architecture.classes else None
            pairs += [(f"scan {index}", scan), (f"reconstruction {index}", networks.average(z, prior))]
    rows = [[_view(v, f"synthetic {i}", name) for i, v in enumerate(generated)] for name in PLANES]
    rows += [[_view(volume, caption, name) for caption, volume in pairs] for name in PLANES[:2]]
    return write_png(sheet(rows), folder / f"{iteration:08d}.png")


def _view(volume: Tensor, caption: str, name: str) -> Picture:
    array = volume[0, 0].float().cpu().numpy()
    return captioned(resized(grey(np.ascontiguousarray(plane(array, name)), _WINDOW), _EDGE, _EDGE), caption)
