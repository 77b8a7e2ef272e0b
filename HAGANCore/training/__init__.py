"""Training: configuration, phases, losses, checkpoints, data, logging."""

from .config import PRESETS, TrainingConfig
from .trainer import Trainer

__all__ = ["PRESETS", "Trainer", "TrainingConfig"]
