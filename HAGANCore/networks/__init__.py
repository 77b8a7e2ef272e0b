"""The networks of HA-GAN (Sun et al., IEEE JBHI 2022), in torch alone."""

from .architecture import SIZES, SLABS, Architecture, Normalisation
from .discriminator import Discriminator
from .encoder import Encoder, GroundEncoder
from .generator import Generator, one_hot

__all__ = [
    "SIZES",
    "SLABS",
    "Architecture",
    "Discriminator",
    "Encoder",
    "Generator",
    "GroundEncoder",
    "Normalisation",
    "one_hot",
]
