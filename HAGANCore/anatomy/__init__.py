"""Lungs and bones, and their volumes in millilitres."""

from .doubts import Doubt
from .segment import BONES, LABELS, LEFT_LUNG, RIGHT_LUNG, Segmentation, segment

__all__ = ["BONES", "LABELS", "LEFT_LUNG", "RIGHT_LUNG", "Doubt", "Segmentation", "segment"]
