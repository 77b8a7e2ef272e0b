"""A model of another GAN than HA-GAN in the Generate and Encode panels, with the real worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import slicer
import torch

from HAGANCore.gans import gan_of
from HAGANCore.models.modelfile import ModelDescription, write_model
from HAGANCore.preparation.profiles import PROFILES


@pytest.fixture
def a_wgan(tmp_path: Path) -> Path:
    """A model file of WGAN-GP with random weights, at 32³."""
    gan = gan_of("wgan-gp")
    torch.manual_seed(0)
    architecture = gan.architecture_of(gan.Options(latent=8, width=8), 32, 0)
    generator = gan.parts["generator"](architecture)
    with torch.no_grad():  # so that volumes vary, which constant ones are refused for
        generator.output.weight.mul_(20)
    description = ModelDescription(
        name="peer",
        title="WGAN-GP, random weights",
        kind=gan.kind,
        architecture=architecture,
        profile=PROFILES["thorax-ct-fov"],
    )
    return write_model(tmp_path / "peer.safetensors", description, generator=generator)


def test_a_wgan_generates_in_the_panel_and_cannot_encode(
    a_window: Any, process_events_until: Any, a_wgan: Path
) -> None:
    panel = a_window.panels["generate"]
    a_window.models_changed(select=str(a_wgan))
    process_events_until(lambda: (a_window.context.model or {}).get("name") == "peer", 60)
    panel.ui.seedSpinBox.setValue(3)
    panel.ui.generateButton.click()
    process_events_until(lambda: not panel.job.running, 120)
    volumes = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if node.GetAttribute("HAGAN.role")
    ]
    assert [node.GetName() for node in volumes] == ["peer seed 3 (synthetic)"]
    array = slicer.util.arrayFromVolume(volumes[0])
    assert array.shape == (32, 32, 32)
    assert array.std() > 1
    assert not a_window.panels["encode"].ui.encodeButton.enabled
