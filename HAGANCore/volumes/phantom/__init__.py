"""Thorax phantoms: random chest CTs of patients who never lived, with the truth about each."""

from .parameters import SEVERITY_LIMITS, PhantomParameters, draw_parameters, severity
from .render import FIELD_OF_VIEW, Phantom, cube, make_phantom

__all__ = [
    "FIELD_OF_VIEW",
    "SEVERITY_LIMITS",
    "Phantom",
    "PhantomParameters",
    "cube",
    "draw_parameters",
    "make_phantom",
    "severity",
]
