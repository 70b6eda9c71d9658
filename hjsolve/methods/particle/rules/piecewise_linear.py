"""Exact integration of piecewise-linear data in one dimension."""

import jax
import jax.numpy as jnp

from ....checks import require
from ....kernels.product import transform
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....problem.initials import Gridded
from ....results import RESULTS
from ....typing import Array, Float, Points, PRNGKeyArray, Scalar
from ...base import Evaluation
from .base import AbstractRule, frozen, over_blocks

_QUERIES = 256


class PiecewiseLinear(AbstractRule):
    """The closed integral of `Gridded` data of order 1 in one dimension: round-off for every ε >= 0.

    On each cell the integrand is a Gaussian cut at the nodes, whose mass is a difference of Gaussian tails in the log
    domain; ∇u = Σ π_j g'_j over the cells. ε = 0: the lowest of the cells' minima. Other data can be interpolated
    first, at nodes of the user's choice (`Gridded(values, lower, upper, order=1)`): the error is then that of the
    interpolation, O(Δx²), whatever ε. Cost O(mn) for n nodes, less where cells cannot matter.
    Source: Davis & Rabinowitz, *Methods of Numerical Integration*, 2nd ed., chapter 2.10.4 (product integration).
    """

    def check(self, problem: Problem) -> None:
        """Refuse anything but such data."""
        require(
            serves(problem),
            "PiecewiseLinear needs `initial` = Gridded(..., order=1) in one dimension on a Box, not periodic; got "
            f"{type(problem.initial).__name__} with d = {problem.dimension}. Interpolate the data, or use GaussPanels.",
        )

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> None:
        """Nothing: the data are their own nodes."""

    def evaluate(self, problem: Problem, t: Scalar, state: None, points: Points) -> Evaluation:
        """u and ∇u at `points`."""
        c, epsilon = parameters(problem)
        initial = problem.initial
        assert isinstance(initial, Gridded)
        y = _nodes(initial)
        x, g = points[:, 0], jnp.asarray(initial.values)

        def viscous() -> tuple[Array, Array]:
            positive = jnp.where(epsilon > 0, epsilon, 1.0)  # the branch not taken stays finite under vmap and grad
            v = (-c / positive * g)[:, None]
            found = transform(v, jnp.zeros((0, *v.shape), v.dtype), x, y, 1 / (4 * positive * t))
            return -positive / c * found.lse[:, 0], -positive / c * found.averages[-1, :, 0]

        def inviscid() -> tuple[Array, Array]:
            u, slope = over_blocks(lambda x: _lowest(x, y, g, c, t), _QUERIES, x)
            return u, slope

        u, slope = jax.lax.cond(epsilon > 0, viscous, inviscid)
        return Evaluation(u, slope[:, None], RESULTS.successful, {})


def serves(problem: Problem) -> bool:
    """Whether the data are piecewise linear on nodes that are known."""
    initial, domain = problem.initial, problem.domain
    return (
        problem.dimension == 1
        and isinstance(initial, Gridded)
        and initial.order == 1
        and not initial.periodic[0]
        and not domain.periodic[0]
    )


def _nodes(initial: Gridded) -> Float[Array, "n"]:
    lower, upper = jnp.asarray(initial.lower)[0], jnp.asarray(initial.upper)[0]
    n = initial.values.shape[0]
    return lower + (upper - lower) / (n - 1) * jnp.arange(n)


def _lowest(x: Array, y: Float[Array, "n"], g: Float[Array, "n"], c: Scalar, t: Scalar) -> tuple[Array, Array]:
    """(min_y E, its slope) over the cells and the two straight continuations, for queries x `[m]`."""
    slopes = jnp.diff(g) / jnp.diff(y)
    slopes = jnp.concatenate([slopes[:1], slopes, slopes[-1:]])
    start, value = jnp.concatenate([y[:1], y]), jnp.concatenate([g[:1], g])
    infinite = jnp.full(1, jnp.inf, y.dtype)
    low, high = jnp.concatenate([-infinite, y]), jnp.concatenate([y, infinite])
    place = jnp.clip(x[:, None] - 2 * c * t * slopes, low, high)
    energies = value + slopes * (place - start) + (x[:, None] - place) ** 2 / (4 * c * t)
    best = jnp.argmin(frozen(energies), axis=1)[:, None]
    foot = jax.lax.stop_gradient(jnp.take_along_axis(place, best, axis=1)[:, 0])
    u = value[best[:, 0]] + slopes[best[:, 0]] * (foot - start[best[:, 0]]) + (x - foot) ** 2 / (4 * c * t)
    return u, (x - foot) / (2 * c * t)
