"""What is missing is said, and installed only when the user has agreed; what goes wrong has a next step."""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import qt
import slicer
from packaging.requirements import Requirement

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
    # Requirement objects: Slicer's function fails on texts. is there: never asked for again.
    assert [packages for packages, _ in ensured] == [[Requirement(NOT_HERE)]]
    assert not outcome.done  # nothing was really installed, and that is noticed
    assert "Still missing" in outcome.message
    assert NOT_HERE in outcome.message


def test_no_network_is_said_with_what_to_do(an_installer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def real_pip(packages: list[Requirement], **_: Any) -> None:
        command = [sys.executable, "-m", "pip", "install", "--no-index", *map(str, packages)]
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


def write_wheel(folder: Path, name: str = "hagan_no_such_package", tag: str = "py3-none-any") -> Path:
    """A wheel of a package that holds nothing, as PyPA's specification has it."""
    path = folder / f"{name}-1.0-{tag}.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")
    return path


def test_wheels_in_a_folder_are_installed_without_a_network(
    an_installer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's name has a space, as on many a memory stick; pip is the real one."""
    folder, target = tmp_path / "my wheels", tmp_path / "installed"
    folder.mkdir()
    write_wheel(folder)

    def real_pip(arguments: list[str]) -> None:
        command = [sys.executable, "-m", "pip", "install", "--target", str(target), *arguments]
        subprocess.run(command, check=True, capture_output=True)

    monkeypatch.setattr(slicer.util, "pip_install", real_pip)
    monkeypatch.syspath_prepend(str(target))
    made = an_installer()
    outcome = made.installer.install_from(folder)
    assert outcome.done, outcome.message
    assert (target / "hagan_no_such_package.py").exists()
    assert "The network is not used" in made.questions[0]
    assert an_installer().installer.install_from(folder).message == "Everything needed is installed."


def test_a_folder_without_fitting_wheels_is_said_with_how_to_get_them(
    an_installer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slicer.util, "pip_install", lambda *_: pytest.fail("installed all the same"))
    write_wheel(tmp_path, tag="cp27-cp27m-win32")
    (tmp_path / "notes.whl").write_bytes(b"")
    made = an_installer(torch="torch>=999")
    outcome = made.installer.install_from(tmp_path)
    assert not outcome.done
    assert "no wheel of torch>=999, hagan-no-such-package>=1.0" in outcome.message
    assert (
        'pip download --only-binary=:all: -d FOLDER "torch>=999" "hagan-no-such-package>=1.0"'
        in outcome.message
    )
    assert "{}.{}".format(*sys.version_info[:2]) in outcome.message
    assert not made.questions


def test_on_windows_a_torch_is_installed_whose_paths_are_short_enough(
    an_installer: Any, a_pytorch_extension: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from HAGANSlicerLib.installer import TORCH, TORCH_ON_WINDOWS, Installer

    assert Requirement(TORCH_ON_WINDOWS).specifier.contains("2.12.1")
    assert not Requirement(TORCH_ON_WINDOWS).specifier.contains("2.13.0")
    assert Requirement(TORCH).specifier.contains("2.13.0")  # where it works it stays
    monkeypatch.setattr(sys, "platform", "win32")
    questions: list[str] = []
    empty = an_installer().installer._requirements.with_name("none.txt")
    empty.write_text("", encoding="utf-8")
    installer = Installer(
        empty, "torch>=999", lambda text: questions.append(text) is None, "torch>=999,<1000"
    )
    installer.install()
    assert "older than 2.13, which cannot be installed on Windows" in questions[0]
    assert a_pytorch_extension[0]["torchVersionRequirement"] in (">=999,<1000", "<1000,>=999")


def test_on_a_mac_what_computes_is_said_before_the_installation(
    an_installer: Any, a_pytorch_extension: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    made = an_installer(agree=False, torch="torch>=999")
    made.installer.install()
    assert "Apple's GPU has not been measured" in made.questions[0]


def test_a_package_without_a_version_counts_as_missing(
    a_module: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """As a torch does whose installation stopped in the middle."""
    from HAGANSlicerLib.installer import is_installed

    (tmp_path / "hagan_broken-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("hagan-broken>=0.1")


def test_the_header_installs_from_a_folder_that_is_chosen(
    a_module_widget: Any, an_installer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = a_module_widget.window.header
    header.installer = an_installer().installer
    header.look_for_missing()
    assert "pip download" in header.ui.wheelsButton.toolTip
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *_: ""))
    header.ui.wheelsButton.click()
    assert not header.ui.messageLabel.text.strip()  # nothing was chosen
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", staticmethod(lambda *_: str(tmp_path)))
    header.ui.wheelsButton.click()
    assert "has no wheel of hagan-no-such-package" in header.ui.messageLabel.text
    assert header.ui.wheelsButton.enabled
