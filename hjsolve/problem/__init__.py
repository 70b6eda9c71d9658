"""The problem: Hamiltonian, viscosity, initial data, domain; and the exact solutions that test every method."""

from . import boundaries, exact, hamiltonians, initials, viscosities
from .base import Problem
from .domains import AbstractDomain, Box, Torus
from .stationary import StationaryProblem, Target

__all__ = [
    "AbstractDomain",
    "Box",
    "Problem",
    "StationaryProblem",
    "Target",
    "Torus",
    "boundaries",
    "exact",
    "hamiltonians",
    "initials",
    "viscosities",
]
