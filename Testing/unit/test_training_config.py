"""The training configuration: a wrong value is named, a file starts from its preset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from HAGANCore.errors import HaganError
from HAGANCore.training import PRESETS, TrainingConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("batch", 2.5),
        ("lr_generator", -1.0),
        ("lr_encoder", float("nan")),
        ("augment", ["rotate"]),
        ("augment", [["shift"]]),
        ("seed", 2**64),
        ("slab_draw", "random"),
        ("conditional", "yes"),
        ("no_such_field", 1),
    ],
)
def test_a_wrong_field_is_named_with_its_value(field: str, value: object):
    with pytest.raises(HaganError, match=field):
        TrainingConfig().changed({field: value})


def test_a_configuration_file_starts_from_its_preset(tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"preset": "reference", "latent": 64}))
    assert TrainingConfig.read(path) == PRESETS["reference"].changed({"latent": 64})
    path.write_text("{")
    with pytest.raises(HaganError, match="not valid JSON"):
        TrainingConfig.read(path)
