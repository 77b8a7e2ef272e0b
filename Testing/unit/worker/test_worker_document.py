"""Every example in the protocol's document, sent to a real worker: the replies are as the document says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import HAGANCore
from HAGANCore.imaging.io import read_volume
from HAGANCore.inference.model import load_model
from HAGANCore.resources import resource_path
from HAGANCore.training.process import training_state
from HAGANCore.worker import protocol, wire
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.meshes import open_surfaces
from HAGANCore.worker.requests import REQUESTS

DOCUMENT = Path(wire.__file__).with_name("README.md").read_text(encoding="utf-8")
MEASUREMENTS = {
    "lungs_ml",
    "left_lung_ml",
    "right_lung_ml",
    "bones_ml",
    "thorax_ml",
    "lungs_percent",
    "bones_percent",
}


def examples() -> list[list[dict[str, Any]]]:
    """Return the examples: a request and its replies each."""
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    return [[json.loads(line) for line in block.splitlines()] for block in blocks]


@pytest.fixture(scope="module")
def a_session(a_worker: WorkerClient, a_steered_model: Path) -> Iterator[Path]:
    """The folder that the document calls ``/session``, with what its examples use."""
    folder = a_worker.session
    shutil.copy(resource_path("SampleData/thorax_phantom.nii.gz"), folder / "scan.nii.gz")
    shutil.copy(a_steered_model, folder / "model.safetensors")
    np.save(folder / "scan.npy", HAGANCore.load_model("demo").generate(seed=1).array)
    np.save(folder / "spare.npy", np.zeros((8, 8, 8), np.int16))
    yield folder
    if training_state(folder / "run").state == "running":
        a_worker.call("train_stop", folder=str(folder / "run"), now=True)


def filled_in(request: dict[str, Any], session: Path) -> dict[str, Any]:
    """Return the arguments of an example as they are sent."""
    arguments = {key: value for key, value in request.items() if key not in ("id", "request")}
    if arguments.get("latent") == "LATENT OF SCAN":
        encoding = load_model(arguments["model"], "cpu").encode(read_volume(session / "scan.nii.gz"))
        arguments["latent"] = encoding.latent.to_document()
    elif arguments.get("latent") == "LATENT":
        arguments["latent"] = load_model(arguments["model"], "cpu").latent(seed=1).to_document()
    text = json.dumps(arguments).replace("/session", session.as_posix())
    return json.loads(text)


def check_surfaces(labels: dict[str, Any]) -> None:
    """Compare the volume inside each surface with that of its voxels."""
    array = protocol.open_array(labels)
    voxel = np.prod(labels["geometry"]["spacing"])
    for label, vertices, triangles in open_surfaces(labels["surfaces"]):
        assert np.linalg.norm(vertices[:, 3:], axis=1) == pytest.approx(1, abs=1e-5)
        a, b, c = (vertices[triangles[:, corner], :3].astype(float) for corner in range(3))
        inside = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6  # divergence theorem
        assert inside == pytest.approx((array == label).sum() * voxel, rel=0.05)


def check_like(found: Any, shown: Any, session: Path) -> None:
    """Compare what came with what the document shows: names, kinds, and whatever is not ``…``."""
    if shown in ("VOLUME", "VOLUME ON SCAN"):
        assert set(found) == {"array", "geometry", "modality", "unit", "synthetic", "provenance"}
        assert protocol.open_array(found).ndim == 3
        assert found["synthetic"]
        if shown == "VOLUME ON SCAN":
            scan = read_volume(session / "scan.nii.gz")
            assert protocol.open_array(found).shape == scan.array.shape
            assert np.allclose(found["geometry"]["origin"], scan.geometry.origin)
            assert np.allclose(found["geometry"]["spacing"], scan.geometry.spacing)
    elif shown in ("LABELS", "LABELS WITH SURFACES"):
        more = {"surfaces"} if shown.endswith("SURFACES") else set()
        marks = {"complete", "remarks", "doubts"}
        assert set(found) == {"array", "geometry", "measurements"} | marks | more
        assert set(found["measurements"]) == MEASUREMENTS
        assert set(np.unique(protocol.open_array(found))) <= {0, 1, 2, 3}
        if more:
            check_surfaces(found)
    elif shown == "DIFFERENCE":
        assert set(found) == {"array", "geometry", "spread"}
        difference = np.abs(protocol.open_array(found).astype(float))
        assert found["spread"] == pytest.approx(np.percentile(difference, 99), abs=difference.max() / 2000)
    elif shown == "LATENT":
        assert found["format"] == "hagan-latent"
    elif isinstance(shown, dict) and shown:
        assert set(found) == set(shown)
        for key in shown:
            check_like(found[key], shown[key], session)
    elif isinstance(shown, list) and shown:
        for item, like in zip(found, shown, strict=False):
            check_like(item, like, session)
    elif isinstance(shown, str) and "…" not in shown:
        assert found == shown.replace("/session", session.as_posix())
    elif isinstance(shown, str):
        assert found.startswith(shown.partition("…")[0])
    elif isinstance(shown, bool):
        assert isinstance(found, bool)
    elif isinstance(shown, int | float):
        assert isinstance(found, int | float)
        assert not isinstance(found, bool)
    elif shown is None:
        assert found is None


def test_every_request_reply_and_kind_of_error_is_in_the_document():
    shown = {example[0]["request"] for example in examples()}
    assert shown == set(REQUESTS)
    replies = {reply["reply"] for example in examples() for reply in example[1:]}
    assert replies == {"progress", "part", "result", "error"}
    for kind in protocol.KINDS:
        assert f"| `{kind}` |" in DOCUMENT
    assert f"(version {protocol.PROTOCOL})" in DOCUMENT


@pytest.mark.parametrize("example", examples(), ids=lambda example: example[0]["request"])
def test_the_example_is_true(a_worker: WorkerClient, a_session: Path, example: list[dict[str, Any]]):
    request, *shown = example
    progress, parts = [], []
    id = a_worker.start(
        request["request"],
        lambda *values: progress.append(values),
        parts.append,
        **filled_in(request, a_session),
    )
    assert a_worker.wait(id, 300.0)
    expected = {reply["reply"]: reply for reply in shown}
    if "error" in expected:
        with pytest.raises(protocol.RequestError) as caught:
            a_worker.result(id)
        assert caught.value.kind == expected["error"]["kind"]
        check_like(str(caught.value), expected["error"]["message"], a_session)
        return
    check_like(a_worker.result(id), expected["result"]["result"], a_session)
    assert bool(parts) == ("part" in expected)
    for part in parts:
        check_like(part, expected["part"]["part"], a_session)
    if "progress" in expected:
        assert progress
    assert a_worker.noise == []
