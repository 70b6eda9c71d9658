"""What the correspondence between networks and Hamilton-Jacobi equations says."""

from . import costate, gibbs
from .dictionary import as_network, as_problem
from .exact_networks import sequence_network
from .measurement import MeasuredEquation, measure_equation

__all__ = ["MeasuredEquation", "as_network", "as_problem", "costate", "gibbs", "measure_equation", "sequence_network"]
