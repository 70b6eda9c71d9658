"""Grid methods: the solution on the nodes of a grid."""

from . import derivatives, fluxes, step_rules, steppers, stretchings
from .finite_difference import FiniteDifference
from .policy_iteration import PolicyIteration
from .propagator import Propagator
from .semi_lagrangian import SemiLagrangian
from .spectral import Spectral
from .sweeping import FastSweeping

__all__ = [
    "FastSweeping",
    "FiniteDifference",
    "PolicyIteration",
    "Propagator",
    "SemiLagrangian",
    "Spectral",
    "derivatives",
    "fluxes",
    "step_rules",
    "steppers",
    "stretchings",
]
