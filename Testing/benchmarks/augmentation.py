"""Does augmentation keep the discriminator from learning a small cohort by heart?

    python Testing/benchmarks/augmentation.py --volumes 40 --iterations 1500

Trains at 32³ on a small cohort of phantoms with and without augmentation. ``gap`` is how much higher D
rates the phantoms it was trained on than as many it has never seen, in logits: 0 where it has learned
nothing by heart. ``variety`` is the standard deviation of the lung fraction of generated volumes
(voxels below -400 HU inside the cube's middle) over that of unseen phantoms; 1 would be ideal.
``ratio`` compares the varieties.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import measure
import numpy as np
import torch
from torch.nn import functional as F

from HAGANCore.cohorts.store import Cohort
from HAGANCore.devices import choose_device
from HAGANCore.phantoms.cohort import write_phantom_cohort
from HAGANCore.training import Trainer, TrainingConfig

SIZE = 32
UNSEEN_SEED = 9_100_000
_LUNG_LIMIT = 2 * (-400 + 1024) / 1624 - 1


def compare(volumes: int, iterations: int) -> dict[str, dict[str, float]]:
    """Train with and without; returns ``gap`` and ``variety`` of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_phantom_cohort(folder / "seen", volumes, SIZE, 1)
        write_phantom_cohort(folder / "unseen", volumes, SIZE, UNSEEN_SEED)
        seen, unseen = Cohort.open(folder / "seen"), Cohort.open(folder / "unseen")
        return {
            label: _trained(seen, unseen, folder / label, iterations, augment)
            for label, augment in (("without", ()), ("with", ("shift", "intensity")))
        }


def _trained(
    seen: Cohort, unseen: Cohort, run: Path, iterations: int, augment: tuple[str, ...]
) -> dict[str, float]:
    config = TrainingConfig.of(
        latent=64,
        generator_width=8,
        discriminator_width=256,
        ground_encoder_width=64,
        iterations=iterations,
        lr_generator=4e-4,
        augment=augment,
    )
    trainer = Trainer(seen, run, config, choose_device("auto"))
    trainer.run()
    generator = trainer.gan.averages["generator"]
    z = torch.randn(200, config.options.latent, generator=torch.Generator().manual_seed(0)).to(trainer.device)
    with torch.inference_mode():
        trainer.networks["discriminator"].eval()
        gap = _rating(trainer, seen) - _rating(trainer, unseen)
        generated = torch.cat([generator(part) for part in z.split(20)])
    real = torch.from_numpy(np.stack([unseen.load(i) for i in range(len(unseen))]))[:, None]
    return {"gap": gap, "variety": float(_lung_fraction(generated).std() / _lung_fraction(real).std())}


def _rating(trainer: Trainer, cohort: Cohort) -> float:
    """Return D's mean logit over all volumes and the eight slabs of each."""
    volumes = torch.from_numpy(np.stack([cohort.load(i) for i in range(len(cohort))]))[:, None].to(
        trainer.device
    )
    low, depth = F.avg_pool3d(volumes, 4), SIZE // 8
    ratings = []
    for start in range(0, SIZE, depth):
        first = torch.full((len(volumes),), start, device=trainer.device)
        ratings.append(
            trainer.networks["discriminator"](volumes[:, :, start : start + depth], low, first)[0].mean()
        )
    return float(torch.stack(ratings).mean())


def _lung_fraction(volumes: torch.Tensor) -> torch.Tensor:
    middle = volumes[:, :, :, SIZE // 4 : -SIZE // 4, SIZE // 5 : -SIZE // 5].float()
    return (middle < _LUNG_LIMIT).float().mean(dim=(1, 2, 3, 4)).cpu()


def main() -> None:
    """Print the table, or JSON for scripts."""
    parser = measure.parser_of(__doc__)
    parser.add_argument("--volumes", type=int, default=40, help="phantoms in the cohort (default: 40)")
    parser.add_argument("--iterations", type=int, default=1500, help="of training (default: 1500)")
    args = parser.parse_args()
    found = compare(args.volumes, args.iterations)
    rows = [
        {"augmentation": label, **row, "ratio": row["variety"] / found["without"]["variety"]}
        for label, row in found.items()
    ]
    if args.json:
        print(json.dumps({"volumes": args.volumes, "iterations": args.iterations, "rows": rows}, indent=2))
        return
    print("| augmentation | gap, logits | variety | ratio |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['augmentation']} | {row['gap']:.2f} | {row['variety']:.2f} | {row['ratio']:.2f} |")


if __name__ == "__main__":
    main()
