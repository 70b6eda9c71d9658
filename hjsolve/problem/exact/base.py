"""What an exact solution is: u(t, x), and the problem it solves."""

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, number, require
from ...typing import Array, ArrayLike, Point, Scalar
from ..base import Problem
from ..domains import AbstractDomain, Box
from ..initials import Custom


class AbstractExact(eqx.Module):
    """An exact solution of `u_t + H(t, x, ∇u) = ε Δu`, `u(0, ·) = g`, to test methods against.

    It is defined for t >= 0 and every x of R^d, whatever domain its `problem` is given, and can be differentiated in
    t, x and its parameters wherever u is smooth. At a kink the gradient lies between the one-sided ones.
    """

    @abc.abstractmethod
    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x) at one time and one point x `[d]`; vmap for batches. Raises `ValueError` for a wrong dimension."""

    @abc.abstractmethod
    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """The problem that this solves, on a default `domain` and up to a default `horizon` unless they are given."""


def as_place(t: ArrayLike, x: Point, d: int | None = None) -> tuple[Scalar, Point]:
    """t `[]` and x `[d]` in the floating-point precision of x; any dimension where `d` is None."""
    check_range("t", t, least=0.0, remedy="The solution starts at t = 0 and runs forward.")
    x = jnp.asarray(x)
    x = x.astype(jnp.result_type(x, float))
    require(x.ndim == 1, f"`x` must be one point of shape [d]; got shape {x.shape}. Use jax.vmap over points.")
    require(d is None or x.shape[0] == d, f"`x` must have {d} components; got {x.shape[0]}.")
    return jnp.asarray(t, dtype=x.dtype), x


def as_number(
    argument: str, value: ArrayLike, *, above: float | None = None, least: float | None = None, remedy: str
) -> Array:
    """A number (an array without axes) inside its range, as every exact solution takes its ε and c."""
    given = number(argument, value)
    check_range(argument, given, above=above, least=least, remedy=remedy)
    return given


def at_start(solution: AbstractExact) -> Custom:
    """The initial data x ↦ u(0, x)."""
    return Custom(eqx.Partial(solution, np.zeros(())))


def cube(d: int, half_width: float = 1.0) -> Box:
    """The box [−half_width, half_width]^d."""
    return Box(np.full(d, -half_width), np.full(d, half_width))
