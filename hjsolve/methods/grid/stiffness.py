"""Before a run: whether its stepper can take the problem, and whether viscosity makes it take far too many steps."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import concrete, require
from ...problem import Problem
from ...problem.viscosities import Constant
from ...results import HJWarning
from ...typing import Scalar
from ..base import AbstractEvolution
from .diffusion import hindrance
from .mesh import Mesh
from .steppers import IMEX, AbstractExplicit, AbstractStepper

_MANY = 20
_SHORT = 1000
"""Steps of a run that is over before anybody minds."""


def check_stepper(problem: Problem, method: AbstractEvolution, mesh: Mesh, stepper: AbstractStepper) -> None:
    """Refuse a stepper that must split what cannot be split; warn where an explicit one takes 20 times the steps."""
    reason = hindrance(problem, mesh)
    name = type(stepper).__name__
    require(reason is None or not stepper.must_split, f"`stepper` {name} takes viscosity in by transforms. {reason}")
    if reason is not None or not isinstance(stepper, AbstractExplicit):
        return
    if any(concrete(leaf) is None for leaf in jax.tree.leaves(eqx.filter((problem, method), eqx.is_array_like))):
        return
    assert isinstance(problem.viscosity, Constant)
    rate = 4 * problem.viscosity.epsilon * jnp.sum(1 / mesh.spacing**2) / stepper.diffusive_limit
    viscous = concrete(rate * problem.horizon)
    if viscous is None or viscous < _SHORT:  # None under jit, where a function closes over a traced value
        return
    needed = concrete(_steps(problem, method))
    split = concrete(_steps(problem, eqx.tree_at(lambda m: m.stepper, method, IMEX())))
    if needed is None or split is None:  # a function in the problem closes over a traced value
        return
    if needed > max(_MANY * split, _SHORT):
        warnings.warn(
            f"FiniteDifference: {name} needs about {needed:.0f} steps, as Δt <= O(Δx²/ε), where a stepper that takes "
            f"viscosity in by transforms needs about {split:.0f}. Use stepper=hj.methods.grid.steppers.Auto().",
            HJWarning,
            stacklevel=4,
        )


@eqx.filter_jit
def _steps(problem: Problem, method: AbstractEvolution) -> Scalar:
    """How many steps reach the horizon, if all are as long as the first."""
    t = method.start_time(problem)
    return (problem.horizon - t) / method.stable_dt(problem, t, method.init(problem))
