"""Stand-in of slicer.parameterNodeWrapper: typed parameters kept in a vtkMRMLScriptedModuleNode."""

from .annotations import Choice, Decimals, Default, Maximum, Minimum, NotNone, SingleStep, WithinRange
from .packs import isParameterPack, parameterPack
from .wrapper import isParameterNodeWrapper, parameterNodeWrapper

SlicerParameterNamePropertyName = "SlicerParameterName"

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Maximum",
    "Minimum",
    "NotNone",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "WithinRange",
    "isParameterNodeWrapper",
    "isParameterPack",
    "parameterNodeWrapper",
    "parameterPack",
]
