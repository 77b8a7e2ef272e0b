"""Install what the engine needs, when the user asks for it, and say before what it is and how large.

Nothing here runs at import or in a constructor of the module. torch comes through the PyTorch extension,
which chooses the build for this computer; the rest through Slicer's own package installation. Neither is
imported into Slicer by this module: the worker, a process of its own, uses them.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from slicer.i18n import tr as _

REQUIREMENTS = Path(__file__).resolve().parents[1] / "Resources" / "requirements.txt"
TORCH = "torch>=2.2"
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
        confirm: asks the user; takes a text and returns whether to go on.
    """

    def __init__(
        self,
        requirements: Path = REQUIREMENTS,
        torch: str = TORCH,
        confirm: Callable[[str], bool] | None = None,
    ) -> None:
        self._requirements = requirements
        self._torch = torch
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
                ).format(error=" ".join(str(error).split())[:300].rstrip(".")),
            )
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

        specifier = str(Requirement(self._torch).specifier)
        logic = PyTorchUtils.PyTorchUtilsLogic()
        if logic.installTorch(askConfirmation=False, torchVersionRequirement=specifier) is None:
            raise RuntimeError("the PyTorch extension installed nothing")

    def _install_others(self, missing: list[str]) -> None:
        others = [requirement for requirement in missing if requirement != self._torch]
        if not others:
            return
        if importlib.util.find_spec("slicer.packaging") is not None:  # Slicer 5.12 and later
            import slicer.packaging

            slicer.packaging.pip_ensure(others, prompt_install=False, requester="HAGANSlicer")
        else:
            slicer.util.pip_install(" ".join(f'"{requirement}"' for requirement in others))


def is_installed(requirement: str) -> bool:
    """Whether a package is there in a version that fits, by its metadata alone."""
    wanted = Requirement(requirement)
    try:
        found = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return False
    return wanted.specifier.contains(found, prereleases=True)


def pytorch_extension_found() -> bool:
    """Whether the PyTorch extension, which installs torch, is there."""
    return importlib.util.find_spec("PyTorchUtils") is not None


def _ask(text: str) -> bool:
    return bool(slicer.util.confirmOkCancelDisplay(text, windowTitle=_("Install for HAGANSlicer")))
