"""Lungs and bones, and their volumes in millilitres."""

from .segment import BONES, LABELS, LEFT_LUNG, RIGHT_LUNG, Segmentation, segment

__all__ = ["BONES", "LABELS", "LEFT_LUNG", "RIGHT_LUNG", "Segmentation", "segment"]
