"""Exact solutions, to test methods against; this export list is the registry."""

from .absolute_value import AbsoluteValue
from .base import AbstractExact
from .characteristics import Characteristics, osher_shu_convex, osher_shu_nonconvex
from .deep_bsde import DeepBSDE
from .eikonal_discs import EikonalDiscs
from .harmonic import Harmonic
from .linear_quadratic import LinearQuadratic
from .multi_shock import MultiShock
from .periodic import Periodic
from .power_gradient import PowerGradient
from .quadratic import Quadratic
from .quadratic_gradient import QuadraticGradient

__all__ = [
    "AbsoluteValue",
    "AbstractExact",
    "Characteristics",
    "DeepBSDE",
    "EikonalDiscs",
    "Harmonic",
    "LinearQuadratic",
    "MultiShock",
    "Periodic",
    "PowerGradient",
    "Quadratic",
    "QuadraticGradient",
    "osher_shu_convex",
    "osher_shu_nonconvex",
]
