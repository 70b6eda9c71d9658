"""What the methods for ε = 0 share."""

import jax
import jax.numpy as jnp

from ...checks import concrete, require
from ...problem import Problem
from ...problem.viscosities import Constant
from ...typing import Array, Function, Scalar


def require_inviscid(problem: Problem, method: str) -> None:
    """Raise `ValueError` unless the viscosity is the constant 0 (or traced)."""
    viscosity = problem.viscosity
    known = concrete(viscosity.epsilon) if isinstance(viscosity, Constant) else None
    found = f"{float(known):g}" if known is not None and known.ndim == 0 else type(viscosity).__name__
    require(
        isinstance(viscosity, Constant) and (known is None or not known.any()),
        f"{method} needs `viscosity` = 0; got {found}. With viscosity use HopfCole for c|p|², else "
        "hj.methods.grid.FiniteDifference.",
    )


def poison(problem: Problem, u: Array) -> Array:
    """U, or NaN where a viscosity that was traced when it was checked turns out not to be 0."""
    assert isinstance(problem.viscosity, Constant)
    return jnp.where(jnp.asarray(problem.viscosity.epsilon) == 0, u, jnp.nan)


def default_tolerance(like: Array) -> Scalar:
    """ulp^(2/3) of the precision: 4e-11 in float64, 2e-5 in float32."""
    return jnp.asarray(jnp.finfo(like.dtype).eps ** (2 / 3), like.dtype)


def value_and_slope(g: Function) -> Function:
    """x ↦ g(x), ∇g(x)."""
    return jax.value_and_grad(g)
