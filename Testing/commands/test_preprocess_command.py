"""``hagan preprocess``, as it is installed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cohorts.store import Cohort
from HAGANCore.imaging.io import write_volume
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.inference.model import load_model
from HAGANCore.preparation.preprocess import Preparation

HAGAN = [str(Path(sys.executable).with_name("hagan"))]


def hagan(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*HAGAN, "preprocess", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300, check=False)


def a_chest(scale: float = 1.0) -> Volume:
    """A trunk with two lungs, 6 mm voxels; ``scale`` makes the lungs larger."""
    shape = (50, 50, 60)
    k, j, i = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 6.0 for n in shape), indexing="ij")
    values = np.full(shape, -1000, np.int16)
    values[(i / 150) ** 2 + (j / 110) ** 2 < 1] = 40
    for side in (-1, 1):
        values[((i - side * 70) / 50) ** 2 + (j / 75) ** 2 + (k / (90 * scale)) ** 2 < 1] = -850
    return Volume(values, Geometry(shape=shape, spacing=(6.0, 6.0, 6.0)))


@pytest.fixture
def a_folder_of_scans(tmp_path: Path) -> Path:
    """Three good scans, one without lungs, one torn file, and things that are no scans."""
    folder = tmp_path / "scans"
    for name, scale in (("a/one.nii.gz", 0.8), ("b/two.nrrd", 0.9), ("b/three.mha", 1.0)):
        write_volume(a_chest(scale), folder / name)
    solid = a_chest()
    write_volume(
        solid.with_array(np.where(solid.array < -840, -1000, 40).astype(np.int16)), folder / "solid.nrrd"
    )
    whole = (folder / "a/one.nii.gz").read_bytes()
    (folder / "torn.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no scan")
    return folder


def test_a_folder_becomes_a_cohort_and_bad_scans_are_named(tmp_path: Path, a_folder_of_scans: Path) -> None:
    out = tmp_path / "cohort"
    done = hagan(
        a_folder_of_scans, "--out", out, "--profile", "thorax-ct-fov", "--size", 32, "--jobs", 2, "--json"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] == 3
    reasons = {Path(failure["file"]).name: failure["reason"] for failure in document["failed"]}
    assert set(reasons) == {"solid.nrrd", "torn.nii.gz"}
    assert "No lungs" in reasons["solid.nrrd"]
    assert "truncated" in reasons["torn.nii.gz"]
    cohort = Cohort.open(document["cohort"])
    assert [entry.id for entry in cohort.entries] == ["a_one", "b_three", "b_two"]
    assert {Path(file).name for file in cohort.failed} == set(reasons)
    record = Preparation.from_dict(cohort.entries[0].preparation)
    assert record.source.spacing == (6.0, 6.0, 6.0)
    assert (cohort.load(0) < -0.5).mean() > 0.1

    # The torn file is replaced and the command given again: only it is new.
    made = {path.name: path.stat().st_mtime_ns for path in (out / "volumes").iterdir()}
    shutil.copy(a_folder_of_scans / "a/one.nii.gz", a_folder_of_scans / "torn.nii.gz")
    again = hagan(a_folder_of_scans, "--out", out, "--size", 32, "--jobs", 1)
    assert again.returncode == 0, again.stderr
    assert "4 of 5 scans ready" in again.stdout
    assert "solid.nrrd: No lungs" in again.stderr
    assert len(Cohort.open(out)) == 4
    assert {name: (out / "volumes" / name).stat().st_mtime_ns for name in made} == made


def test_a_table_brings_ids_labels_and_covariates(tmp_path: Path, a_folder_of_scans: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text(
        "id,file,label,age,sex\n"
        "p 1,scans/a/one.nii.gz,severe,61.5,F\n"
        ",scans/b/two.nrrd,mild,,M\n"
        "p3,scans/b/three.mha,,70,\n"
        "p4,scans/gone.nrrd,mild,50,F\n"
    )
    out = tmp_path / "cohort"
    done = hagan(table, "--out", out, "--profile", "thorax-ct", "--size", 32, "--jobs", 1, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["ok"], len(document["failed"])) == (3, 1)
    assert "no file or folder" in document["failed"][0]["reason"]
    cohort = Cohort.open(out)
    assert cohort.classes == ("mild", "severe")
    by_id = {entry.id: entry for entry in cohort.entries}
    assert set(by_id) == {"p-1", "scans_b_two", "p3"}
    assert [by_id[id].label for id in ("p-1", "scans_b_two", "p3")] == [1, 0, -1]
    assert by_id["p-1"].covariates == {"age": 61.5, "sex": "F"}
    assert by_id["p3"].covariates == {"age": 70.0}


def test_labels_are_added_to_a_folder_and_can_be_corrected(tmp_path: Path, a_folder_of_scans: Path) -> None:
    out, table = tmp_path / "cohort", tmp_path / "labels.csv"
    table.write_text("file,label\na/one.nii.gz,2\nthree.mha,0\n")
    command = (a_folder_of_scans, "--out", out, "--size", 32, "--jobs", 1, "--labels", table)
    assert hagan(*command).returncode == 0
    cohort = Cohort.open(out)
    assert cohort.classes == ("0", "1", "2")
    assert dict(zip((e.id for e in cohort.entries), cohort.labels, strict=True)) == {
        "a_one": 2,
        "b_three": 0,
        "b_two": -1,
    }
    table.write_text("id,label\na_one,1\nb_two,2\n")
    assert hagan(*command).returncode == 0
    assert Cohort.open(out).labels.tolist() == [1, -1, 2]


def test_without_a_single_good_scan_the_exit_code_is_1(tmp_path: Path, a_folder_of_scans: Path) -> None:
    out = tmp_path / "cohort"
    done = hagan(
        a_folder_of_scans, "--out", out, "--profile", "brain-mr", "--size", 32, "--jobs", 1, "--json"
    )
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["ok"] == 0
    assert len(document["failed"]) == 5
    assert "None of 5 scans" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere"], "no folder or table"),
        (["scans/a/one.nii.gz"], "neither a folder nor a .csv"),
        (["empty"], "holds no scans"),
        (["wrong.csv"], "no column 'file'"),
        (["scans", "--labels", "other.csv"], "No row of"),
    ],
)
def test_wrong_input_is_one_line(
    tmp_path: Path, a_folder_of_scans: Path, arguments: list[str], word: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.csv").write_text("name\nx\n")
    (tmp_path / "other.csv").write_text("id,label\nx,1\n")
    first, *rest = arguments
    rest = [str(tmp_path / text) if text.endswith(".csv") else text for text in rest]
    done = hagan(tmp_path / first, "--out", tmp_path / "cohort", "--size", 32, *rest)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert word in done.stderr
    assert not (tmp_path / "cohort").exists()


def test_help_shows_an_example_and_a_wrong_size_is_wrong_usage(tmp_path: Path) -> None:
    assert "hagan preprocess scans/ --out cohort/" in hagan("--help").stdout
    done = hagan(tmp_path, "--out", tmp_path / "c", "--size", 100)
    assert done.returncode == 2


def test_an_interrupted_run_keeps_what_is_done_and_goes_on(tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "cohort"
    first = write_volume(a_chest(), scans / "00.nrrd")
    for number in range(1, 20):
        shutil.copy(first, scans / f"{number:02d}.nrrd")
    command = [*HAGAN, "preprocess", scans, "--out", out, "--size", "64", "--jobs", "1"]
    running = subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # What starts the tests in the background may have told its children to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    # Two: the signal may come between the newest volume and its entry.
    while len(list((out / "volumes").glob("[0-9]*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "Traceback" not in stderr
    assert "Stopped." in stderr
    kept = len(Cohort.open(out))
    assert 1 <= kept < 20
    assert not list(out.rglob(".tmp-*"))
    assert hagan(scans, "--out", out, "--size", 64, "--jobs", 1).returncode == 0
    assert len(Cohort.open(out)) == 20


def test_real_scans(tmp_path: Path, real_scans: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("thorax_cip_64_oblique.nrrd", "one_lung_elastix.mha", "abdomen_totalseg_3mm.nii.gz"):
        (scans / name).symlink_to(real_scans / name)
    shutil.copytree(real_scans / "dicom_lungdx_a0002", scans / "dicom")
    done = hagan(scans, "--out", tmp_path / "cohort", "--size", 64, "--jobs", 1, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] == 3
    assert [Path(failure["file"]).name for failure in document["failed"]] == ["abdomen_totalseg_3mm.nii.gz"]
    assert {entry.id for entry in Cohort.open(tmp_path / "cohort").entries} == {
        "dicom",
        "one_lung_elastix",
        "thorax_cip_64_oblique",
    }


def test_an_unknown_profile_is_wrong_usage(usage_error: Callable[..., str]) -> None:
    line = "preprocess nowhere --out none --profile thorax"
    assert "thorax-ct-fov" in usage_error(*line.split())


def test_generated_volumes_are_scans_only_where_they_are_allowed(tmp_path: Path) -> None:
    write_volume(load_model("demo", "cpu").generate(seed=1), tmp_path / "scans" / "made.nii.gz")
    write_volume(a_chest(), tmp_path / "scans" / "chest.nii.gz")
    order = [tmp_path / "scans", "--out", tmp_path / "cohort", "--size", 32, "--jobs", 1, "--json"]
    document = json.loads(hagan(*order).stdout)
    assert document["ok"] == 1
    assert "synthetic" in document["failed"][0]["reason"]
    assert json.loads(hagan(*order, "--allow-synthetic").stdout)["ok"] == 2
