"""The Hopf-Cole propagator: the exact solution for H = c|p|², from atoms or from quadrature of the data."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import counts, require
from ...kernels.propagator import normaliser, propagate
from ...kernels.quadrature import tensor_nodes, trapezoid_log_weights
from ...problem import Problem
from ...problem.hopf_cole import (
    check_periodic_data,
    on_domain,
    parameters,
    require_hopf_cole,
    solved_by_propagator,
)
from ...problem.initials import Atoms
from ...problem.reach import dependence_box
from ...results import RESULTS
from ...typing import Array, Float, Function, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .minimiser import refine_minimum

_LARGEST_CHANGE = 0.02
"""Of w on leaving out every second node: 2q for a Gaussian integrand, whose error with all nodes is 2q⁴, here 2e-8."""
_DEFAULT_NODES = {1: 4096, 2: 256, 3: 64, 4: 24}


class Cloud(eqx.Module):
    """Atoms y `[N, d]` with energies g `[N]` and log ω `[N]`; `spacing` `[d]` of the quadrature (0 for given atoms).

    `covered` says whether the nodes reach as far as the data matter.
    """

    y: Points
    g: Float[Array, "N"]
    log_weights: Float[Array, "N"]
    spacing: Array
    covered: Array


class HopfCole(AbstractRepresentation):
    """u(t,x) = −(ε/c) log Σ_j ω_j (4πεt)^{−d/2} exp(−(c/ε)(g_j + |x−y_j|²/(4ct))), exact for `H = c|p|²`.

    Given `Atoms` are used as they are and give the unnormalised u_N. For data that are a function, the atoms are the
    nodes of a trapezoid rule on the box that the solution depends on (`nodes` per axis; default 4096, 256, 64, 24 for
    d = 1, 2, 3, 4): spectrally accurate while the spacing h resolves the integrand, whose width is
    √(2εt/(1 + 2ct g'')), and O(h²) where it does not or where the data have kinks. `stats["coarsening_change"]` is
    the relative change of e^{−cu/ε} on leaving out every second node; above 2% the result is `RESULTS.under_resolved`,
    with a warning. ε = 0 is the Hopf-Lax formula: the minimum over the nodes, refined to round-off in u (its gradient
    to the square root of that).

    On a `Box` this is the Cauchy problem on R^d: the data are evaluated outside the box as far as the solution depends
    on them, and points outside it are served by a larger node box (coarser, and for every point of that call). On a
    torus the data are continued periodically.
    Cost O(mN), memory O(m + N).
    Source: Evans, *Partial Differential Equations*, 4.4.1.
    """

    nodes: int | tuple[int, ...] | None = eqx.field(static=True)

    def __init__(self, nodes: int | tuple[int, ...] | None = None):
        self.nodes = None if nodes is None else counts("nodes", nodes)
        least = 4 if self.nodes is None else min((self.nodes,) if isinstance(self.nodes, int) else self.nodes)
        require(least >= 4, f"`nodes` must be >= 4 per axis; got {nodes}. More nodes resolve smaller viscosities.")

    def check(self, problem: Problem) -> None:
        """Refuse what is not `c|p|²` with constant viscosity, and data that a torus or quadrature cannot carry."""
        require_hopf_cole(problem, "HopfCole", "Use hj.methods.grid.FiniteDifference.")
        d = problem.dimension
        if isinstance(problem.initial, Atoms):
            require(
                not any(problem.domain.periodic),
                "`domain` must not be periodic for Atoms, which live on R^d. Give a Box, or a function as data.",
            )
            return
        require(
            self.nodes is not None or d in _DEFAULT_NODES,
            f"HopfCole by quadrature is for d <= 4; the problem has d = {d}. Give the initial data as Atoms (samples "
            "with their weights), or set `nodes` yourself.",
        )
        check_periodic_data(problem, "HopfCole")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Cloud:
        """The atoms: those given, or the quadrature nodes with the data on them."""
        initial, d = problem.initial, problem.dimension
        if isinstance(initial, Atoms):
            y = jnp.asarray(initial.y)
            return Cloud(y, jnp.asarray(initial.g), initial.log_weights, jnp.zeros(d, y.dtype), jnp.asarray(True))
        return self._quadrature(problem, jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper))

    def serving(self, problem: Problem, state: Cloud, points: Points) -> Cloud:
        """The atoms that serve queries at `points`: `state`, or nodes on a larger box where points leave the domain."""
        if isinstance(problem.initial, Atoms):
            return state
        lower, upper = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper)
        low, high = jnp.minimum(lower, jnp.min(points, axis=0)), jnp.maximum(upper, jnp.max(points, axis=0))
        leave = jnp.any((low < lower) | (high > upper))
        return jax.lax.cond(leave, lambda: self._quadrature(problem, low, high), lambda: state)

    def evaluate(
        self, problem: Problem, t: Scalar, state: Cloud, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u = (x − ȳ)/(2ct) at `points`; at t = 0 the data themselves (+inf for Atoms, which are singular)."""
        assert points is not None, "HopfCole has no nodes; solve() refuses points=None"
        c, epsilon = parameters(problem)
        d = problem.dimension
        points = problem.domain.wrap(points)  # the nodes serve queries inside one period
        positive = t > 0
        time = jnp.where(positive, t, 1.0)
        state = self.serving(problem, state, points)
        u, gradient = propagate(points, state.y, state.g, state.log_weights, c, epsilon, time)
        if isinstance(problem.initial, Atoms):
            return Evaluation(jnp.where(positive, u, jnp.inf), gradient, RESULTS.successful, {})
        g = jax.vmap(on_domain(problem.initial, problem.domain))

        def polished() -> tuple[Array, Array]:
            def energy(y: Points) -> Array:
                return g(y) + jnp.sum((points - y) ** 2, axis=1) / (4 * c * time)

            y = refine_minimum(energy, points - 2 * c * time * gradient, state.spacing)
            return energy(y), (points - y) / (2 * c * time)

        u, gradient = jax.lax.cond(epsilon > 0, lambda: (u + normaliser(d, c, epsilon, time), gradient), polished)
        value, slope = _data(g, points)
        u, gradient = jnp.where(positive, u, value), jnp.where(positive, gradient, slope)
        change = jax.lax.cond(epsilon > 0, lambda: self._coarsening(problem, state, points, time, u), lambda: 0 * time)
        change = jnp.where(positive, change, 0.0)
        result = RESULTS.where(change > _LARGEST_CHANGE, RESULTS.under_resolved, RESULTS.successful)
        result = RESULTS.where(state.covered, result, RESULTS.unbounded)
        resolution = jnp.sqrt(2 * epsilon * t) / jnp.max(state.spacing)
        return Evaluation(u, gradient, result, {"resolution": resolution, "coarsening_change": change})

    def equation(self, problem: Problem, state: Cloud | None = None) -> Problem:
        """The problem itself; with Atoms, the source dε/(2ct) of the unnormalised u_N is added."""
        return solved_by_propagator(problem)

    def _coarsening(self, problem: Problem, state: Cloud, points: Points, t: Scalar, u: Array) -> Scalar:
        """The largest relative change of w = e^{−cu/ε} when every second node of each axis is left out."""
        c, epsilon = parameters(problem)
        d = problem.dimension
        shape = self._shape(d)
        half = (slice(None, None, 2),) * d
        y = state.y.reshape(*shape, d)[half].reshape(-1, d)
        g, log_weights = (a.reshape(shape)[half].reshape(-1) for a in (state.g, state.log_weights))
        coarse, _ = propagate(points, y, g, log_weights + d * jnp.log(2.0), c, epsilon, t)
        return jnp.max(jnp.abs(coarse + normaliser(d, c, epsilon, t) - u)) * c / epsilon

    def _quadrature(self, problem: Problem, lower: Array, upper: Array) -> Cloud:
        """Trapezoid nodes on the box that u on [lower, upper] depends on."""
        c, epsilon = parameters(problem)
        assert not isinstance(problem.initial, Atoms)
        g = on_domain(problem.initial, problem.domain)
        lower, upper, covered = dependence_box(g, lower, upper, c, epsilon, problem.horizon)
        shape = self._shape(problem.dimension)
        y = tensor_nodes(lower, upper, shape)
        spacing = (upper - lower) / (jnp.asarray(shape) - 1)
        return Cloud(y, jax.vmap(g)(y), trapezoid_log_weights(lower, upper, shape), spacing, covered)

    def _shape(self, d: int) -> tuple[int, ...]:
        nodes = _DEFAULT_NODES[d] if self.nodes is None else self.nodes
        shape = (nodes,) * d if isinstance(nodes, int) else nodes
        require(len(shape) == d, f"`nodes` must have one entry per axis ({d}); got {len(shape)}.")
        return shape


def _data(g: Function, points: Points) -> tuple[Array, Array]:
    value, pullback = jax.vjp(g, points)
    return value, pullback(jnp.ones_like(value))[0]
