"""The small model that tests of model files and of their documents are about."""

from __future__ import annotations

from HAGANCore.gans.hagan import Architecture
from HAGANCore.models.description import ModelDescription
from HAGANCore.preparation.profiles import PROFILES

SMALL = Architecture(
    size=32, latent=8, classes=2, generator_width=4, discriminator_width=64, ground_encoder_width=16
)
DESCRIPTION = ModelDescription(
    name="small",
    title="Kleines Modell für Prüfungen, 32³",
    summary="One\nand two lines.",
    architecture=SMALL,
    profile=PROFILES["thorax-ct-fov"],
    classes=("healthy", "ill"),
    directions=({"name": "lung volume", "unit": "mL", "r2": 0.9, "calibration": [1.0, 2.5]},),
    training={"iterations": 10, "cohort": {"kind": "phantoms", "count": 3}},
    licence="Apache-2.0",
    intended_use="tests",
    citation="none",
)
