"""A label map of the user's in place of the rules: through the worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.resources import resource_path
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import RequestError, open_array, volume_to_wire

SCAN = "SampleData/thorax_phantom.nii.gz"


@pytest.fixture(scope="module")
def a_scan() -> Any:
    return read_volume(resource_path(SCAN))


def boxes(shape: tuple[int, ...], right: int, left: int, bones: int) -> np.ndarray:
    """Three boxes of 20 × 20 × 10, 20 × 20 × 20 and 10 × 10 × 10 voxels, away from the scan's border."""
    labels = np.zeros(shape, np.int16)
    z, y, x = (length // 2 for length in shape)
    labels[z - 10 : z + 10, y - 10 : y + 10, x - 22 : x - 12] = right
    labels[z - 10 : z + 10, y - 10 : y + 10, x + 2 : x + 22] = left
    labels[z - 5 : z + 5, y + 12 : y + 22, x - 5 : x + 5] = bones
    return labels


@pytest.fixture
def sent(a_worker: WorkerClient, a_scan: Any) -> Any:
    """Return a function that sends an array on the scan's grid."""
    return lambda array: volume_to_wire(a_worker.session, array, a_scan.geometry.to_dict())


@pytest.mark.parametrize(("meaning", "numbers"), [("hagan", (1, 2, 3)), ("totalsegmentator", (12, 10, 92))])
def test_the_organs_are_those_of_the_label_map(
    a_worker: WorkerClient, a_scan: Any, sent: Any, meaning: str, numbers: tuple[int, int, int]
):
    labels = sent(boxes(a_scan.array.shape, *numbers))
    found = a_worker.call("segment", volume=sent(a_scan.array), labels=labels, labels_are=meaning)
    assert np.array_equal(open_array(found["labels"]), boxes(a_scan.array.shape, 1, 2, 3))
    millilitres = np.prod(a_scan.geometry.spacing) / 1000.0
    measured = found["labels"]["measurements"]
    assert measured["right_lung_ml"] == pytest.approx(4000 * millilitres, abs=1e-3)
    assert measured["left_lung_ml"] == pytest.approx(8000 * millilitres, abs=1e-3)
    assert measured["bones_ml"] == pytest.approx(1000 * millilitres, abs=1e-3)
    assert found["notes"] == []


def test_a_scan_is_encoded_with_the_label_map_in_place_of_the_rules(
    a_worker: WorkerClient, a_scan: Any, sent: Any
):
    own = a_worker.call("segment", volume=sent(a_scan.array))["labels"]
    labels = np.array(open_array(own))
    labels[labels == 3] = 0
    order = {"model": "demo", "volume": sent(a_scan.array), "labels": sent(labels)}
    assert a_worker.call("check", **order)["problems"] == []
    encoded = a_worker.call("encode", **order, segment=True)
    assert encoded["scan_labels"]["measurements"]["bones_ml"] == 0
    assert encoded["scan_labels"]["measurements"]["lungs_ml"] == own["measurements"]["lungs_ml"]
    assert encoded["labels"]["measurements"]["bones_ml"] > 100  # of the reconstruction: by the rules
    assert any("those of the label map" in note for note in encoded["notes"])


def test_lungs_that_the_label_map_does_not_show_are_refused_before_encoding(
    a_worker: WorkerClient, a_scan: Any, sent: Any
):
    order = {"model": "demo", "volume": sent(a_scan.array)}
    assert a_worker.call("check", **order)["problems"] == []
    bones = sent(boxes(a_scan.array.shape, 0, 0, 3))
    assert a_worker.call("check", **order, labels=bones)["problems"]


def test_a_label_map_that_cannot_be_one_is_refused(a_worker: WorkerClient, a_scan: Any, sent: Any):
    numbers = boxes(a_scan.array.shape, 12, 10, 92)
    with pytest.raises(RequestError, match="10, 12, 92, which mean nothing here"):
        a_worker.call("segment", volume=sent(a_scan.array), labels=sent(numbers))
    with pytest.raises(RequestError, match="must be one of hagan, totalsegmentator"):
        a_worker.call("segment", volume=sent(a_scan.array), labels=sent(numbers), labels_are="mine")


def test_a_label_map_may_be_a_file(a_worker: WorkerClient, a_scan: Any, sent: Any, tmp_path: Path):
    file = tmp_path / "mine.nii.gz"
    write_volume(a_scan.with_array(boxes(a_scan.array.shape, 1, 2, 3)), file)
    found = a_worker.call("segment", volume=sent(a_scan.array), labels={"file": str(file)})
    assert set(np.unique(open_array(found["labels"]))) == {0, 1, 2, 3}
