"""The script in the documentation, as it is printed there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import slicer

from HAGANCore.imaging.io import read_volume
from HAGANCore.resources import resource_path

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/script-slicer.md"


def test_the_printed_script_runs(a_module: Any, a_scene: Any) -> None:
    from HAGANSlicerLib.scene import volumes

    phantom = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    volumes.add_volume(a_scene, phantom.array, phantom.geometry.to_dict(), "CTChest")
    printed = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert printed is not None
    first, _, script = printed[1].partition("\n")
    assert first == 'logic = slicer.util.getModuleLogic("HAGANSlicer")'  # needs the application's modules
    names: dict[str, Any] = {"slicer": slicer, "logic": a_module.python.HAGANSlicerLogic()}
    exec(compile(script, str(PAGE), "exec"), names)
    assert names["again"].identical
    assert names["encoded"].volume.GetImageData().GetDimensions() == phantom.array.shape[::-1]
    assert "lung volume +500" in names["larger"].volume.GetName()
