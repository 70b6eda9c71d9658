"""What the correspondence between networks and Hamilton-Jacobi equations says."""

from . import costate, gibbs
from .dictionary import as_network, as_problem

__all__ = ["as_network", "as_problem", "costate", "gibbs"]
