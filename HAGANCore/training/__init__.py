"""Training: configuration, phases, losses, checkpoints, data, logging."""
