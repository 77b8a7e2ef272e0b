"""Install what the engine needs, when the user asks for it, and say before what it is and how large.

Nothing here runs at import or in a constructor of the module. torch comes through the PyTorch extension,
which chooses the build for this computer; the rest through Slicer's own package installation. Neither is
imported into Slicer by this module: the worker, a process of its own, uses them.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from slicer.i18n import tr as _

REQUIREMENTS = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"
TORCH = "torch>=2.2"
TORCH_ON_WINDOWS = "torch>=2.2,<2.13"
"""What is installed there. The wheels of 2.13 carry the licences of all their parts in folders so deep that
the paths exceed the 260 characters of Windows; pip stops in the middle and leaves a torch that cannot be
imported (https://github.com/Slicer/light-the-torch/issues/176). A 2.13 that works is left as it is."""
_OTHERS_MB = 15
"""Size of the wheels in requirements.txt, rounded up."""


@dataclass(frozen=True)
class Outcome:
    """How an installation ended."""

    done: bool
    message: str
    """What happened, and the next step where it is not done."""


class Installer:
    """Finds out what is missing and installs it.

    Args:
        requirements: file with one requirement per line.
        torch: requirement for PyTorch.
        torch_on_windows: requirement for a PyTorch that is to be installed on Windows.
        confirm: asks the user; takes a text and returns whether to go on.
    """

    def __init__(
        self,
        requirements: Path = REQUIREMENTS,
        torch: str = TORCH,
        confirm: Callable[[str], bool] | None = None,
        torch_on_windows: str = TORCH_ON_WINDOWS,
    ) -> None:
        self._requirements = requirements
        self._torch = torch
        self._torch_to_install = torch_on_windows if sys.platform == "win32" else torch
        self._confirm = confirm or _ask

    def missing(self) -> list[str]:
        """Return the requirements that this Python does not meet, PyTorch first; imports none of them."""
        lines = self._requirements.read_text(encoding="utf-8").splitlines()
        wanted = [self._torch, *(line.strip() for line in lines if line.strip() and line[0] not in "#-")]
        return [requirement for requirement in wanted if not is_installed(requirement)]

    def summary(self, missing: list[str]) -> str:
        """Return what would be installed and how much that is, for a person."""
        parts = []
        if self._torch in missing:
            parts.append(_("PyTorch (a download of about 200 MB, with an NVIDIA graphics card about 3 GB)"))
            if sys.platform == "win32":
                parts[-1] += _(", older than 2.13, which cannot be installed on Windows")
            elif sys.platform == "darwin":
                parts[-1] += _("; on a Mac the processor computes, as Apple's GPU has not been measured")
        others = [Requirement(text).name for text in missing if text != self._torch]
        if others:
            parts.append(
                _("{names} (together less than {size} MB)").format(names=", ".join(others), size=_OTHERS_MB)
            )
        return "; ".join(parts)

    def install(self) -> Outcome:
        """Install what is missing, after the user has agreed. Never raises: the outcome says what to do."""
        missing = self.missing()
        if not missing:
            return Outcome(True, _("Everything needed is installed."))
        if self._torch in missing and not pytorch_extension_found():
            return Outcome(
                False,
                _(
                    "PyTorch is installed through Slicer's PyTorch extension, which is missing. Open the "
                    "Extensions Manager (View menu), install 'PyTorch', restart Slicer, click Install again."
                ),
            )
        question = _(
            "These will be downloaded into Slicer's own Python:\n\n{what}\n\n"
            "Nothing about you or your data is sent. It may take some minutes. Continue?"
        ).format(what=self.summary(missing))
        if not self._confirm(question):
            return Outcome(
                False,
                _("Nothing was installed. Models can be looked at, but not used; click Install to go on."),
            )
        try:
            self._install_torch(missing)
            self._install_others(missing)
        except Exception as error:  # pip, the extension and the network fail in many ways
            logging.exception("Installation failed")
            return Outcome(
                False,
                _(
                    "The installation failed: {error}. Check the network connection (behind a proxy: the "
                    "environment variable HTTPS_PROXY) and click Install again; details are in the log."
                ).format(error=_one_line(error)),
            )
        return self._checked()

    def wheels(self, missing: list[str]) -> str:
        """Return which wheels a computer without a network needs, and how to get them."""
        return _(
            "Needed are the wheels of {names} and of what these need, for Python {version}. On a computer "
            "with a network, the same system and this Python: "
            "python -m pip download --only-binary=:all: -d FOLDER {wanted}"
        ).format(
            names=", ".join(Requirement(text).name for text in missing),
            version=".".join(platform.python_version_tuple()[:2]),
            wanted=" ".join(f'"{text}"' for text in self._to_install(missing)),
        )

    def install_from(self, folder: Path) -> Outcome:
        """Install what is missing from a folder of wheels, without a network. Never raises."""
        missing = self.missing()
        if not missing:
            return Outcome(True, _("Everything needed is installed."))
        wanted = self._to_install(missing)
        absent = [text for text in wanted if not has_wheel(folder, text)]
        if absent:
            return Outcome(
                False,
                _("The folder '{folder}' has no wheel of {absent} that fits here. {wheels}").format(
                    folder=folder, absent=", ".join(absent), wheels=self.wheels(missing)
                ),
            )
        question = _(
            "These will be installed into Slicer's own Python from the folder '{folder}':\n\n{what}\n\n"
            "The network is not used. Continue?"
        ).format(folder=folder, what=", ".join(wanted))
        if not self._confirm(question):
            return Outcome(False, _("Nothing was installed."))
        try:
            slicer.util.pip_install(["--no-index", "--find-links", str(folder), *wanted])
        except Exception as error:  # pip fails in many ways
            logging.exception("Installation from a folder failed")
            return Outcome(
                False,
                _("The installation from '{folder}' failed: {error}. {wheels}").format(
                    folder=folder, error=_one_line(error), wheels=self.wheels(missing)
                ),
            )
        return self._checked()

    def _to_install(self, missing: list[str]) -> list[str]:
        return [self._torch_to_install if text == self._torch else text for text in missing]

    def _checked(self) -> Outcome:
        still = self.missing()
        if still:
            return Outcome(
                False,
                _(
                    "Still missing after the installation: {names}. Restart Slicer and click Install again."
                ).format(names=", ".join(still)),
            )
        return Outcome(True, _("Installed. Nothing needs to be restarted."))

    def _install_torch(self, missing: list[str]) -> None:
        if self._torch not in missing:
            return
        import PyTorchUtils  # a module of the PyTorch extension

        specifier = str(Requirement(self._torch_to_install).specifier)
        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=False, torchVersionRequirement=specifier) is None:
            raise RuntimeError("the PyTorch extension installed nothing")

    def _install_others(self, missing: list[str]) -> None:
        others = [requirement for requirement in missing if requirement != self._torch]
        if not others:
            return
        if importlib.util.find_spec("slicer.packaging") is not None:  # Slicer 5.12 and later
            import slicer.packaging

            wanted = [Requirement(text) for text in others]  # it does not take texts
            slicer.packaging.pip_ensure(wanted, prompt_install=False, requester="HAGANSlicer")
        else:
            slicer.util.pip_install(others)


def is_installed(requirement: str) -> bool:
    """Whether a package is there in a version that fits, by its metadata alone."""
    wanted = Requirement(requirement)
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return False
    # An installation that broke in the middle can leave a package without its metadata, and so a version.
    return bool(found) and wanted.specifier.contains(found, prereleases=True)


def has_wheel(folder: Path, requirement: str) -> bool:
    """Whether a folder has a wheel that meets a requirement and fits this Python on this system."""
    wanted, tags = Requirement(requirement), set(sys_tags())
    for path in folder.glob("*.whl"):
        try:
            name, version, _build, of_wheel = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        same = name == canonicalize_name(wanted.name)
        if same and tags & of_wheel and wanted.specifier.contains(version, prereleases=True):
            return True
    return False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")


def pytorch_extension_found() -> bool:
    """Whether the PyTorch extension, which installs torch, is there."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def _ask(text: str) -> bool:
    return bool(slicer.util.confirmOkCancelDisplay(text, windowTitle=_("Install for HAGANSlicer")))
