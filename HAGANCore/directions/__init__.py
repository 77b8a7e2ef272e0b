"""Latent directions: fitted, disentangled, calibrated in the unit of what they move, kept with the model."""
