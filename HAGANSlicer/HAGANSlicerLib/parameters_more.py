"""The choices of the Explore and Train panels, part of the module's parameter node."""

from typing import Annotated

from slicer.parameterNodeWrapper import Choice, WithinRange, parameterPack

from HAGANCore.preparation.profiles import PROFILES

SIZES = [32, 64, 128, 256, 512]
"""Edges of the prepared volumes that networks can be trained on."""
PRESETS = ["default", "reference"]
"""Names of HAGANCore's training presets; said here again because reading them there needs torch."""
FORMATS = {"NRRD": ".nrrd", "NIfTI": ".nii.gz"}
"""File formats of an export, and their suffixes."""


@parameterPack
class ExploreParameters:
    """The choices of the Explore panel."""

    previewWhileDragging: bool = True
    exactOnRelease: bool = True
    amounts: str = ""
    """Where the sliders stand: a JSON object of direction and amount; without those at 0."""
    recordCount: Annotated[int, WithinRange(2, 101)] = 5
    exportFolder: str = ""
    keepNames: bool = False
    exportFormat: Annotated[str, Choice(list(FORMATS))] = "NRRD"


@parameterPack
class TrainParameters:
    """The choices of the Train panel. Folders are texts: a Path cannot be empty."""

    cohortFolder: str = ""
    scanFolder: str = ""
    profile: Annotated[str, Choice(list(PROFILES))] = "thorax-ct"
    size: Annotated[int, Choice(SIZES)] = 64
    runFolder: str = ""
    preset: Annotated[str, Choice(PRESETS)] = "default"
    iterations: Annotated[int, WithinRange(1, 10_000_000)] = 80_000
    batch: Annotated[int, WithinRange(1, 1024)] = 4
    settings: str = ""
    """Other fields of the training's configuration, as ``field=value`` separated by spaces."""
