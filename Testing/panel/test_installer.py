"""What is missing is said, and installed only when the user has agreed; what goes wrong has a next step."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer

NOT_HERE = "hagan-no-such-package>=1.0"


@pytest.fixture
def some_requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text(f"# comment\nnumpy>=1.20\n{NOT_HERE}\n", encoding="utf-8")
    return path


@pytest.fixture
def an_installer(a_module: Any, some_requirements: Path) -> Any:
    """Returns a function that makes an installer whose user answers ``agree``, and keeps the questions."""
    from HAGANSlicerLib.installer import Installer

    def make(agree: bool = True, torch: str = "torch>=2.2") -> Any:
        questions: list[str] = []
        installer = Installer(some_requirements, torch, lambda text: questions.append(text) is None and agree)
        return SimpleNamespace(installer=installer, questions=questions)

    return make


@pytest.fixture
def a_pytorch_extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The PyTorch extension, as far as it can be called; returns what it was asked for."""
    code = """
asked = []
class PyTorchUtilsLogic:
    def installTorch(self, **wanted):
        asked.append(wanted)
        return object()
"""
    (tmp_path / "PyTorchUtils.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    asked: list[dict[str, Any]] = importlib.import_module("PyTorchUtils").asked
    yield asked
    del sys.modules["PyTorchUtils"]


def test_the_shipped_requirements_are_met_here_and_hold_neither_torch_nor_simpleitk(a_module: Any) -> None:
    from HAGANSlicerLib.installer import REQUIREMENTS, Installer

    assert Installer().missing() == []
    names = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    assert not [name for name in names if name.lower().startswith(("torch", "simpleitk"))]


def test_an_older_version_counts_as_missing(a_module: Any) -> None:
    from HAGANSlicerLib.installer import is_installed

    assert is_installed("torch>=2.2")
    assert not is_installed("torch>=999")
    assert not is_installed(NOT_HERE)


def test_the_question_says_what_and_how_much_and_no_is_respected(
    an_installer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        slicer.packaging, "pip_ensure", lambda *_, **__: pytest.fail("installed all the same")
    )
    made = an_installer(agree=False)
    outcome = made.installer.install()
    assert "hagan-no-such-package" in made.questions[0]
    assert "MB" in made.questions[0]
    assert not outcome.done
    assert "Nothing was installed" in outcome.message
    assert "Install" in outcome.message


def test_without_the_pytorch_extension_the_next_step_is_said_and_nothing_asked(an_installer: Any) -> None:
    made = an_installer(torch="torch>=999")
    outcome = made.installer.install()
    assert not outcome.done
    assert "Extensions Manager" in outcome.message
    assert not made.questions


def test_torch_comes_through_the_extension_and_the_rest_through_slicer(
    an_installer: Any, a_pytorch_extension: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ensured: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(
        slicer.packaging, "pip_ensure", lambda packages, **options: ensured.append((packages, options))
    )
    outcome = an_installer(torch="torch>=999").installer.install()
    assert a_pytorch_extension == [{"askConfirmation": False, "torchVersionRequirement": ">=999"}]
    assert [packages for packages, _ in ensured] == [[NOT_HERE]]  # numpy is there: never asked for again
    assert not outcome.done  # nothing was really installed, and that is noticed
    assert "Still missing" in outcome.message
    assert NOT_HERE in outcome.message


def test_no_network_is_said_with_what_to_do(an_installer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def real_pip(packages: list[str], **_: Any) -> None:
        command = [sys.executable, "-m", "pip", "install", "--no-index", *packages]
        subprocess.run(command, check=True, capture_output=True)

    monkeypatch.setattr(slicer.packaging, "pip_ensure", real_pip)
    outcome = an_installer().installer.install()
    assert not outcome.done
    assert "The installation failed" in outcome.message
    assert "network" in outcome.message
    assert "\n" not in outcome.message


def test_the_header_offers_the_installation_only_while_something_is_missing(
    a_module_widget: Any, an_installer: Any
) -> None:
    header = a_module_widget.window.header
    assert not header.ui.installRow.visible
    working, header.installer = header.installer, an_installer(agree=False).installer
    a_module_widget.exit()
    a_module_widget.enter()
    assert header.ui.installRow.visible
    assert "hagan-no-such-package" in header.ui.installLabel.text
    header.ui.installButton.click()
    assert "Nothing was installed" in header.ui.messageLabel.text
    assert header.ui.installRow.visible
    header.installer = working
    header.ui.installButton.click()
    assert not header.ui.installRow.visible
