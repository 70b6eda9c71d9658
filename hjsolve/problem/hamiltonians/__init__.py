"""Hamiltonians H(t, x, p); this export list is the registry."""

from . import inputs
from .affine import AbstractAffine, ControlAffine, Isaacs
from .base import AbstractConvexHamiltonian, AbstractHamiltonian
from .convex_separable import ConvexSeparable
from .custom import Custom
from .drift import WithDrift
from .eikonal import Eikonal
from .freezing import Freezing
from .linear import Linear
from .linear_quadratic import LQ
from .norm import Norm
from .polyhedral import Polyhedral
from .potential import WithPotential
from .power import Power
from .quadratic import Quadratic
from .separable import Separable
from .source import WithSource
from .systems import Air3D, DoubleIntegrator, Dubins

__all__ = [
    "LQ",
    "AbstractAffine",
    "AbstractConvexHamiltonian",
    "AbstractHamiltonian",
    "Air3D",
    "ControlAffine",
    "ConvexSeparable",
    "Custom",
    "DoubleIntegrator",
    "Dubins",
    "Eikonal",
    "Freezing",
    "Isaacs",
    "Linear",
    "Norm",
    "Polyhedral",
    "Power",
    "Quadratic",
    "Separable",
    "WithDrift",
    "WithPotential",
    "WithSource",
    "inputs",
]
