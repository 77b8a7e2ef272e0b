"""Encoding a chest CT, 512 × 512 × 133 unless told otherwise, with networks of the paper's size.

    python Testing/benchmarks/encode.py

From start to files: starting Python, reading the scan, checking it, both encoders, the generator, the way
back to the scan's grid, comparing, and writing latent and reconstruction. ``plain fp32`` does the same with
the networks as one would first write them down, and without checks and comparison. The scan is a phantom;
``--slices 300`` makes one of 512 × 512 × 300.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

VARIANTS = ("plain fp32", "ours fp32", "ours auto")


def variants(args: argparse.Namespace) -> list[str]:
    """Make what all variants work on, then return what is measured."""
    args.work.mkdir(parents=True, exist_ok=True)
    scan, model = inputs(args)
    if not model.exists():
        command = ["model", "new", "--size", str(args.size), "--out", str(model)]
        subprocess.run([sys.executable, "-m", "HAGANCore", *command], check=True, stdout=subprocess.DEVNULL)
    if not scan.exists():
        _write_scan(scan, args.slices)
    return list(VARIANTS)


def inputs(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return the files of scan and model; named by what they are, as they are kept from run to run."""
    return args.work / f"scan{args.slices}.nii.gz", args.work / f"model{args.size}.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the size of the network, the slices of the scan and where to keep both."""
    work = Path(tempfile.gettempdir()) / "hagan-benchmark-encode"
    parser.add_argument("--size", type=int, default=256, help="of the network (default: 256)")
    parser.add_argument("--slices", type=int, default=133, help="of the scan (default: 133)")
    parser.add_argument("--work", type=Path, default=work, help=f"where both are kept (default: {work})")


def _write_scan(path: Path, slices: int) -> None:
    from HAGANCore.imaging.io import write_volume
    from HAGANCore.imaging.volume import Geometry
    from HAGANCore.phantoms import make_phantom

    spacing = (0.703, 0.703, 332.5 / slices)
    origin = (-0.703 * 255.5, -0.703 * 255.5, -spacing[2] * (slices - 1) / 2)
    geometry = Geometry(shape=(slices, 512, 512), spacing=spacing, origin=origin)
    write_volume(make_phantom(1, geometry=geometry).volume, path)


def measure_one(name: str, args: argparse.Namespace) -> dict[str, float]:
    """Encode once, from the start of this process."""
    memory = measure.MemoryOfWork()
    scan, model = map(str, inputs(args))
    with tempfile.TemporaryDirectory() as out:
        if name.startswith("plain"):
            _encode_plainly(scan, model, Path(out))
        else:
            from HAGANCore.cli import main

            command = [
                "encode",
                scan,
                "--model",
                model,
                "--out",
                out,
                "--precision",
                name.split()[1].replace("fp32", "float32"),
            ]
            if main(command):
                raise SystemExit("encoding failed")
    return {"seconds": round(time.time() - measure.process_start(), 2), "peak_mb": memory.peak_mb()}


def _encode_plainly(scan_path: str, model_path: str, out: Path) -> None:
    import torch
    from plain import make_plain

    from HAGANCore import read_volume, write_volume
    from HAGANCore.models.modelfile import read_model
    from HAGANCore.preparation.preprocess import prepare, restore

    model = read_model(model_path)
    profile, size = model.description.profile, model.description.architecture.size
    generator, encoder, ground_encoder = model.generator(), model.encoder(), model.ground_encoder()
    assert encoder is not None
    assert ground_encoder is not None
    make_plain(generator)
    prepared = prepare(read_volume(scan_path), profile, size)
    with torch.inference_mode():
        z = ground_encoder(encoder.volume(torch.from_numpy(prepared.array)[None, None]))
        cube = generator(z)[0, 0].numpy()
    hu = prepared.record.denormalise(cube)
    write_volume(restore(hu, prepared.record, prepared.record.window[0]), out / "reconstruction.nii.gz")


if __name__ == "__main__":
    measure.main(__doc__, variants, measure_one, add_arguments)
