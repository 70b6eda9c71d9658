"""Grid methods: the solution on the nodes of a uniform grid."""

from . import derivatives, fluxes, step_rules, steppers
from .finite_difference import FiniteDifference

__all__ = ["FiniteDifference", "derivatives", "fluxes", "step_rules", "steppers"]
