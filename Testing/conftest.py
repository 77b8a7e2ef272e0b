"""What all tests share: where the real scans are, and small models with random weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from HAGANCore.gans.hagan import Architecture, Encoder, Generator, GroundEncoder, Normalisation
from HAGANCore.models.modelfile import ModelDescription, write_model
from HAGANCore.preparation.profiles import profile_named


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Return the folder of real scans, which are too large and too personal for the repository."""
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("HAGAN_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real scans at '{folder}'; set HAGAN_TEST_DATA to their folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def a_model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that returns a model file with random weights, in every layer, norms included."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def write(
        size: int = 32,
        normalisation: Normalisation = "slab-consistent",
        classes: int = 0,
        profile: str = "thorax-ct-fov",
        encoders: bool = True,
        seed: int = 0,
    ) -> Path:
        torch.manual_seed(seed)
        architecture = Architecture(
            size=size,
            latent=16,
            classes=classes,
            generator_width=8,
            discriminator_width=64,
            ground_encoder_width=16,
            normalisation=normalisation,
        )
        description = ModelDescription(
            name="tiny",
            title="Random weights",
            architecture=architecture,
            profile=profile_named(profile),
            classes=tuple(f"stage {index}" for index in range(classes)),
        )
        generator = Generator(architecture).requires_grad_(False)
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        names = (str(value) for value in (size, normalisation, classes, profile, encoders, seed))
        return write_model(
            folder / ("_".join(names) + ".safetensors"),
            description,
            generator=generator,
            encoder=Encoder(architecture) if encoders else None,
            ground_encoder=GroundEncoder(architecture) if encoders else None,
        )

    return write


@pytest.fixture(scope="session")
def a_steerable_model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the demonstration model with two directions of its own making, whatever it was shipped with.

    Found without fitting: the way from the latents of phantoms that have breathed out to those of the same
    patients breathing in (``lung volume``), and from small to large patients (``bone volume``).
    """
    from HAGANCore.anatomy import segment
    from HAGANCore.directions.direction import Calibration, Direction
    from HAGANCore.directions.store import add_directions
    from HAGANCore.inference.model import load_model
    from HAGANCore.models.modelfile import resolve_model
    from HAGANCore.phantoms import draw_parameters, make_phantom

    model = load_model("demo", "cpu")

    def latent(seed: int, **changed: float) -> np.ndarray:
        parameters = replace(draw_parameters(seed), **changed)
        return model.encode(make_phantom(seed, parameters=parameters).volume).latent.z

    def millilitres(z: np.ndarray) -> dict[str, float]:
        return segment(model.decode(model.latent_from(z))).measurements()

    lungs = sum(latent(s, inflation=1.15) - latent(s, inflation=0.85) for s in (11, 12))
    bones = latent(11, body_scale=1.08) - latent(11, body_scale=0.92)
    directions = []
    for name, target, way in (("lung volume", "lungs_ml", lungs), ("bone volume", "bones_ml", bones)):
        vector = way / np.linalg.norm(way)
        start = model.latent(1).z
        ends = [millilitres(start + step * vector)[target] for step in (-1.0, 1.0)]
        change = (ends[1] - ends[0]) / 2
        directions.append(
            Direction(
                name=name,
                unit="mL",
                vector=vector,
                target=target,
                calibration=Calibration((-4 * change, 0.0, 4 * change), (-4.0, 0.0, 4.0)),
                range=(-4 * change, 4 * change),
                baseline={"mean": 4700.0, "sd": 1000.0}
                if target == "lungs_ml"
                else {"mean": 1200.0, "sd": 200.0},
                fitted_on={"model_sha256": model.file.networks_sha256},
            )
        )
    out = tmp_path_factory.mktemp("steerable") / "steerable.safetensors"
    add_directions(resolve_model("demo"), directions, replace=True, out=out)
    return out
