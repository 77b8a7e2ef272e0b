"""Closed, broken and narrow streams, and being stopped: what surrounds every command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from HAGANCore.cli.command import describe
from HAGANCore.files import written_whole

HAGAN = [sys.executable, "-m", "HAGANCore"]
ModelFiles = Callable[..., Path]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="streams and signals of POSIX")


def environment(**more: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**plain, "OMP_NUM_THREADS": "1", **more}


@pytest.mark.parametrize("broken", ["stdout", "stderr"])
def test_a_reader_that_left_does_not_stop_the_work(
    broken: str, a_model_file: ModelFiles, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, broken: writing}
    line = [*HAGAN, "generate", "--model", a_model_file(), "--count", "3", "--out", tmp_path]
    done = subprocess.run([*map(str, line)], env=environment(), **streams, text=True, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert len(list(tmp_path.glob("*.nii.gz"))) == 3
    if broken == "stdout":
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr


def test_closed_streams_do_not_stop_the_work(a_model_file: ModelFiles, tmp_path: Path) -> None:
    line = f"{sys.executable} -m HAGANCore generate --model {a_model_file()} --out {tmp_path}/one.nii.gz"
    shell = ["sh", "-c", f"{line} <&- >&- 2>&-"]
    assert subprocess.run(shell, env=environment(), check=False).returncode == 0
    # Nothing was printed into a file that took the number of a closed stream.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "one.nii.gz"]
    assert (tmp_path / "one.nii.gz").read_bytes()[:2] == b"\x1f\x8b"


def test_closing_stdout_or_stderr_alone_is_no_error() -> None:
    line = f"{sys.executable} -m HAGANCore model info demo"
    for closed in (">&-", "2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"{line} {closed}"], env=environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert "64" in done.stdout


def test_help_prints_in_a_narrow_encoding() -> None:
    done = subprocess.run(
        [*HAGAN, "generate", "--help"],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert b"--seed" in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_is_stopped_while_it_is_loaded(
    number: signal.Signals,
) -> None:
    # A parser that takes its time stands for a machine that does.
    slow = (
        "import sys, time, HAGANCore.cli.parser as parser; build = parser.build_parser\n"
        "def slowly(words): print('loading', flush=True); time.sleep(30); return build(words)\n"
        "parser.build_parser = slowly\n"
        "import HAGANCore.cli; sys.exit(HAGANCore.cli.main(['model', 'list']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.readline()
    begun = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (1, "hagan: Stopped.\n")
    assert time.monotonic() - begun < 10


def test_what_main_loads_before_it_listens_is_light() -> None:
    code = (
        "import sys, HAGANCore.cli; print(*sorted({'argparse', 'multiprocessing', 'json'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_error_of_the_system_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "afile").touch()
    with pytest.raises(OSError) as caught, written_whole(tmp_path / "afile" / "volumes" / "x.npy"):
        pass
    assert f"'{tmp_path / 'afile'}' is a file, not a folder" in describe(caught.value)
    with pytest.raises(OSError) as caught, written_whole(tmp_path / "x.npy"):
        raise OSError(27, "File too large")
    said = describe(caught.value)
    assert said.startswith(f"'{tmp_path / 'x.npy'}': File too large; ")
    assert said.endswith("write to another place.")
