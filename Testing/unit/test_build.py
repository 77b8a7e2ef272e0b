"""A cohort that is added to: the same scan once, another scan never lost, whatever their names and order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cohorts.build import BuildReport, build_cohort
from HAGANCore.cohorts.scans import find_scans, read_scan_table
from HAGANCore.cohorts.store import Cohort, CohortWriter
from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import write_volume
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.preparation.profiles import PROFILES

PROFILE = PROFILES["thorax-ct"]


def a_chest(scale: float) -> Volume:
    """A trunk with two lungs, 8 mm voxels; ``scale`` makes the lungs, so that each is another patient."""
    shape = (38, 38, 46)
    k, j, i = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 8.0 for n in shape), indexing="ij")
    values = np.full(shape, -1000, np.int16)
    values[(i / 150) ** 2 + (j / 110) ** 2 < 1] = 40
    for side in (-1, 1):
        values[((i - side * 70) / 50) ** 2 + (j / 75) ** 2 + (k / (90 * scale)) ** 2 < 1] = -850
    return Volume(values, Geometry(shape=shape, spacing=(8.0, 8.0, 8.0)))


def built(folder: Path, cohort: Path, **options: bool) -> BuildReport:
    return build_cohort(find_scans(folder), cohort, PROFILE, 32, **options)


def hashes(cohort: Path) -> dict[str, str]:
    return {entry.id: entry.sha256 for entry in Cohort.open(cohort).entries}


def test_another_patient_with_the_same_file_name_is_added(tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    for name, scale in (("first", 0.8), ("second", 1.0)):
        write_volume(a_chest(scale), tmp_path / name / "ct.nii.gz")
        report = built(tmp_path / name, cohort)
    found = hashes(cohort)
    assert len(found) == len(set(found.values())) == 2
    assert "ct" in found
    (lines,) = report.warnings.values()
    assert lines[0].startswith("the cohort holds another scan as 'ct', so this one is 'ct-")
    again = built(tmp_path / "second", cohort)
    assert (hashes(cohort), again.warnings) == (found, {})


@pytest.mark.parametrize("late", ["a b.nrrd", "a-b.nii.gz"])
def test_names_that_give_one_id_do_not_depend_on_their_order(tmp_path: Path, late: str) -> None:
    scans, cohort = tmp_path / "scans", tmp_path / "cohort"
    for name, scale in (("a-b.nii.gz", 0.8), ("a b.nrrd", 1.0)):
        write_volume(a_chest(scale), scans / name)
    both = {scan.path: scan.id for scan in find_scans(scans)}
    assert len(set(both.values())) == 2
    shutil.move(scans / late, tmp_path / late)
    built(scans, cohort)
    shutil.move(tmp_path / late, scans / late)
    assert len(built(scans, cohort).ok) == 2
    assert len(set(hashes(cohort).values())) == len(hashes(cohort)) == 2
    assert both[scans / late] in hashes(cohort)


def test_a_replaced_file_is_done_again_and_said(tmp_path: Path) -> None:
    scans, cohort = tmp_path / "scans", tmp_path / "cohort"
    path = write_volume(a_chest(0.8), scans / "ct.nrrd")
    built(scans, cohort)
    before = hashes(cohort)
    write_volume(a_chest(1.0), path)
    report = built(scans, cohort)
    assert "it has changed" in report.warnings[str(path)][0]
    assert hashes(cohort).keys() == before.keys()
    assert hashes(cohort) != before
    path.write_bytes(path.read_bytes()[:1000])
    (failure,) = built(scans, cohort).failed
    assert failure["reason"].endswith("The volume made from the earlier file stays in the cohort.")


def test_a_scan_that_was_touched_or_moved_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scans, cohort = tmp_path / "scans", tmp_path / "cohort"
    path = write_volume(a_chest(0.8), scans / "ct.nrrd")
    built(scans, cohort)
    made = (cohort / "volumes" / "ct.npy").stat().st_mtime_ns
    os.utime(path, (0, 0))
    assert built(scans, cohort).warnings == {}
    monkeypatch.chdir(scans.rename(tmp_path / "moved"))
    report = built(Path(), cohort)
    assert (report.ok, report.warnings) == (("ct",), {})
    assert (cohort / "volumes" / "ct.npy").stat().st_mtime_ns == made
    (entry,) = Cohort.open(cohort).entries
    assert (entry.id, entry.source) == ("ct", str(tmp_path / "moved" / "ct.nrrd"))


def test_a_table_that_names_a_file_otherwise_does_not_double_it(tmp_path: Path) -> None:
    path = write_volume(a_chest(0.8), tmp_path / "scans" / "ct.nrrd")
    built(tmp_path / "scans", tmp_path / "cohort")
    table = tmp_path / "table.csv"
    table.write_text("id,file\np1,scans/ct.nrrd\n")
    report = build_cohort(read_scan_table(table), tmp_path / "cohort", PROFILE, 32)
    assert report.warnings == {str(path): ["it is in the cohort already, as 'ct'"]}
    assert list(hashes(tmp_path / "cohort")) == ["ct"]


def test_a_phantom_is_taken_with_a_word(tmp_path: Path) -> None:
    made = a_chest(0.8)
    facts = {"kind": "phantom", "seed": 1}
    phantom = made.with_array(made.array, synthetic=True, unit="HU", provenance=facts)
    path = write_volume(phantom, tmp_path / "scans" / "phantom.nii.gz")
    report = built(tmp_path / "scans", tmp_path / "cohort")
    assert report.warnings == {str(path): ["It is a phantom, not a patient."]}
    assert report.ok == ("phantom",)


def test_synthetic_volumes_are_taken_only_when_allowed(tmp_path: Path) -> None:
    scans, cohort = tmp_path / "scans", tmp_path / "cohort"
    made = a_chest(0.8)
    path = write_volume(made.with_array(made.array, synthetic=True, unit="HU"), scans / "made.nii.gz")
    write_volume(a_chest(1.0), scans / "scan.nrrd")
    report = built(scans, cohort)
    assert report.ok == ("scan",)
    (failure,) = report.failed
    assert failure["file"] == str(path)
    assert "synthetic" in failure["reason"]
    assert set(built(scans, cohort, allow_synthetic=True).ok) == {"made", "scan"}
    assert Cohort.open(cohort).failed == {}


HOLDER = """
import sys
from HAGANCore.cohorts.store import CohortWriter
from HAGANCore.preparation.profiles import PROFILES
with CohortWriter(sys.argv[1], PROFILES["thorax-ct"], 32) as writer:
    (writer.folder / "volumes" / ".tmp-1-a.npy").write_bytes(b"half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_into_one_cohort(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(HaganError, match=rf"process {holder.pid}, since .*choose another folder"):
            CohortWriter(tmp_path, PROFILE, 32)
        assert (tmp_path / "volumes" / ".tmp-1-a.npy").exists()
        assert (tmp_path / "entries.jsonl").exists()
        holder.kill()
    with CohortWriter(tmp_path, PROFILE, 32), pytest.raises(HaganError, match=f"process {os.getpid()}"):
        CohortWriter(tmp_path, PROFILE, 32)
    assert not list(tmp_path.rglob(".tmp-*"))
    with pytest.raises(HaganError, match="another size"):
        CohortWriter(tmp_path, PROFILE, 64)
    (tmp_path / "writer.json").write_text("")
    os.utime(tmp_path / "writer.json", (0, 0))  # its process was killed before it had written its number
    CohortWriter(tmp_path, PROFILE, 32).close()
    assert not (tmp_path / "writer.json").exists()
