"""The module for scripts: synchronous calls that return nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from plain_model import write_plain_model

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.imaging.io import read_volume, write_volume
from HAGANCore.resources import resource_path


@pytest.fixture(scope="module")
def a_logic(a_module: Any) -> Any:
    logic = a_module.python.HAGANSlicerLogic()
    yield logic
    logic.close()


@pytest.fixture
def a_scan(a_scene: Any) -> Any:
    from HAGANSlicerLib.scene import volumes

    phantom = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    return volumes.add_volume(a_scene, phantom.array, phantom.geometry.to_dict(), "phantom")


def test_generate_returns_the_nodes_of_each_volume(a_logic: Any, a_scene: Any) -> None:
    seen: list[float] = []
    made = a_logic.generate(seed=3, count=2, progress=lambda fraction, text, left: seen.append(fraction))
    assert [nodes.volume.GetName() for nodes in made] == [
        "demo seed 3 (synthetic)",
        "demo seed 4 (synthetic)",
    ]
    assert made[0].table is made[1].table
    assert made[0].segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert seen
    again = a_logic.generate(seed=3, segment=False, show=False)[0]
    first, second = (slicer.util.arrayFromVolume(nodes.volume) for nodes in (made[0], again))
    assert np.array_equal(first, second)
    assert again.segmentation is None


def test_encode_then_step_then_segment(a_logic: Any, a_scan: Any) -> None:
    encoded = a_logic.encode(a_scan, segment=False)
    assert encoded.volume.GetImageData().GetDimensions() == a_scan.GetImageData().GetDimensions()
    assert encoded.errors.GetNumberOfRows() > 0
    stepped = a_logic.step(encoded.latent, {})  # no step: the same thorax in the model's own frame
    assert stepped.volume.GetName().startswith("phantom")
    assert stepped.table.GetNumberOfRows() == 1
    with pytest.raises(HaganError, match="no direction 'beauty'"):
        a_logic.step(encoded.latent, {"beauty": 1.0})
    outlined = a_logic.segment(a_scan)
    assert outlined.volume is a_scan
    assert not outlined.segmentation.GetName().endswith("(synthetic)")  # measured on a scan


def test_a_step_along_a_direction_is_met_unless_it_is_to_be_quick(a_logic: Any, a_scene: Any) -> None:
    start = a_logic.generate(seed=1)[0]
    before = lungs_ml(start.table)
    moved = a_logic.step(start.latent, {"lung volume": 300})
    assert moved.volume.GetName() == "demo seed 1 lung volume +300 (synthetic)"
    assert lungs_ml(moved.table) - before == pytest.approx(300, rel=0.021)
    assert moved.note == ""
    quick = a_logic.step(start.volume, {"lung volume": 300}, exact=False)
    assert lungs_ml(quick.table) - before == pytest.approx(300, abs=150)  # right on average
    with pytest.raises(HaganError, match="99,999 was asked for"):
        a_logic.step(start.latent, {"lung volume": 99999})


def test_the_user_s_outlines_are_taken_from_a_node_or_a_file(
    a_logic: Any, a_scan: Any, tmp_path: Path
) -> None:
    outlined = a_logic.segment(a_scan)
    assert lungs_ml(outlined.table) > 1000
    segmentation = outlined.segmentation.GetSegmentation()
    surface = "Closed surface"
    assert segmentation.GetNthSegment(0).GetRepresentation(surface).GetNumberOfPoints() > 1000
    segmentation.RemoveSegment("bones")
    encoded = a_logic.encode(a_scan, labels=outlined.segmentation, show=False)
    bones = encoded.table.GetTable().GetColumnByName("Bone (mL)")
    assert bones.GetValue(0) == 0
    assert bones.GetValue(1) > 100  # of the reconstruction
    phantom = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    total = np.zeros(phantom.array.shape, np.int16)
    total[20:40, 20:30, 20:30] = 13  # a lobe of the right lung
    write_volume(phantom.with_array(total), tmp_path / "total.nii.gz")
    file = a_logic.segment(a_scan, labels=tmp_path / "total.nii.gz", labels_are="totalsegmentator")
    voxel_ml = float(np.prod(a_scan.GetSpacing())) / 1000
    assert lungs_ml(file.table) == pytest.approx(2000 * voxel_ml, abs=0.06)
    with pytest.raises(HaganError, match="13, which mean nothing here"):
        a_logic.segment(a_scan, labels=tmp_path / "total.nii.gz")


def test_no_attribute_that_goes_into_a_file_has_the_scan_s_name(a_logic: Any, a_scan: Any) -> None:
    from HAGANSlicerLib.scene import provenance

    a_scan.SetName("Doe, Jane")
    encoded, outlined = a_logic.encode(a_scan), a_logic.segment(a_scan)
    for node in (*encoded.all(), *outlined.all()[1:]):
        assert "Jane" in node.GetName()  # in the scene, the scan keeps its name
        assert not any("Jane" in node.GetAttribute(name) for name in node.GetAttributeNames())
    hashes = [
        provenance.provenance_of(node)["scan_sha256"]
        for node in (encoded.volume, encoded.scan_segmentation, outlined.segmentation)
    ]
    assert len(set(hashes)) == 1
    assert "Jane" not in encoded.latent.GetText()


def lungs_ml(table: Any) -> float:
    return float(table.GetTable().GetColumnByName("Lungs (mL)").GetValue(0))


def test_any_synthetic_volume_can_be_made_again_voxel_by_voxel(a_logic: Any, a_scan: Any) -> None:
    from HAGANSlicerLib.scene import provenance

    generated = a_logic.generate(seed=3, truncation=0.7, segment=False)[0]
    moved = a_logic.step(generated.latent, {"body fat": 900}, segment=False)
    encoded = a_logic.encode(a_scan, segment=False)
    for first in (generated, moved, encoded):
        made = a_logic.make_again(first.volume)
        assert made.identical, made.text
        assert made.text == f"'{first.volume.GetName()}' was made again: every voxel is the same."
        values = [slicer.util.arrayFromVolume(node) for node in (first.volume, made.nodes.volume)]
        assert np.array_equal(*values)
        assert np.allclose(*[bounds(node) for node in (first.volume, made.nodes.volume)], atol=1e-3)
        again = made.nodes.volume.GetName()
        assert again == f"{provenance.plain_name(first.volume)} again (synthetic)"
    a_scan.GetScene().RemoveNode(generated.latent)
    facts = provenance.provenance_of(generated.volume)
    provenance.mark(generated.volume, {**facts, "device": "cuda:0"})
    slicer.util.arrayFromVolume(generated.volume)[0, 0, :2] += 7
    text = a_logic.make_again(generated.volume).text
    assert "2 of 262,144 voxels differ, by at most 7 HU. It was first made with device cuda:0; " in text
    assert text.endswith("this time with device cpu.")


def bounds(node: Any) -> list[float]:
    found = [0.0] * 6
    node.GetRASBounds(found)
    return found


def test_only_the_model_that_made_a_volume_makes_it_again(
    a_logic: Any, a_scan: Any, a_model_file: Any, tmp_path: Path
) -> None:
    made = a_logic.generate(seed=3, segment=False)[0].volume
    with pytest.raises(HaganError, match=r"made by the model 'demo' \(SHA-256 .*…\), not by this"):
        a_logic.make_again(made, model=str(a_model_file()))
    with pytest.raises(HaganError, match="'phantom' does not say how it was made"):
        a_logic.make_again(a_scan)
    plain = write_plain_model(tmp_path / "plain.safetensors")  # another file, but the same weights
    assert a_logic.make_again(made, model=str(plain)).identical


def test_errors_are_one_line_and_progress_can_cancel(a_logic: Any, a_scene: Any) -> None:
    with pytest.raises(HaganError, match="no model"):
        a_logic.generate(model="no-such-model")

    def stop(fraction: float, text: str, left: float | None) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        a_logic.generate(count=1000, progress=stop)
    assert a_logic.generate(seed=1, segment=False)[0].volume is not None
