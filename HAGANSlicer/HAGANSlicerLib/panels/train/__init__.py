"""The Train panel: a cohort, a run, and how it goes."""

from .panel import TrainPanel

__all__ = ["TrainPanel"]
