"""Hamiltonians H(t, x, p); this export list is the registry."""

from .base import AbstractConvexHamiltonian, AbstractHamiltonian
from .custom import Custom
from .drift import WithDrift
from .eikonal import Eikonal
from .linear import Linear
from .potential import WithPotential
from .power import Power
from .quadratic import Quadratic
from .separable import Separable
from .source import WithSource

__all__ = [
    "AbstractConvexHamiltonian",
    "AbstractHamiltonian",
    "Custom",
    "Eikonal",
    "Linear",
    "Power",
    "Quadratic",
    "Separable",
    "WithDrift",
    "WithPotential",
    "WithSource",
]
