"""Say what to do where Slicer is too old. Must itself run in every Slicer with Python 3.9 or newer."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _

OLDEST_SLICER = (5, 10)
"""Slicer 5.10 is the first one with Python 3.12; 5.8 has 3.9, too old for HAGANCore."""


def slicer_problem() -> str | None:
    """Return why this Slicer cannot run the module, or None."""
    version = (int(slicer.app.majorVersion), int(slicer.app.minorVersion))
    if version >= OLDEST_SLICER:
        return None
    return _(
        "HAGANSlicer needs Slicer {needed} or newer, and this is Slicer {found}. "
        'Please install a current one from <a href="https://download.slicer.org">download.slicer.org</a>; '
        "your data and your other extensions' settings are not changed by that."
    ).format(needed="{}.{}".format(*OLDEST_SLICER), found="{}.{}".format(*version))


def explanation(text: str) -> qt.QLabel:
    """Return a label that shows ``text`` in place of the panels."""
    label = qt.QLabel(text)
    label.setObjectName("explanationLabel")
    label.setWordWrap(True)
    label.setOpenExternalLinks(True)
    return label
