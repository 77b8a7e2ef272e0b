"""HA-GAN (Sun et al., IEEE JBHI 2022)."""

from ..layers import one_hot
from .architecture import SIZES, SLABS, Architecture, Normalisation
from .discriminator import Discriminator
from .encoders import Encoder, GroundEncoder
from .gan import HAGAN
from .generator import Generator
from .options import REFERENCE, HAGANOptions

__all__ = [
    "HAGAN",
    "REFERENCE",
    "SIZES",
    "SLABS",
    "Architecture",
    "Discriminator",
    "Encoder",
    "Generator",
    "GroundEncoder",
    "HAGANOptions",
    "Normalisation",
    "one_hot",
]
