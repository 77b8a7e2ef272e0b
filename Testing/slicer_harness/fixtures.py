"""What the tests of scene logic and pictures share: a scene, a phantom in it, results of the real engine.

``from slicer_harness.fixtures import *`` in a conftest.py makes them fixtures of its folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import HAGANCore
from HAGANCore.phantoms import make_phantom
from HAGANCore.worker.wire import array_to_wire, wire_of

from .scene import Environment, boot

__all__ = ["a_generated_part", "a_phantom", "a_scene", "an_encode_result", "an_environment", "the_demo_model"]


@pytest.fixture
def an_environment() -> Iterator[Environment]:
    """Return the booted application with an empty scene; afterwards nothing may have been logged as error."""
    environment = boot()
    environment.clear()
    yield environment
    errors = environment.logged_errors()
    environment.clear()
    assert errors == 0, f"VTK or MRML logged {errors} errors, see above"


@pytest.fixture
def a_scene(an_environment: Environment) -> Any:
    """Return an empty scene of a booted application."""
    return an_environment.scene


@pytest.fixture(scope="session")
def a_phantom() -> Any:
    """Return a small phantom thorax and its segmentation."""
    volume = make_phantom(seed=1, size=64).volume
    return volume, HAGANCore.segment(volume)


@pytest.fixture(scope="session")
def the_demo_model() -> HAGANCore.Model:
    """Return the demonstration model."""
    return HAGANCore.load_model("demo", device="cpu")


@pytest.fixture
def a_generated_part(tmp_path: Path, the_demo_model: HAGANCore.Model) -> Callable[[int], dict[str, Any]]:
    """Return a function that gives the message of one generated volume, as the worker sends it."""

    def make(seed: int) -> dict[str, Any]:
        volume, found = _generated(the_demo_model, seed)
        return {
            "index": 0,
            "seed": seed,
            "volume": wire_of(tmp_path, volume),
            "latent": _document(the_demo_model.latent(seed=seed), tmp_path),
            "labels": _labels(found, tmp_path),
            "notes": [],
        }

    return make


@pytest.fixture
def an_encode_result(
    tmp_path: Path, the_demo_model: HAGANCore.Model
) -> Callable[[HAGANCore.Volume], dict[str, Any]]:
    """Return a function that encodes a volume and gives the message of it, as the worker sends it."""

    def make(scan: HAGANCore.Volume) -> dict[str, Any]:
        encoding = the_demo_model.encode(scan)
        return {
            "reconstruction": wire_of(tmp_path, encoding.reconstruction),
            "latent": _document(encoding.latent, tmp_path),
            "errors": encoding.errors.to_dict(),
            "labels": _labels(HAGANCore.segment(encoding.reconstruction), tmp_path),
            "scan_labels": _labels(HAGANCore.segment(scan), tmp_path),
            "warnings": list(encoding.warnings),
        }

    return make


def _document(latent: HAGANCore.Latent, folder: Path) -> dict[str, Any]:
    return json.loads(latent.save(folder / "z.latent.json").read_text(encoding="utf-8"))


@cache
def _generated(model: HAGANCore.Model, seed: int) -> tuple[HAGANCore.Volume, HAGANCore.Segmentation]:
    volume = model.generate(seed=seed)
    return volume, HAGANCore.segment(volume)


def _labels(found: HAGANCore.Segmentation, folder: Path) -> dict[str, Any]:
    wire = array_to_wire(folder, found.labels, found.geometry.to_dict())
    return {**wire, "measurements": found.measurements()}
