"""How far a slab in training is from the same slab of the whole volume, in HU.

    hagan phantom --count 200 --size 64 --out cohort
    python Testing/benchmarks/normalisation.py cohort

Trains a small network for a while with either normalisation and compares what G^H makes of a slab's
features as in training with that part of the whole volume as in use. With GroupNorm the slab has its own
statistics and no neighbours. ``ratio`` compares with it.
"""

from __future__ import annotations

import json
import tempfile

import measure
import torch

from HAGANCore.cohorts.store import Cohort
from HAGANCore.devices import choose_device
from HAGANCore.progress import no_progress
from HAGANCore.training import Trainer, TrainingConfig

HU_PER_UNIT = (600 + 1024) / 2


def mismatch_hu(cohort: Cohort, normalisation: str, iterations: int, volumes: int = 16) -> float:
    """Train, then return the mean absolute difference over slabs at all starts, in HU."""
    config = TrainingConfig.of(
        latent=64,
        generator_width=8,
        discriminator_width=128,
        ground_encoder_width=64,
        normalisation="group" if normalisation == "group" else "slab-consistent",
        iterations=iterations,
        lr_generator=4e-4,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(cohort, f"{folder}/run", config, choose_device("auto"))
        trainer.run(no_progress)
    generator, architecture = trainer.gan.averages["generator"], trainer.gan.architecture
    z = torch.randn(volumes, architecture.latent, generator=torch.Generator().manual_seed(1))
    depth, differences = architecture.slab_features, []
    with torch.inference_mode():
        features = generator.features(z.to(trainer.device))
        whole = generator.high(features)
        for start in range(0, architecture.low_size - depth + 1, depth):
            slab = generator.high.slab(features, start, depth)
            differences.append((slab - whole[:, :, 4 * start : 4 * (start + depth)]).abs().mean())
    return HU_PER_UNIT * float(torch.stack(differences).mean())


def main() -> None:
    """Print the table, or JSON for scripts."""
    parser = measure.parser_of(__doc__)
    parser.add_argument("cohort", help="folder of a cohort of CTs")
    parser.add_argument("--iterations", type=int, default=600, help="of training (default: 600)")
    args = parser.parse_args()
    cohort = Cohort.open(args.cohort)
    found = {name: mismatch_hu(cohort, name, args.iterations) for name in ("group", "slab-consistent")}
    rows = [
        {"normalisation": name, "mismatch_hu": value, "ratio": value / found["group"]}
        for name, value in found.items()
    ]
    if args.json:
        print(json.dumps({"iterations": args.iterations, "rows": rows}, indent=2))
        return
    print("| normalisation | mean difference, HU | ratio |\n|---|---|---|")
    for row in rows:
        print(f"| {row['normalisation']} | {row['mismatch_hu']:.3f} | {row['ratio']:.3f} |")


if __name__ == "__main__":
    main()
