"""``hagan explore`` as a user types it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from HAGANCore import load_model, read_volume, write_volume
from HAGANCore.anatomy import segment
from HAGANCore.cli import main
from HAGANCore.directions.direction import Calibration, Direction, directions_of, moved
from HAGANCore.directions.store import add_directions
from HAGANCore.models.modelfile import read_model
from HAGANCore.phantoms import make_phantom


def explore(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    capsys.readouterr()
    assert main(["explore", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main(["explore", *map(str, words)]) == 1
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def a_scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_volume(make_phantom(9_000_003).volume, tmp_path_factory.mktemp("scan") / "chest.nii.gz")


def test_a_seed_gives_a_series_with_its_table_and_pictures(
    a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--seed", 7, "--direction", "lung volume"),
        *("--values", "-400..400:3", "--out", tmp_path),
    )
    steps = document["steps"]
    assert [step["requested"] for step in steps] == [-400, 0, 400]
    assert steps[0]["measured"] < -50 < steps[1]["measured"] == 0 < 50 < steps[2]["measured"]
    volumes = [read_volume(step["path"]) for step in steps]
    assert all(
        volume.meta["synthetic"] and "synthetic" in Path(step["path"]).name
        for volume, step in zip(volumes, steps, strict=True)
    )
    assert np.array_equal(volumes[1].array, load_model(a_steerable_model_file, "cpu").generate(seed=7).array)
    assert volumes[2].meta["provenance"]["steps"][0]["direction"] == "lung volume"
    lungs = read_volume(steps[2]["labelmap"])
    assert np.isin(lungs.array, (1, 2)).sum() * lungs.geometry.voxel_ml == pytest.approx(steps[2]["lungs_ml"])
    with Path(document["files"]["table"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["measured"]) for row in rows] == [step["measured"] for step in steps]
    assert [float(row["measured_percent"]) for row in rows] == [step["measured_percent"] for step in steps]
    for name in ("figure", "curve", "animation"):
        with Image.open(document["files"][name]) as picture:
            assert min(picture.size) > 150
    assert getattr(Image.open(document["files"]["animation"]), "n_frames", 1) == 4


def test_percent_are_of_the_start_and_met(
    a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--seed", 8, "--direction", "lung volume"),
        *("--values", "6%", "--out", tmp_path),
    )
    assert document["exact"] is True
    (step,) = document["steps"]
    assert step["requested"] == pytest.approx(0.06 * document["start"]["value"], rel=1e-4)
    assert step["measured_percent"] == pytest.approx(6, rel=0.03)


def test_a_quick_step_is_the_calibrated_one(
    a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = load_model(a_steerable_model_file, "cpu")
    line = ("--model", a_steerable_model_file, "--seed", 8, "--direction", "lung volume")
    document = explore(capsys, *line, "--values", "300", "--quick", "--out", tmp_path)
    assert document["exact"] is False
    calibrated = moved(model.latent(8), model, [(directions_of(model)["lung volume"], 300.0)])
    made = read_volume(document["steps"][0]["path"])
    assert np.array_equal(made.array, model.decode(calibrated).array)


def test_a_value_of_the_target_itself_is_met(
    a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    line = ("--model", a_steerable_model_file, "--seed", 8, "--direction", "lung volume", "--out", tmp_path)
    document = explore(capsys, *line, "--values", "=4500")
    (step,) = document["steps"]
    assert step["requested_value"] == pytest.approx(4500)
    assert step["requested"] == pytest.approx(4500 - document["start"]["value"], abs=0.01)
    assert step["value"] == pytest.approx(4500, abs=max(20, 0.02 * abs(step["requested"])))
    assert step["value"] == pytest.approx(step["lungs_ml"], abs=0.01)
    with Path(document["files"]["table"]).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert [float(row[key]) for key in ("requested_value", "value")] == [
        step[key] for key in ("requested_value", "value")
    ]
    assert main(["explore", *map(str, line), "--values", f"={document['start']['value']}"]) == 0
    value = f"{document['start']['value']:,.1f}"
    table = capsys.readouterr().out.splitlines()
    assert next(words for words in map(str.split, table) if words[1:2] == [value])[2] == "0.0"
    assert any(words.startswith("values in mL; the start has") for words in table)


def test_a_scan_is_stepped_on_its_own_grid_and_changed_itself(
    a_steerable_model_file: Path, a_scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--scan", a_scan_file, "--direction", "lung volume"),
        *("--values", "0,300", "--onto-scan", "--out", tmp_path),
    )
    scan = read_volume(a_scan_file)
    start, step = document["steps"]
    changed, shown = read_volume(step["onto_scan"]["path"]), read_volume(step["path"])
    for volume in (changed, shown):
        assert np.allclose(volume.geometry.matrix, scan.geometry.matrix, atol=1e-3)
        assert volume.meta["synthetic"] is True
    assert np.array_equal(read_volume(start["onto_scan"]["path"]).array, scan.array)
    assert step["onto_scan"]["method"] == "warp"
    assert step["onto_scan"]["folded"] < 1e-4
    assert step["onto_scan"]["measured"] == pytest.approx(300, rel=0.25)  # voxels of 180 mL per 1000
    missed = abs(step["onto_scan"]["measured"] - 300) > 30
    assert missed == any("On the scan the change is" in text for text in document["warnings"])
    assert changed.meta["provenance"]["kind"] == "changed scan"
    # Its own detail, not the reconstruction's: nearer to the scan than the reconstruction is.
    errors = [np.abs(volume.array.astype(float) - scan.array).mean() for volume in (changed, shown)]
    assert errors[0] < 0.7 * errors[1]
    assert {"figure", "scan_figure", "scan_animation"} <= document["files"].keys()


def test_a_value_is_the_scans_own_where_it_is_carried_over(
    a_steerable_model_file: Path, a_scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    wanted = segment(read_volume(a_scan_file)).lungs_ml + 300
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--scan", a_scan_file, "--direction", "lung volume"),
        *("--values", f"={wanted}", "--onto-scan", "--out", tmp_path),
    )
    (step,) = document["steps"]
    assert step["requested"] == pytest.approx(300, abs=0.01)
    assert step["onto_scan"]["requested_value"] == pytest.approx(wanted, abs=0.01)
    assert step["onto_scan"]["value"] == pytest.approx(wanted, abs=75)  # of voxels of 180 mL per 1000
    with Path(document["files"]["table"]).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["scan_requested_value"]) == step["onto_scan"]["requested_value"]


def test_percent_are_the_scans_own_where_they_are_carried_over(
    a_steerable_model_file: Path, a_scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--scan", a_scan_file, "--direction", "lung volume"),
        *("--values", "5%", "--onto-scan", "--out", tmp_path),
    )
    own = segment(read_volume(a_scan_file)).lungs_ml
    assert own != pytest.approx(document["start"]["value"], rel=0.005)
    (step,) = document["steps"]
    assert step["onto_scan"]["requested"] == pytest.approx(0.05 * own, abs=0.001)


def test_a_latent_file_and_a_difference(
    a_steerable_model_file: Path, a_scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    latent = load_model(a_steerable_model_file, "cpu").latent(3).save(tmp_path / "mine.latent.json")
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--latent", latent, "--direction", "lung volume"),
        *("--values", "200", "--out", tmp_path),
    )
    assert Path(document["steps"][0]["path"]).name.startswith("synthetic_mine_01_lung-volume_+200mL")
    document = explore(
        capsys,
        *("--model", a_steerable_model_file, "--scan", a_scan_file, "--direction", "lung volume"),
        *("--values", "200", "--onto-scan", "difference", "--out", tmp_path),
    )
    assert document["steps"][0]["onto_scan"]["method"] == "difference"


def test_what_cannot_be_is_refused_in_one_line(
    a_steerable_model_file: Path,
    a_model_file: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    out = ("--out", tmp_path / "out")
    model = ("--model", a_steerable_model_file, "--seed", 7)
    lungs = ("--direction", "lung volume")
    assert "it has 'lung volume'" in refused(capsys, *model, "--direction", "nose", "--values", 1, *out)
    assert "was asked for" in refused(capsys, *model, *lungs, "--values", "0..99999:2", *out)
    assert "There is no lung volume of −100 mL" in refused(capsys, *model, *lungs, "--values", "=-100", *out)
    bare = ("--model", a_model_file(), "--seed", 7)
    assert "hagan directions fit" in refused(capsys, *bare, *lungs, "--values", 1, *out)
    missing = ("--model", a_steerable_model_file, "--scan", tmp_path / "missing.nii.gz")
    assert "There is no file" in refused(capsys, *missing, *lungs, "--values", 1, *out)
    assert not (tmp_path / "out").exists()


def test_a_model_without_an_encoder_cannot_start_from_a_scan(
    a_model_file: Callable[..., Path], a_scan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    no_encoder = read_model(a_model_file(encoders=False))
    direction = Direction(
        name="lung volume",
        vector=np.eye(16)[0],
        calibration=Calibration((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0)),
        range=(-1.0, 1.0),
        fitted_on={"model_sha256": no_encoder.networks_sha256},
    )
    model = add_directions(no_encoder.path, [direction], out=tmp_path / "steered.safetensors").path
    line = ("--model", model, "--direction", "lung volume", "--values", 1, "--out", tmp_path / "out")
    assert "has no encoder" in refused(capsys, *line, "--scan", a_scan_file)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_measured_has_no_value_to_ask_for(
    a_steerable_model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    direction = directions_of(load_model(a_steerable_model_file, "cpu"))["lung volume"]
    age = replace(direction, name="age", unit="years", target="covariate:age", calibrated="predicted")
    model = tmp_path / "aged.safetensors"
    add_directions(a_steerable_model_file, [age], out=model)
    line = ("--model", model, "--seed", 7, "--direction", "age", "--out", tmp_path / "out")
    assert "give changes, without '='" in refused(capsys, *line, "--values", "=70")
    assert "Percentages need a measured volume" in refused(capsys, *line, "--values", "5%")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--seed 7 --onto-scan", "--onto-scan needs a scan"),
        ("--seed 7 --refine 3", "--refine needs a scan"),
        ("--scan none.nii.gz --refine -3", "0 or more; found -3"),
        ("--seed 7 --hold lungs", "at once"),
        ("--seed -7", "found -7"),
        ("--seed 7 --quick --hold bones", "leave out --quick"),
        ("--seed 7 --quick --values =4500", "leave out --quick"),
    ],
)
def test_options_that_do_not_fit_together_are_wrong_usage(
    options: str, said: str, usage_error: Callable[..., str]
):
    line = "explore --model none --direction lungs --values 1 --out none"
    assert said in usage_error(*line.split(), *options.split())


@pytest.mark.parametrize(
    "values", ["much", "1..2", "1..2:1", "1,2%", "1..2%:3", "nan", "1..2:999", "=", "=5%", "500,=4500"]
)
def test_values_that_say_nothing_are_wrong_usage(values: str, usage_error: Callable[..., str]):
    line = "explore --model demo --seed 1 --direction d --out x"
    assert values.split(",")[0].split("..")[0] in usage_error(*line.split(), f"--values={values}")
