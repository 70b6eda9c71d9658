"""Methods: grid, particle and network. They share `base` and never import each other."""

from . import grid, network, particle
from .base import AbstractEvolution, AbstractMethod, AbstractRepresentation, Evaluation

__all__ = ["AbstractEvolution", "AbstractMethod", "AbstractRepresentation", "Evaluation", "grid", "network", "particle"]
