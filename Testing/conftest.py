"""What all tests share: where the real scans are, and small models with random weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

from HAGANCore.models.modelfile import ModelDescription, write_model
from HAGANCore.networks import Architecture, Encoder, Generator, GroundEncoder, Normalisation
from HAGANCore.volumes.profiles import profile_named


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
