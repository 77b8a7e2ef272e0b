"""Thorax phantoms: random chest CTs of patients who never lived, with the truth about each."""

from .parameters import SEVERITY_LIMITS, PhantomParameters, draw_parameters, severity
from .render import PROFILE, Phantom, make_phantom

__all__ = [
    "PROFILE",
    "SEVERITY_LIMITS",
    "Phantom",
    "PhantomParameters",
    "draw_parameters",
    "make_phantom",
    "severity",
]
