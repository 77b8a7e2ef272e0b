"""``hagan directions`` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from HAGANCore.cli import main
from HAGANCore.resources import resource_path

FIT = ["directions", "fit", "--samples", "30", "--probes", "6", "--jobs", "1"]


@pytest.fixture(scope="module")
def a_steered_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration model with one quickly fitted direction, and the report beside it."""
    folder = tmp_path_factory.mktemp("steered")
    path = folder / "steered.safetensors"
    arguments = ["--model", "demo", "--target", "lungs_ml", "--name", "lungs", "--write", str(path)]
    assert main([*FIT, *arguments, "--report", str(folder / "report")]) == 0
    return path


def document_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    capsys.readouterr()
    assert main(["directions", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["directions", *arguments]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


def test_a_fitted_direction_is_in_the_file_and_in_the_report(
    a_steered_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = document_of(capsys, "list", "--model", str(a_steered_model))["directions"]
    (found,) = (direction for direction in listed if direction["name"] == "lungs")
    assert found["unit"] == "mL"
    assert found["samples"] == 30
    assert found["range"][0] < 0 < found["range"][1]
    report = {path.name for path in (a_steered_model.parent / "report").iterdir()}
    assert report >= {"lungs.direction.json", "effects.csv", "effects.png", "measurements.jsonl"}


def test_a_direction_goes_from_file_to_file_under_new_names(
    a_steered_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = str(a_steered_model.parent / "report" / "lungs.direction.json")
    mine = str(tmp_path / "mine.safetensors")
    demo = str(resource_path("Models/demo.safetensors"))
    assert "lungs" in document_of(capsys, "add", given, "--model", demo, "--write", mine)["directions"]
    document_of(capsys, "rename", "--model", mine, "lungs", "breath")
    assert "already" in error_of(capsys, "rename", "--model", mine, "breath", "breath")
    document_of(capsys, "add", str(a_steered_model), "--model", mine, "--replace")
    left = document_of(capsys, "remove", "--model", mine, "breath")["directions"]
    assert "lungs" in left
    assert "breath" not in left
    assert "has no direction 'breath'" in error_of(capsys, "remove", "--model", mine, "breath")


def test_the_matrix_is_measured_and_drawn(
    a_steered_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(a_steered_model), "--seed", "1..3", "--jobs", "1", "--report", str(tmp_path)]
    effects = document_of(capsys, "matrix", *arguments)["effects"]
    assert effects["lungs"]["lungs_ml"] == pytest.approx(1.0)
    assert (tmp_path / "effects.png").stat().st_size > 10_000


def test_a_published_model_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--write FILE" in error_of(capsys, "fit", "--model", "demo")
    assert "--write FILE" in error_of(capsys, "remove", "--model", "demo", "lung volume")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--column", "age"], "give its folder with --cohort"),
        (["--cohort", "c", "--target", "lungs_ml"], "--column"),
        (["--count", "3"], "--method factorisation"),
        (["--method", "factorisation", "--hold", "bones_ml"], "knows no targets"),
        (["--name", "x"], "names one direction"),
        (["--target", "liver_ml"], "no target 'liver_ml'"),
        (["--samples", "3"], "3 samples are too few"),
    ],
)
def test_options_that_do_not_fit_together_are_said_before_the_work(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", "demo", "--write", str(tmp_path / "m.safetensors"), "--report", str(tmp_path)]
    common.append("--replace")  # those that the demonstration model is shipped with
    assert said in error_of(capsys, "fit", *common, *arguments)


def test_factors_need_no_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import HAGANCore.latent.build as build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PROBES", 3)
        found = document_of(
            capsys, "fit", "--model", "demo", "--method", "factorisation", "--count", "2", "--jobs", "1",
            "--write", str(tmp_path / "m.safetensors"), "--report", str(tmp_path),
        )  # fmt: skip
    assert [d["name"] for d in found["directions"]] == ["factor 1", "factor 2"]
    assert found["directions"][0]["effects"].keys() >= {"lungs_ml", "bones_ml"}
