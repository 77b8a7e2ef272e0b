"""What the user has chosen: kept in the scene's parameter node, saved and restored with the scene."""

from typing import Annotated

from slicer import vtkMRMLDisplayableNode, vtkMRMLScalarVolumeNode, vtkMRMLTextNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper, parameterPack

from .parameters_more import ExploreParameters, TrainParameters

LARGEST_SEED = 2**31 - 1
"""The largest number that fits a Qt spin box."""


@parameterPack
class GenerateParameters:
    """The choices of the Generate panel."""

    count: Annotated[int, WithinRange(1, 100)] = 1
    seed: Annotated[int, WithinRange(0, LARGEST_SEED)] = 1
    lockSeed: bool = False
    className: str = ""
    truncation: Annotated[float, WithinRange(0.1, 1.0)] = 1.0
    preview: bool = False
    segment: bool = True


@parameterPack
class EncodeParameters:
    """The choices of the Encode panel."""

    refineSteps: Annotated[int, WithinRange(0, 500)] = 0
    className: str = ""
    segment: bool = True
    force: bool = False
    labelsAre: str = "hagan"
    blend: Annotated[float, WithinRange(0.0, 1.0)] = 0.5


@parameterNodeWrapper
class HAGANSlicerParameterNode:
    """All choices of the module. The node selectors stand at the top, where Slicer keeps node references."""

    modelName: str = "demo"
    encodeInput: vtkMRMLScalarVolumeNode
    encodeLabels: vtkMRMLDisplayableNode
    """A segmentation or a label map volume, as both descend from this class. Not connected to its selector by
    name: that would offer every displayable node."""
    exploreLatent: vtkMRMLTextNode
    generate: GenerateParameters
    encode: EncodeParameters
    explore: ExploreParameters
    train: TrainParameters
