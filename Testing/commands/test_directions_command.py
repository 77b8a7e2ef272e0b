"""``hagan directions`` as a person runs it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from HAGANCore.cli import main
from HAGANCore.cohorts.store import Cohort
from HAGANCore.phantoms.cohort import write_phantom_cohort
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


def list_of(capsys: pytest.CaptureFixture[str], model: Path) -> dict[str, dict]:
    """Return the documents of a model file's directions by name."""
    listed = document_of(capsys, "list", "--model", str(model))["directions"]
    return {direction["name"]: direction for direction in listed}


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(["directions", *arguments]) == 1
    said = capsys.readouterr().err.strip().splitlines()
    return said[-1]


def test_a_fitted_direction_is_in_the_file_and_in_the_report(
    a_steered_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list_of(capsys, a_steered_model)["lungs"]
    assert found["unit"] == "mL"
    assert found["samples"] == 30
    assert found["range"][0] < 0 < found["range"][1]
    report = {path.name for path in (a_steered_model.parent / "report").iterdir()}
    assert report >= {"lungs.direction.json", "effects.csv", "effects.png", "measurements.jsonl"}
    with (a_steered_model.parent / "report" / "directions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["direction"], row["samples"], row["auc"]) == ("lungs", "30", "")
    assert float(row["r2"]) == pytest.approx(found["r2"], abs=1e-4)
    assert float(row["seconds"]) > 0
    assert float(row["common_seconds"]) > 0


def test_a_plane_is_fitted_and_says_how_long_it_took(
    a_steered_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # On the volumes that were measured for the direction by regression.
    report = ["--report", str(a_steered_model.parent / "report"), "--target", "lungs_ml", "--method", "svm"]
    line = [*FIT, *report, "--model", "demo", "--name", "plane", "--write", str(tmp_path / "m.safetensors")]
    capsys.readouterr()
    assert main(line) == 0
    shown = capsys.readouterr().out.splitlines()
    about = next(text for text in shown if text.startswith("plane: "))
    assert "AUC" in about
    assert about.endswith(" s")
    assert "of them for what all share" in shown[-1]
    document = document_of(capsys, *line[1:], "--replace")  # goes on where that run ended
    (found,) = document["directions"]
    assert found["r2"] is None
    assert 0 <= found["auc"] <= 1  # of 16 volumes: says little
    assert (found["method"], found["calibrated"]) == ("svm", "measured")  # so it does move the lungs
    assert found["range"][0] < 0 < found["range"][1]
    kept = list_of(capsys, tmp_path / "m.safetensors")["plane"]
    assert kept == {key: value for key, value in found.items() if key != "seconds"}
    assert 0 < found["seconds"] < found["seconds"] + document["common_seconds"]
    assert found["seconds"] + document["common_seconds"] == pytest.approx(document["seconds"], abs=0.01)


def test_a_covariate_is_fitted_on_the_scans_of_a_cohort(
    a_model_file: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_phantom_cohort(tmp_path / "cohort", 30, 32)
    ids = [entry.id for entry in Cohort.open(tmp_path / "cohort").entries]
    table = tmp_path / "patients.csv"
    table.write_text("id,age\n" + "".join(f"{id},{40 + 7 * index % 31}\n" for index, id in enumerate(ids)))
    mine = str(tmp_path / "mine.safetensors")
    line = ["fit", "--model", str(a_model_file()), "--cohort", str(tmp_path / "cohort")]
    line += ["--report", str(tmp_path / "report"), "--write", mine]
    of_table = ["--covariates", str(table), "--column", "age", "--unit", "years"]
    (age,) = document_of(capsys, *line, *of_table)["directions"]
    assert (age["name"], age["target"], age["unit"], age["samples"]) == ("age", "covariate:age", "years", 30)
    assert age["calibrated"] == "predicted"
    assert age["range"][0] < 0 < age["range"][1]
    line[2] = mine
    own = ["--column", "lung_volume_ml", "--unit", "mL", "--name", "breath", "--method", "svm"]
    (breath,) = document_of(capsys, *line, *own)["directions"]
    assert 0 <= breath["auc"] <= 1
    assert breath["seconds"] > 0
    assert list_of(capsys, Path(mine)).keys() == {"age", "breath"}
    table.write_text("id,age\nnobody,40\n")
    assert "are not in the cohort" in error_of(capsys, *line, *of_table, "--replace")


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
        (["--method", "factorisation", "--hold", "bones_ml"], "does not use targets"),
        (["--method", "factorisation", "--count", "0"], "1 or more; found 0"),
        (["--name", "x"], "applies to a single direction"),
        (["--seed", "-4"], "found -4"),
        (["--cohort", "c", "--column", "age", "--hold", "liver_ml"], "no target 'liver_ml'"),
        (["--target", "liver_ml"], "no target 'liver_ml'"),
        (["--samples", "3"], "3 samples are too few"),
    ],
)
def test_options_that_do_not_fit_together_are_said_before_the_work(
    arguments: list[str], said: str, tmp_path: Path, usage_error: Callable[..., str]
) -> None:
    common = ["--model", "none", "--write", tmp_path / "m.safetensors", "--report", tmp_path / "report"]
    assert said in usage_error("directions", "fit", *common, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_factors_need_no_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import HAGANCore.directions.build as build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "PROBES", 3)
        found = document_of(
            capsys, "fit", "--model", "demo", "--method", "factorisation", "--count", "2", "--jobs", "1",
            "--write", str(tmp_path / "m.safetensors"), "--report", str(tmp_path),
        )  # fmt: skip
    assert [d["name"] for d in found["directions"]] == ["factor 1", "factor 2"]
    assert found["directions"][0]["effects"].keys() >= {"lungs_ml", "bones_ml"}
