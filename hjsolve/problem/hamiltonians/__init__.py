"""Hamiltonians H(t, x, p); this export list is the registry."""

from .base import AbstractConvexHamiltonian, AbstractHamiltonian
from .convex_separable import ConvexSeparable
from .custom import Custom
from .drift import WithDrift
from .eikonal import Eikonal
from .linear import Linear
from .norm import Norm
from .polyhedral import Polyhedral
from .potential import WithPotential
from .power import Power
from .quadratic import Quadratic
from .separable import Separable
from .source import WithSource

__all__ = [
    "AbstractConvexHamiltonian",
    "AbstractHamiltonian",
    "ConvexSeparable",
    "Custom",
    "Eikonal",
    "Linear",
    "Norm",
    "Polyhedral",
    "Power",
    "Quadratic",
    "Separable",
    "WithDrift",
    "WithPotential",
    "WithSource",
]
