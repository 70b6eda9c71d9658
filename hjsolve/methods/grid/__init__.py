"""Grid methods: the solution on the nodes of a uniform grid."""

from . import derivatives, fluxes, step_rules, steppers
from .finite_difference import FiniteDifference
from .policy_iteration import PolicyIteration
from .propagator import Propagator
from .sweeping import FastSweeping

__all__ = [
    "FastSweeping",
    "FiniteDifference",
    "PolicyIteration",
    "Propagator",
    "derivatives",
    "fluxes",
    "step_rules",
    "steppers",
]
