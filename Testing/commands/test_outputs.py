"""What commands write over, and what they leave: a patient's scan is never replaced."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cli import main
from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import WRITABLE_SUFFIXES, read_volume, write_volume
from HAGANCore.imaging.volume import Volume
from HAGANCore.inference.latent import read_latent
from HAGANCore.models.modelfile import read_model
from HAGANCore.operations.outputs import document_in, require_folder, require_label_map, require_volume
from HAGANCore.phantoms import make_phantom

ModelFiles = Callable[..., Path]
Refusal = Callable[..., str]


@pytest.fixture(scope="module")
def a_patient() -> Volume:
    """Return a chest that does not say that it is a phantom: a patient's, as far as can be told."""
    volume = make_phantom(3, 32).volume
    return Volume(volume.array, volume.geometry, {"unit": "HU", "modality": "CT"})


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    """Run a ``hagan …`` that must be refused before any work, and return its one line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        assert main([*map(str, words)]) == 1
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        return shown.err

    return run


def test_a_scan_is_never_replaced_by_its_label_map(
    a_patient: Volume, tmp_path: Path, refusal: Refusal
) -> None:
    scan, other = (write_volume(a_patient, tmp_path / name) for name in ("x.nii.gz", "y.nii.gz"))
    before = scan.read_bytes()
    assert f"'{scan}' is read by this command" in refusal("segment", scan, "--out", scan)
    (tmp_path / "link.nii.gz").symlink_to(scan)
    assert "is read by this command" in refusal("segment", scan, "--out", tmp_path / "link.nii.gz")
    assert "already exists" in refusal("segment", scan, "--out", other)
    assert scan.read_bytes() == other.read_bytes() == before
    labels = tmp_path / "labels.nrrd"
    for _ in range(2):  # commands are run twice
        assert main(["segment", str(scan), "--out", str(labels)]) == 0
    assert read_volume(labels).array.dtype == np.uint8
    assert "synthetic" not in read_volume(labels).meta


def test_two_patients_scans_of_one_name_keep_their_label_maps(
    a_patient: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_volume(a_patient, tmp_path / "p1/ct.nii.gz")
    second = write_volume(a_patient.with_array(a_patient.array + 1), tmp_path / "p2/ct.nii.gz")
    monkeypatch.chdir(tmp_path)
    assert main(["segment", str(first)]) == 0
    assert main(["segment", str(second)]) == 1
    assert "'ct.segmentation.nii.gz' was made from another scan" in capsys.readouterr().err
    assert main(["segment", str(first)]) == 0


@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
def test_every_format_says_whose_it_is(a_patient: Volume, tmp_path: Path, suffix: str) -> None:
    theirs = write_volume(a_patient, tmp_path / f"theirs{suffix}")
    ours = write_volume(make_phantom(1, 32).volume, tmp_path / f"ours{suffix}")
    assert document_in(theirs) is None
    document = document_in(ours)
    assert document is not None
    assert document["provenance"]["kind"] == "phantom"
    require_volume(ours, ("phantom",))
    with pytest.raises(HaganError, match="already exists"):
        require_label_map(ours)
    # A scan under the name of one of ours: the side-car that stays behind is no proof.
    shutil.copy(theirs, ours)
    with pytest.raises(HaganError, match="already exists"):
        require_volume(ours, ("phantom",))


def test_an_empty_file_is_a_name_that_was_handed_out(tmp_path: Path) -> None:
    (tmp_path / "handed.nii.gz").touch()
    require_volume(tmp_path / "handed.nii.gz", ("generated",))


def test_what_is_no_image_at_all_stays(tmp_path: Path) -> None:
    for suffix in WRITABLE_SUFFIXES:
        path = tmp_path / f"notes{suffix}"
        path.write_text("not an image")
        with pytest.raises(HaganError, match="already exists"):
            require_volume(path, ("generated",))


def test_generate_replaces_its_own_volumes_only(
    a_patient: Volume, a_model_file: ModelFiles, tmp_path: Path, refusal: Refusal
) -> None:
    line = ["generate", "--model", str(a_model_file()), "--device", "cpu"]
    scan = write_volume(a_patient, tmp_path / "scan.nii.gz")
    before = scan.read_bytes()
    assert "already exists" in refusal(*line, "--out", scan)
    # The name that the volume would get, and that of its label map.
    theirs = write_volume(a_patient, tmp_path / "synthetic_tiny_seed2.nii.gz")
    assert f"'{theirs}' already exists" in refusal(*line, "--seed", "1..2", "--out", tmp_path)
    theirs.rename(tmp_path / "one_labels.nii.gz")
    assert "one_labels.nii.gz' already exists" in refusal(
        *line, "--segment", "--out", tmp_path / "one.nii.gz"
    )
    assert scan.read_bytes() == before
    for seed in (1, 2):
        assert main([*line, "--seed", str(seed), "--out", str(tmp_path / "own.nrrd")]) == 0
    assert read_volume(tmp_path / "own.nrrd").meta["provenance"]["seed"] == 2


def test_encode_tells_scans_of_one_name_apart(
    a_patient: Volume, a_model_file: ModelFiles, tmp_path: Path, refusal: Refusal
) -> None:
    first = write_volume(a_patient, tmp_path / "p1/ct.nii.gz")
    second = write_volume(a_patient.with_array(a_patient.array + 1), tmp_path / "p2/ct.nrrd")
    out = tmp_path / "out"
    rest = ["--model", str(a_model_file()), "--device", "cpu", "--force", "--out", str(out)]
    for _ in range(2):
        assert main(["encode", str(first), *rest]) == 0
    latent = read_latent(out / "ct.latent.json")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "was made from another scan" in refusal("encode", second, *rest)
    (out / "ct.latent.json").unlink()  # the reconstruction says it as well
    assert "ct.reconstruction.nii.gz' was made from another scan" in refusal("encode", second, *rest)
    (out / "ct.latent.json").write_text('{"format": "another program\'s"}')
    assert "not a file of the format 'hagan-latent'" in refusal("encode", first, *rest)
    (out / "ct.latent.json").write_bytes(before["ct.latent.json"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    # A latent from before, which does not say it.
    (out / "ct.latent.json").unlink()
    facts = {key: value for key, value in latent.facts.items() if key != "scan_sha256"}
    type(latent)(
        z=latent.z, model_name=latent.model_name, model_sha256=latent.model_sha256, facts=facts
    ).save(out / "ct.latent.json")
    assert "does not say which scan" in refusal("encode", first, *rest)
    write_volume(a_patient, out / "ct.reconstruction.nii.gz")
    assert "ct.reconstruction.nii.gz' already exists" in refusal("encode", second, *rest)


def test_a_trained_model_is_not_replaced(a_model_file: ModelFiles, tmp_path: Path, refusal: Refusal) -> None:
    small = ["--size=32", "--latent=8", "--generator-width=4", "--discriminator-width=64"]
    trained = Path(shutil.copy(a_model_file(), tmp_path / "trained.safetensors"))
    before = trained.read_bytes()
    assert "not a model with random weights" in refusal("model", "new", *small, "--out", trained)
    other = ["directions", "remove", "--model", "demo", "lung volume", "--write", trained]
    assert "not a model with the networks of 'demo'" in refusal(*other)
    assert trained.read_bytes() == before
    notes = tmp_path / "notes.safetensors"
    notes.write_text("not a model")
    assert "already exists" in refusal("model", "new", *small, "--out", notes)
    for seed in "01":
        path = tmp_path / "random.safetensors"
        assert (
            main(["model", "new", *small, "--ground-encoder-width=16", "--seed", seed, "--out", str(path)])
            == 0
        )
    assert read_model(tmp_path / "random.safetensors").description.training["seed"] == 1


@pytest.mark.parametrize(
    "line",
    [
        "encode {scan} --model demo --out {file}",
        "explore --model demo --seed 1 --direction x --values 5 --out {file}/sub",
        "demo --out {file}",
        "phantom --scan {file}/x.nii",
        "phantom --count 1 --out {file}/cohort",
        "preprocess {folder} --out {file}/cohort",
        "generate --model demo --out {file}/x.nii.gz",
        "generate --model demo --out {file}",
        "segment {scan} --out {file}/x.nii.gz",
        "model new --size 32 --out {file}/x.safetensors",
        "directions fit --model demo --write {folder}/w.safetensors --report {file}",
    ],
)
def test_a_file_in_the_way_is_named_before_the_work(
    line: str, a_patient: Volume, tmp_path: Path, refusal: Refusal
) -> None:
    scan, file = write_volume(a_patient, tmp_path / "scan.nii.gz"), tmp_path / "afile"
    file.write_text("theirs")
    said = refusal(*line.format(scan=scan, file=file, folder=tmp_path).split())
    assert f"'{file}' is a file" in said
    assert "choose another --" in said
    assert file.read_text() == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["afile", "scan.nii.gz"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a place that nobody can write to")
def test_a_place_that_cannot_be_written_is_said(refusal: Refusal, tmp_path: Path) -> None:
    line = ["directions", "remove", "--model", "demo", "lung volume", "--write", "/proc/x.safetensors"]
    assert "Nothing can be written into '/proc'" in (said := refusal(*line))
    assert "--write" in said
    require_folder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
