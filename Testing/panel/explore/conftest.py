"""The Explore panel with models that have directions, its start shown and measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import slicer
from explorer import SLOW
from HAGANSlicerLib.scene import latents
from plain_model import write_plain_model
from slicer_harness.steered_model import write_steered_model

from HAGANCore.inference.model import load_model


@pytest.fixture(scope="module")
def a_steered_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A model 'steered' in a model folder of its own; yields a latent of it."""
    folder = tmp_path_factory.mktemp("modèles")
    path = write_steered_model(folder / "steered.safetensors")
    write_steered_model(folder / "far.safetensors", 20_000)
    write_plain_model(folder / "plain.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAGAN_MODEL_DIR", str(folder))
        yield load_model(path, "cpu").latent(40, None, 1.0).to_document()


@pytest.fixture(scope="module")
def a_shared_widget(a_steered_model: dict[str, Any], a_module: Any) -> Any:
    """The module's widget, for all tests of this file: starting its worker takes seconds."""
    widget = a_module.show()
    widget.window.models_changed("steered")
    yield widget
    a_module.hide()


@pytest.fixture
def a_window(a_shared_widget: Any, process_events_until: Any) -> Any:
    slicer.mrmlScene.Clear(0)
    window = a_shared_widget.window
    window.header.models_changed("steered")
    process_events_until(lambda: (window.context.model or {}).get("directions"), SLOW)
    window.header.ui.panels.setCurrentWidget(window.panels["explore"].widget)
    return window


@pytest.fixture
def a_latent(a_window: Any, a_steered_model: dict[str, Any]) -> Any:
    """A latent in the scene."""
    return latents.add_latent(slicer.mrmlScene, a_steered_model, "steered seed 40 latent")


@pytest.fixture
def an_encoded_latent(a_window: Any, a_steered_model: dict[str, Any]) -> Any:
    """The latent of the phantom that comes along, encoded with the model 'steered'."""
    from HAGANCore.imaging.io import read_volume
    from HAGANCore.resources import resource_path

    scan = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    latent = load_model("steered", "cpu").encode(scan).latent
    return latents.add_latent(slicer.mrmlScene, latent.to_document(), "phantom latent")


@pytest.fixture
def a_panel(a_window: Any, a_latent: Any, process_events_until: Any) -> Any:
    """The panel with that latent chosen, and its start shown and measured."""
    panel = a_window.panels["explore"]
    panel.ui.exploreLatentSelector.setCurrentNode(a_latent)
    process_events_until(lambda: panel.rows[0].start is not None, SLOW)
    return panel


@pytest.fixture
def sent(a_window: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Every request that goes to the worker during a test."""
    worker, requests = a_window.worker, []
    original = worker.request

    def remember(name: str, **arguments: Any) -> int:
        requests.append((name, arguments))
        return original(name, **arguments)

    monkeypatch.setattr(worker, "request", remember)
    return requests
