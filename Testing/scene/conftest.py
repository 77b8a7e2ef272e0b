"""Scene logic runs on Slicer's own MRML scene; see ``slicer_harness``."""

from slicer_harness.fixtures import *  # noqa: F403
