"""Generating a whole volume with networks of the paper's size: ours against upsample-then-convolve.

    python Testing/benchmarks/generate.py --size 256

Each variant runs in a process of its own. ``peak_mb`` is what the work takes above the process with the
weights loaded; ``ratio`` and ``memory_ratio`` compare with the first row, the plain fp32 network.
"""

from __future__ import annotations

import argparse
import time

import measure
import numpy as np
from plain import make_plain

VARIANTS = {
    # name: (streamed, precision, channels last)
    "plain fp32": (False, "float32", False),
    "folded fp32": (False, "float32", False),
    "folded fp32 channels_last": (False, "float32", True),
    "folded bf16 channels_last": (False, "bfloat16", True),
    "streamed fp32": (True, "float32", True),
    "streamed bf16": (True, "bfloat16", True),
}


def variants(args: argparse.Namespace) -> list[str]:
    """Return what is measured; 512³ fits a laptop only when it is streamed."""
    return [name for name, (streamed, _, _) in VARIANTS.items() if streamed or args.size <= 256]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the size, the normalisation and how often each variant runs."""
    parser.add_argument("--size", type=int, default=256, help="edge of the volume in voxels (default: 256)")
    parser.add_argument(
        "--normalisation",
        default="slab-consistent",
        choices=("slab-consistent", "group"),
        help="of the network (default: slab-consistent; the published one is group)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="the median of so many (default: 3)")


def measure_one(name: str, args: argparse.Namespace) -> dict[str, float]:
    """Generate volumes and keep the median time."""
    import torch

    from HAGANCore.devices import choose_device
    from HAGANCore.gans.hagan import Architecture, Generator
    from HAGANCore.gans.hagan.streaming import StreamedGenerator

    streamed, precision, channels_last = VARIANTS[name]
    device, dtype = choose_device("auto"), getattr(torch, precision)
    torch.manual_seed(0)
    architecture = Architecture(size=args.size, normalisation=args.normalisation)
    generator = Generator(architecture).to(device).eval().requires_grad_(False)
    if name.startswith("plain"):
        make_plain(generator)
    if not streamed:
        layout = torch.channels_last_3d if channels_last else torch.preserve_format
        generator = generator.to(dtype=dtype, memory_format=layout)
    memory = measure.MemoryOfWork()
    stream = StreamedGenerator(generator, dtype) if streamed else None
    if streamed:
        del generator  # as a model does: the folded kernels take the place of the weights
    z = torch.randn(1, architecture.latent, device=device)

    def volume() -> np.ndarray:
        """Return the volume as 16-bit numbers, as it is written to a file."""
        if stream is None:
            return (generator(z.to(dtype))[0, 0].float() * 32767).short().cpu().numpy()
        result = np.empty((args.size,) * 3, np.int16)
        for start, slab in stream.slabs(stream.features(z)):
            result[start : start + len(slab)] = (slab * 32767).short().cpu().numpy()
        return result

    seconds = []
    with torch.inference_mode():
        for _ in range(1 + args.repeats):
            start = time.perf_counter()
            volume()
            seconds.append(time.perf_counter() - start)
    return {"seconds": float(np.median(seconds[1:])), "peak_mb": memory.peak_mb()}


if __name__ == "__main__":
    measure.main(__doc__, variants, measure_one, add_arguments)
