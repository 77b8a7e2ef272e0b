"""Export by a worker: only what this project made is replaced, only what was handed over is removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.imaging.volume import Volume
from HAGANCore.inference.model import load_model
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError
from HAGANCore.worker.wire import array_to_wire, wire_of


@pytest.fixture(scope="module")
def a_generated_volume() -> Volume:
    return load_model("demo", "cpu").generate(1)


def entry(worker: WorkerClient, volume: Volume, path: Path) -> dict[str, Any]:
    return {"volume": wire_of(worker.session, volume), "file": str(path)}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_a_foreign_file_stays_and_nothing_else_is_written(
    a_worker: WorkerClient, a_generated_volume: Volume, tmp_path: Path, suffix: str
):
    bare = Volume(a_generated_volume.array, a_generated_volume.geometry, {"unit": "HU", "modality": "CT"})
    theirs = write_volume(bare, tmp_path / f"step_02{suffix}")
    before = theirs.read_bytes()
    names = (f"step_01{suffix}", theirs.name)
    wanted = [entry(a_worker, a_generated_volume, tmp_path / name) for name in names]
    with pytest.raises(RequestError, match=rf"'.*step_02{suffix}' already exists .* choose another file"):
        a_worker.call("export", volumes=wanted)
    assert theirs.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [theirs.name]
    assert not any(Path(item["volume"]["array"]).exists() for item in wanted)  # handed over, so removed


def test_what_was_exported_is_replaced_by_the_next_export(
    a_worker: WorkerClient, a_generated_volume: Volume, tmp_path: Path
):
    moved = {**a_generated_volume.meta["provenance"], "kind": "moved"}
    later = Volume(
        a_generated_volume.array + np.int16(7),
        a_generated_volume.geometry,
        {**a_generated_volume.meta, "provenance": moved},
    )
    path = tmp_path / "series_0.nii.gz"
    for volume in (a_generated_volume, later, later):
        assert a_worker.call("export", volumes=[entry(a_worker, volume, path)])["files"] == [str(path)]
    assert np.array_equal(read_volume(path).array, later.array)
    # A label map is not a volume that a label map of another kind may be replaced by.
    labels = a_generated_volume.with_array((a_generated_volume.array > 0).astype(np.uint8))
    wire = {**array_to_wire(a_worker.session, labels.array, labels.geometry.to_dict()), "unit": "label"}
    with pytest.raises(RequestError, match="already exists"):
        a_worker.call("export", volumes=[{"volume": wire, "file": str(path)}])


def test_two_volumes_of_one_file_are_refused(
    a_worker: WorkerClient, a_generated_volume: Volume, tmp_path: Path
):
    wanted = [entry(a_worker, a_generated_volume, tmp_path / "one.nii.gz") for _ in range(2)]
    with pytest.raises(RequestError, match=r"Two volumes are to be written to '.*one\.nii\.gz'"):
        a_worker.call("export", volumes=wanted)
    assert list(tmp_path.iterdir()) == []


def test_an_array_outside_the_session_is_read_and_stays(
    a_worker: WorkerClient, a_generated_volume: Volume, tmp_path: Path
):
    handed = entry(a_worker, a_generated_volume, tmp_path / "out.nii.gz")
    theirs = shutil.move(handed["volume"]["array"], tmp_path / "results.npy")
    handed["volume"]["array"] = str(theirs)
    a_worker.call("export", volumes=[handed])
    assert np.array_equal(read_volume(tmp_path / "out.nii.gz").array, np.load(theirs))
