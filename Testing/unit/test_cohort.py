"""Cohorts: what is written is read again, and nothing is lost when a run is killed."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cohorts.store import Cohort, CohortWriter, write_array
from HAGANCore.errors import HaganError
from HAGANCore.preparation.profiles import PROFILES

PROFILE = PROFILES["thorax-ct-fov"]


def a_cube(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (size,) * 3).astype(np.float32)


@pytest.fixture
def a_cohort(tmp_path: Path) -> Path:
    with CohortWriter(tmp_path / "cohort", PROFILE, 8, ("mild", "severe")) as writer:
        for seed, label in enumerate((1, -1, 0)):
            covariates = {"ml": 100.0 * seed, "sex": "F"} if label >= 0 else {"ml": float("nan")}
            writer.add(
                f"scan{seed}", a_cube(seed), label=label, covariates=covariates, source=f"in/{seed}.nii"
            )
    return tmp_path / "cohort"


def test_a_cohort_gives_back_what_it_was_given(a_cohort: Path) -> None:
    cohort = Cohort.open(a_cohort)
    assert (len(cohort), cohort.size, cohort.profile, cohort.classes) == (3, 8, PROFILE, ("mild", "severe"))
    assert cohort.labels.tolist() == [1, -1, 0]
    for seed in range(3):
        loaded = cohort.load(seed)
        assert loaded.dtype == np.float32
        assert np.abs(loaded - a_cube(seed)).max() <= 0.5 / 32767 + 1e-7
    np.testing.assert_array_equal(cohort.covariates("ml"), [0, np.nan, 200])
    entry = cohort.entries[0]
    assert entry.source == "in/0.nii"
    assert entry.sha256 == hashlib.sha256((a_cohort / entry.file).read_bytes()).hexdigest()
    assert not (a_cohort / "entries.jsonl").exists()


def test_covariates_that_are_unknown_or_texts_are_said_so(a_cohort: Path) -> None:
    cohort = Cohort.open(a_cohort)
    with pytest.raises(HaganError, match=r"'age'.*ml, sex"):
        cohort.covariates("age")
    with pytest.raises(HaganError, match="'sex' is a text"):
        cohort.covariates("sex")


def test_the_order_does_not_depend_on_which_scan_was_ready_first(tmp_path: Path) -> None:
    for name, order in (("one", "abc"), ("other", "cab")):
        with CohortWriter(tmp_path / name, PROFILE, 8) as writer:
            for id in order:
                writer.add(id, a_cube(ord(id)))
    texts = [(tmp_path / name / "manifest.json").read_text() for name in ("one", "other")]
    assert texts[0] == texts[1]


def test_a_begun_cohort_is_taken_up(a_cohort: Path) -> None:
    with CohortWriter(a_cohort, PROFILE, 8, ("mild", "severe")) as writer:
        assert writer.done_ids == {"scan0", "scan1", "scan2"}
        writer.add("scan3", a_cube(3))
        writer.update("scan1", 0, {"ml": 7.0})
    cohort = Cohort.open(a_cohort)
    assert cohort.labels.tolist() == [1, 0, 0, -1]
    assert cohort.covariates("ml")[1] == 7.0


def test_a_volume_that_was_lost_is_work_again(a_cohort: Path) -> None:
    (a_cohort / "volumes" / "scan1.npy").unlink()
    with CohortWriter(a_cohort, PROFILE, 8, ("mild", "severe")) as writer:
        assert writer.done_ids == {"scan0", "scan2"}


def test_a_failure_is_kept_until_its_scan_succeeds(tmp_path: Path) -> None:
    with CohortWriter(tmp_path, PROFILE, 8) as writer:
        writer.fail("in/a.nii", "no lungs")
        writer.fail("in/b.nii", "empty")
    with CohortWriter(tmp_path, PROFILE, 8) as writer:
        assert writer.failed == [
            {"file": "in/a.nii", "reason": "no lungs"},
            {"file": "in/b.nii", "reason": "empty"},
        ]
        writer.add("a", a_cube(0), source="in/a.nii")
    assert Cohort.open(tmp_path).failed == {"in/b.nii": "empty"}


KILLED = """
import os, signal, sys
import numpy as np
from HAGANCore.cohorts.store import CohortWriter
from HAGANCore.preparation.profiles import PROFILES
writer = CohortWriter(sys.argv[1], PROFILES["thorax-ct-fov"], 8)
writer.add("first", np.zeros((8, 8, 8)))
writer.fail("in/bad.nii", "empty")
writer.add("second", np.ones((8, 8, 8)))
open(writer.folder / "volumes" / ".tmp-1-third.npy", "wb").write(b"half")
writer._journal.write('{"entry": {"id": "thi')
writer._journal.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    killed = Cohort.open(tmp_path)
    assert [entry.id for entry in killed.entries] == ["first", "second"]
    assert killed.failed == {"in/bad.nii": "empty"}
    with CohortWriter(tmp_path, PROFILE, 8) as writer:
        assert writer.done_ids == {"first", "second"}
        writer.add("third", a_cube(0))
    cohort = Cohort.open(tmp_path)
    assert [entry.id for entry in cohort.entries] == ["first", "second", "third"]
    assert sorted(path.name for path in (tmp_path / "volumes").iterdir()) == [
        "first.npy",
        "second.npy",
        "third.npy",
    ]


@pytest.mark.parametrize(
    ("profile", "size", "classes", "word"),
    [
        (PROFILES["thorax-ct"], 8, ("mild", "severe"), "profile"),
        (PROFILE, 16, ("mild", "severe"), "size"),
        (PROFILE, 8, ("mild",), "classes"),
    ],
)
def test_another_kind_of_cohort_is_not_mixed_in(a_cohort: Path, profile, size, classes, word) -> None:
    with pytest.raises(HaganError, match=f"another {word}"):
        CohortWriter(a_cohort, profile, size, classes)


@pytest.mark.parametrize("label", [-2, 2])
def test_a_label_without_a_class_is_refused(tmp_path: Path, label: int) -> None:
    with (
        CohortWriter(tmp_path, PROFILE, 8, ("mild", "severe")) as writer,
        pytest.raises(HaganError, match=f"label {label}.*2 classes"),
    ):
        writer.add("a", a_cube(0), label=label)


@pytest.mark.parametrize("id", ["", "../a", "a/b", "a b", ".hidden", "ü"])
def test_an_id_that_is_no_file_name_is_refused(tmp_path: Path, id: str) -> None:
    with CohortWriter(tmp_path, PROFILE, 8) as writer, pytest.raises(HaganError, match="id of a volume"):
        writer.add(id, a_cube(0))


@pytest.mark.parametrize(
    "array", [np.full((8, 8, 8), 1.5), np.full((8, 8, 8), np.nan), np.zeros((8, 8)), np.zeros((8, 8, 4))]
)
def test_an_array_that_does_not_belong_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with CohortWriter(tmp_path, PROFILE, 8) as writer, pytest.raises(HaganError):
        writer.add("a", array)
    assert not list((tmp_path / "volumes").iterdir())


def test_missing_and_truncated_volumes_are_named(a_cohort: Path) -> None:
    path = a_cohort / "volumes" / "scan1.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(HaganError, match=rf"scan1\.npy' has {len(whole) - 1} bytes, {len(whole)} expected"):
        Cohort.open(a_cohort)
    path.unlink()
    with pytest.raises(HaganError, match=r"scan1\.npy' is missing"):
        Cohort.open(a_cohort)


def test_a_volume_that_goes_bad_later_is_named(a_cohort: Path) -> None:
    cohort = Cohort.open(a_cohort)
    path = a_cohort / "volumes" / "scan1.npy"
    length = path.stat().st_size
    path.write_bytes(b"\0" * length)
    with pytest.raises(HaganError, match=r"scan1\.npy' cannot be read"):
        cohort.load(1)
    np.save(path, np.zeros((8, 8, 8), np.uint16))
    with pytest.raises(HaganError, match=r"scan1\.npy' holds uint16"):
        cohort.load(1)


def test_what_is_no_cohort_is_said_in_one_line(tmp_path: Path, a_cohort: Path) -> None:
    with pytest.raises(HaganError, match="is no cohort"):
        Cohort.open(tmp_path)
    manifest = a_cohort / "manifest.json"
    document = json.loads(manifest.read_text())
    for text, word in (
        ("{", "cannot be read"),
        ("[]", "not the manifest"),
        (json.dumps({**document, "format": "x"}), "not the manifest"),
        (json.dumps({**document, "version": 9}), "version 9"),
        (json.dumps({**document, "entries": [{"id": "a"}]}), "damaged"),
        (json.dumps({**document, "profile": {"name": "x"}}), "incomplete"),
    ):
        manifest.write_text(text)
        with pytest.raises(HaganError, match=word) as caught:
            Cohort.open(a_cohort)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    write_array(path, a_cube(0))
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_array(path, a_cube(1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
