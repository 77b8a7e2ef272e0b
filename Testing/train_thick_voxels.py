"""Train the network that finds bone in voxels as thick as a rib, and put it into the repository.

    python Testing/train_thick_voxels.py

About 5 minutes on two cores. A third of the phantoms are as drawn; the others vary more than patients do in
the size and density of their bones, in blur, noise and voxel size, and half of those have bones up to
2.2 times as heavy: phantoms have no arms and slender shoulder blades, patients have both. Accuracy:
``Testing/benchmarks/dice.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save
from torch import nn

from HAGANCore.anatomy.thick import REACH, WEIGHTS, mirrored, surroundings, windows, worth_a_look
from HAGANCore.files import written_whole
from HAGANCore.imaging.orientation import canonical_view
from HAGANCore.phantoms import Phantom, draw_parameters, make_phantom

ROOT = Path(__file__).resolve().parents[1]
SEEDS = 8_000_000
"""Far from those of cohorts and of everything that judges."""
WIDTH, EPOCHS, BATCH, RATE = 96, 10, 4096, 4e-3
_VOXELS = 6000
"""Taken from each phantom."""
_GAIN = 0.15
"""Largest change (of its logarithm) of how far bone lies above soft tissue: calibration of scanners."""
_SOFT = 50.0
"""HU of soft tissue."""

Samples = tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]


def phantom_of(index: int) -> Phantom:
    """Make one phantom: as drawn at 64³, with varied bones, or with varied and heavy bones."""
    seed, kind = SEEDS + index, index % 3
    if kind == 0:
        return make_phantom(seed, 64)
    rng = np.random.default_rng([seed, 99])
    parameters = replace(
        draw_parameters(seed),
        bone_density=float(rng.uniform(60, 260)),
        bone_size=float(rng.uniform(0.8, 1.25) if kind == 1 else rng.uniform(0.9, 2.2)),
        blur=float(rng.uniform(0.5, 4.5)),  # reconstructions of a small model are as blurred as that
        noise=float(rng.uniform(8, 60)),
    )
    return make_phantom(seed, int(rng.integers(50, 81)), parameters=parameters)


def samples_of(index: int) -> Samples:
    """Return the surroundings of some voxels of a phantom, and which of them are mostly bone."""
    phantom, rng = phantom_of(index), np.random.default_rng([SEEDS + index, 100])
    geometry = phantom.volume.geometry
    view = canonical_view(phantom.volume.array, geometry, "SPL")
    bones = canonical_view(phantom.masks["bones"], geometry, "SPL").array
    hu = view.array.copy()
    hu[hu > _SOFT] = _SOFT + (hu[hu > _SOFT] - _SOFT) * np.exp(rng.uniform(-_GAIN, _GAIN))
    hu = np.rint(hu).astype(np.int16)
    places = np.argwhere(worth_a_look(hu))
    places = places[rng.permutation(len(places))[:_VOXELS]]
    at = np.zeros(hu.shape, bool)
    at[tuple(places.T)] = True
    return surroundings(windows(hu), at, view.spacing).astype(np.float16), bones[at]


def train(seen: torch.Tensor, bone: torch.Tensor) -> nn.Sequential:
    """Fit the perceptron; every other batch is mirrored."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # sums in one order: the same file from every machine of a kind
    net = nn.Sequential(
        nn.Linear(seen.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1)
    )
    optimiser = torch.optim.Adam(net.parameters())
    batches = len(seen) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * batches)
    for epoch in range(EPOCHS):
        order, total = torch.randperm(len(seen)), 0.0
        for number in range(batches):
            chosen = order[number * BATCH : (number + 1) * BATCH]
            x = seen[chosen].float()
            if number % 2:
                x = torch.from_numpy(mirrored(x.numpy()))
            loss = nn.functional.binary_cross_entropy_with_logits(net(x)[:, 0], bone[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / batches:.4f}", flush=True)
    return net


def main() -> int:
    """Draw, train, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--phantoms", type=int, default=900, metavar="N", help="(default: 900)")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="processes (default: 2)")
    parser.add_argument("--out", type=Path, default=ROOT / "Resources" / WEIGHTS, metavar="FILE")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs) as pool:
        parts = list(pool.map(samples_of, range(args.phantoms), chunksize=8))
    seen = torch.from_numpy(np.concatenate([part[0] for part in parts]))
    bone = torch.from_numpy(np.concatenate([part[1] for part in parts]).astype(np.float32))
    print(f"{len(seen):,} voxels, {bone.mean():.1%} of them bone", flush=True)
    net = train(seen, bone)
    card = {
        "description": "whether bone fills at least half of a voxel of 4.5 to 8 mm",
        "trained_on": f"{args.phantoms} computed phantoms, seeds from {SEEDS}; no patients",
        "made_by": "python Testing/train_thick_voxels.py",
        "inputs": f"HU / 300 of {2 * REACH + 1}^3 voxels (S, P, L), then log(edge / 5 mm) of the three axes",
        "licence": "Apache-2.0",
    }
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    content = save(state, {"hagan": json.dumps(card)})
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(args.out) as temporary:
        temporary.write_bytes(content)
    print(f"{args.out}: {len(content):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
