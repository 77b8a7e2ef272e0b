"""What several tests of the engine's parts start from."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from model_server import CONTENT, Server

from HAGANCore import Model, load_model
from HAGANCore.directions.direction import Direction, directions_of
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.models import download
from HAGANCore.models.registry import RegistryEntry


@pytest.fixture(scope="module")
def a_volume() -> Volume:
    """Return noise in CT's range on a turned, anisotropic grid."""
    rng = np.random.default_rng(0)
    turned = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(
        shape=(18, 17, 19), spacing=(0.7, 0.8, 2.5), origin=(-10.5, 20.25, 300), direction=turned
    )
    return Volume(rng.integers(-1024, 2000, geometry.shape).astype(np.int16), geometry)


@pytest.fixture(scope="module")
def a_model(a_steerable_model_file: Path) -> Model:
    """Return the demonstration model with two directions of its own making."""
    return load_model(a_steerable_model_file, "cpu")


@pytest.fixture(scope="module")
def some_directions(a_model: Model) -> dict[str, Direction]:
    """Return the directions of that model, by name."""
    return directions_of(a_model)


@pytest.fixture(scope="module")
def a_lung_direction(some_directions: dict[str, Direction]) -> Direction:
    """Return the one that moves the lungs."""
    return some_directions["lung volume"]


@pytest.fixture
def a_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Run a server of a model file, asked directly and read in blocks of 100 kB."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "BLOCK_BYTES", 100_000)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def an_entry(a_server: Server) -> Callable[..., RegistryEntry]:
    """Make a registry entry for what the server should send."""

    def make(**changes: object) -> RegistryEntry:
        values: dict = {
            "name": "small",
            "title": "Small",
            "anatomy": "thorax",
            "size": 32,
            "url": a_server.url,
            "bytes": len(CONTENT),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "licence": "",
            "citation": "",
            "how_to_obtain": "Ask its authors.",
        }
        return RegistryEntry(**(values | changes))

    return make
