"""Pictures by Slicer's own displayable managers, off-screen; see ``slicer_harness``."""

import sys
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
for _folder in (_TESTING, _TESTING.parent / "HAGANSlicer"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from slicer_harness.fixtures import *  # noqa: E402, F403  needs the folders above
