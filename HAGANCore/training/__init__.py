"""Training: the loop, its configuration, checkpoints, data order, log. No word of any GAN in it."""

from .config import PRESETS, TrainingConfig
from .trainer import Trainer

__all__ = ["PRESETS", "Trainer", "TrainingConfig"]
