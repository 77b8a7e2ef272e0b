"""Pictures by Slicer's own displayable managers, off-screen; see ``slicer_harness``."""

from slicer_harness.fixtures import *  # noqa: F403
