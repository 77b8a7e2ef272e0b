"""The module for scripts: synchronous calls that return nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.resources import resource_path
from HAGANCore.volumes.io import read_volume


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


def test_errors_are_one_line_and_progress_can_cancel(a_logic: Any, a_scene: Any) -> None:
    with pytest.raises(HaganError, match="no model"):
        a_logic.generate(model="no-such-model")

    def stop(fraction: float, text: str, left: float | None) -> None:
        raise Cancelled("Enough.")

    with pytest.raises(Cancelled):
        a_logic.generate(count=1000, progress=stop)
    assert a_logic.generate(seed=1, segment=False)[0].volume is not None
