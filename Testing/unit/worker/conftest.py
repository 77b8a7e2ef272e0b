"""A real worker process, and what it works on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cohorts.store import CohortWriter
from HAGANCore.directions.direction import Calibration, Direction
from HAGANCore.directions.store import add_directions
from HAGANCore.models.modelfile import read_model, resolve_model
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.worker.client import WorkerClient

SECONDS = 120.0
"""For what must happen at all; a machine may be busy."""


@pytest.fixture(scope="module")
def a_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name has what paths of real people have."""
    folder = tmp_path_factory.mktemp("worker") / "Größe 10 µm – проба"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def a_worker(a_folder: Path) -> Iterator[WorkerClient]:
    """A worker with a model folder of its own."""
    with WorkerClient(environment={"HAGAN_MODEL_DIR": str(a_folder / "my models")}) as worker:
        yield worker


@pytest.fixture(scope="module")
def a_steered_model(a_model_file: Callable[..., Path], a_folder: Path) -> Path:
    """A model file of random weights with the direction ``lung volume``."""
    return steered(a_model_file(), a_folder / "modèle.safetensors")


@pytest.fixture(scope="module")
def a_steered_demonstration(a_folder: Path) -> Path:
    """The demonstration model with one more direction: its volumes have lungs that can be measured."""
    return steered(resolve_model("demo"), a_folder / "démonstration.safetensors", "one of many")


def steered(path: Path, out: Path, name: str = "lung volume") -> Path:
    """Write a model file with a direction along one number of the latent, and return it."""
    file = read_model(path)
    vector = np.zeros(file.description.architecture.latent, np.float32)
    vector[3] = 1.0
    direction = Direction(
        name=name,
        unit="mL",
        vector=vector,
        target="lungs_ml",
        calibration=Calibration((-500.0, 0.0, 500.0), (-2.0, 0.0, 2.0)),
        range=(-500.0, 500.0),
        fitted_on={"model_sha256": file.networks_sha256},
    )
    add_directions(file.path, [direction], out=out)
    return out


@pytest.fixture(scope="module")
def a_cohort(a_folder: Path) -> Path:
    """A cohort of three grey cubes of 32³ voxels."""
    folder = a_folder / "cohort"
    with CohortWriter(folder, PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(3):
            writer.add(f"v{index}", np.full((32, 32, 32), index / 4 - 0.5))
    return folder


@pytest.fixture(scope="session")
def small_training() -> dict[str, object]:
    """The configuration of a training that goes on until it is stopped."""
    return {
        "latent": 8,
        "generator_width": 4,
        "discriminator_width": 64,
        "ground_encoder_width": 16,
        "batch": 1,
        "precision": "float32",
        "log_every": 1,
    }


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Return a function that waits until something is so, and fails where it never is."""

    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < until, "it never happened"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def descendants() -> Callable[[int], set[int]]:
    """Return a function that returns the living processes below a process; needs ``/proc``."""

    def parents() -> dict[int, int]:
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                except OSError:
                    continue
                if fields[0] not in "ZX":
                    found[int(folder.name)] = int(fields[1])
        return found

    def below(pid: int) -> set[int]:
        tree, found = parents(), set[int]()
        while more := {child for child, parent in tree.items() if parent in {pid, *found}} - found:
            found |= more
        return found

    return below


@pytest.fixture(scope="session")
def lives() -> Callable[[int], bool]:
    """Return a function that says whether a process runs, zombies aside."""

    def alive(pid: int) -> bool:
        try:
            os.kill(pid, 0)
            status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] not in "ZX"

    return alive
