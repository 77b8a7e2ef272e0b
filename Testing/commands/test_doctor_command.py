"""``hagan doctor``: what it finds here, and what it says where something is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest

from HAGANCore import resources
from HAGANCore.cli import main
from HAGANCore.operations import doctor
from HAGANCore.resources import resource_path

CHECKS = ["packages", "device", "memory", "models", "Slicer", "scan"]
Report = Callable[[int], dict[str, Any]]


@pytest.fixture(autouse=True)
def a_model_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep downloaded models of this machine out of the tests."""
    monkeypatch.setenv("HAGAN_MODEL_DIR", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def last_line(printed: str) -> str:
    """Return what stays on the terminal: the progress bar is wiped with carriage returns."""
    return printed.rstrip("\n").rpartition("\r")[2].rpartition("\n")[2]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Run ``hagan doctor --json``, which must end with this code; return its document."""

    def run(code: int) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["doctor", "--json"]) == code
        shown = capsys.readouterr()
        assert ("hagan doctor: Something is wrong" in last_line(shown.err)) == bool(code)
        document = json.loads(shown.out)
        assert [check["name"] for check in document["checks"]] == CHECKS
        assert document["healthy"] == (code == 0) == (not document["problems"])
        return document

    return run


def facts(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(check["facts"] for check in document["checks"] if check["name"] == name)


def test_a_sound_installation_is_found_sound(report: Report) -> None:
    document = report(0)
    versions = facts(document, "packages")["versions"]
    assert versions["python"] == platform.python_version()
    assert versions["torch"] == version("torch")
    (demo,) = facts(document, "models")["models"]
    content = resource_path("Models/demo.safetensors").read_bytes()
    assert demo == {
        "name": "demo",
        "valid": True,
        "path": str(resource_path("Models/demo.safetensors")),
        "sha256": hashlib.sha256(content).hexdigest(),
        "registry": "demo",
    }
    scan = facts(document, "scan")
    assert 0 < scan["mae_hu"] < 0.5 * scan["median_mae_hu"]
    assert scan["read_seconds"] > 0
    assert scan["encode_seconds"] > 0
    assert facts(document, "memory")["free_bytes"] > 0
    # A clone: the module lies beside the engine.
    assert (Path(facts(document, "Slicer")["module"]) / "HAGANSlicer.py").is_file()


def test_a_person_reads_each_check_and_that_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^{name}\b", printed, re.MULTILINE) for name in CHECKS)
    assert printed.endswith("\nNothing is wrong.\n")


def test_a_limit_of_the_instruction_set_is_said_with_what_it_costs(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    device = facts(report(0), "device")
    assert device["limits"]["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    if device["device"] == "cpu":
        assert device["precision"] == "float32"
        assert "ONEDNN_MAX_CPU_ISA=AVX2" in device["why"]


def test_a_damaged_model_of_the_users_own_is_named(
    report: Report, capsys: pytest.CaptureFixture[str], a_model_folder: Path
) -> None:
    content = bytearray(resource_path("Models/demo.safetensors").read_bytes())
    (a_model_folder / "whole.safetensors").write_bytes(content)
    (a_model_folder / "cut.safetensors").write_bytes(content[:-1000])
    document = report(1)
    valid = {model["name"]: model["valid"] for model in facts(document, "models")["models"]}
    assert valid == {"demo": True, "whole": True, "cut": False}
    (problem,) = document["problems"]
    assert "cut.safetensors" in problem
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert shown.out.endswith(f"What is wrong, and what to do:\n  1. {problem}\n")
    assert last_line(shown.err).startswith("hagan doctor: Something is wrong with: models.")


def test_a_cause_that_two_checks_meet_is_said_once(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("models.json", "SampleData/thorax_phantom.nii.gz"):
        copy = tmp_path / "Resources" / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(resource_path(name).read_bytes())
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "HAGANCore")
    document = report(1)
    assert [check["name"] for check in document["checks"] if check["problems"]] == ["models", "scan"]
    (problem,) = document["problems"]
    assert problem.startswith("The model 'demo' is not among the files of HAGANCore.")


def test_a_device_that_computes_wrongly_is_found(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution that returns noise, as a broken driver does."""
    import torch

    def noise(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return convolution(x, *_, **__).normal_(0, 100)

    convolution = torch.nn.functional.conv3d
    monkeypatch.setattr(torch.nn.functional, "conv3d", noise)
    (problem,) = report(1)["problems"]
    assert "this device computes wrongly" in problem
    assert "--device cpu --precision float32" in problem


@pytest.mark.parametrize("broken", ["torch", "nibabel"])
def test_a_package_that_cannot_be_loaded_is_said_with_the_command_to_run(tmp_path: Path, broken: str) -> None:
    """In a process of its own, where a package comes first that fails as with a missing library."""
    (tmp_path / f"{broken}.py").write_text("raise OSError('libgone.so.1: cannot open shared object file')")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(doctor.__file__).parents[2]}"}
    done = subprocess.run(
        [sys.executable, "-m", "HAGANCore", "doctor", "--json"],
        capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    (problem,) = document["problems"]
    assert problem.startswith(f"The package {broken} cannot be loaded (OSError: libgone.so.1")
    assert f"{sys.executable} -m pip install '{broken}>={doctor.NEEDED[broken]}'" in problem
    assert facts(document, "packages")["versions"][broken] is None
    unchecked = [check["name"] for check in document["checks"] if "not checked" in check["text"]]
    assert unchecked == ["device", "memory", "models", "scan"]


def test_a_package_that_is_too_old_is_said(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.NEEDED, "numpy", "99.0")
    (problem,) = report(1)["problems"]
    assert problem.startswith(f"The package numpy is {version('numpy')}; needed is 99.0.")


def test_an_incomplete_module_is_said(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "HAGANSlicer.py").touch()
    monkeypatch.setattr(doctor, "_module_folder", lambda: tmp_path)
    problems = report(1)["problems"]
    assert len(problems) == 3
    assert all(f"'{tmp_path}' is incomplete" in problem for problem in problems)


def test_the_versions_needed_are_those_of_the_package() -> None:
    wanted = [re.match(r"([\w-]+)>=([\d.]+)$", text) for text in requires("hagan-core") or []]
    assert {match[1].lower(): match[2] for match in wanted if match} == {
        name.lower(): least for name, least in doctor.NEEDED.items()
    }
