"""The scripts that run without a window: in any Python, and where the Slicer application is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.cohorts.store import CohortWriter
from HAGANCore.models.modelfile import read_model
from HAGANCore.preparation.profiles import PROFILES
from HAGANCore.resources import resource_path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "HAGANSlicer" / "Scripts"
INSIDE_SLICER = """
import runpy, sys
import slicer

ended = []
slicer.app = object()
slicer.util.exit = ended.append
sys.argv = [sys.argv[1], *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
print("slicer.util.exit", ended)
"""
"""Stands for ``Slicer --python-script SCRIPT -- ARGUMENTS``: an application that is asked to end."""


def run(*arguments: str | Path, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script with plain Python, away from the repository, or ``code`` with its path."""
    start = [sys.executable] if code is None else [sys.executable, "-c", code]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*start, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=Path(sys.prefix),
    )


def test_generate_writes_a_volume_in_plain_python(tmp_path: Path) -> None:
    out = tmp_path / "volume.nii.gz"
    done = run(SCRIPTS / "hagan_generate.py", "--model", "demo", "--seed", "1", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert out.exists()


def test_encode_writes_latent_and_reconstruction_in_plain_python(tmp_path: Path) -> None:
    scan = resource_path("SampleData/thorax_phantom.nii.gz")
    done = run(SCRIPTS / "hagan_encode.py", scan, "--model", "demo", "--out", tmp_path / "encoded", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    names = [path.name for path in (tmp_path / "encoded").iterdir()]
    assert any(name.endswith(".latent.json") for name in names)
    assert any(name.endswith(".nii.gz") for name in names)


def test_train_writes_a_model_in_plain_python(tmp_path: Path) -> None:
    with CohortWriter(tmp_path / "cohort", PROFILES["thorax-ct-fov"], 32) as writer:
        for index in range(2):
            writer.add(f"v{index}", np.full((32, 32, 32), index / 4 - 0.5))
    fields = ("latent=8", "generator_width=4", "discriminator_width=64", "ground_encoder_width=16", "batch=1")
    small = [f"--set={field}" for field in (*fields, "precision=float32")]
    line = ["--out", str(tmp_path / "run"), "--iterations", "1", "--device=cpu", "--json", *small]
    done = run(SCRIPTS / "hagan_train.py", tmp_path / "cohort", *line)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["finished"], document["iteration"]) == (True, 1)
    assert read_model(document["model"]).description.architecture.size == 32


@pytest.mark.parametrize("command", ["generate", "encode", "train"])
def test_wrong_usage_is_exit_code_2_and_help_is_0(command: str) -> None:
    script = SCRIPTS / f"hagan_{command}.py"
    assert run(script, "--no-such-option").returncode == 2
    helped = run(script, "--help")
    assert helped.returncode == 0
    assert f"usage: hagan {command}" in helped.stdout


def test_a_failure_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    done = run(SCRIPTS / "hagan_encode.py", tmp_path / "no.nii.gz", "--model", "demo", "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("hagan encode: ")
    assert "Traceback" not in done.stderr


def test_inside_slicer_the_application_ends_with_the_exit_code(tmp_path: Path) -> None:
    out = tmp_path / "volume.nii.gz"
    script = SCRIPTS / "hagan_generate.py"
    done = run(script, "--", "--model", "demo", "--seed", "1", "--out", out, code=INSIDE_SLICER)
    assert done.returncode == 0, done.stderr
    assert out.exists()
    assert "slicer.util.exit [0]" in done.stdout
    failed = run(script, "--", "--model", "nowhere", "--out", out, code=INSIDE_SLICER)
    assert "slicer.util.exit [1]" in failed.stdout
