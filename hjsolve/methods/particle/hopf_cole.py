"""The Hopf-Cole propagator: the exact solution for H = c|p|², from atoms or from quadrature of the data."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import require
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
from ...results import RESULTS
from ...typing import Array, Float, Function, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .minimiser import refine_minimum
from .reach import dependence_box

_LEAST_RESOLUTION = 1.0
"""Kernel width over spacing; at 1 the trapezoid rule's relative error on the kernel alone is 2e^(−2π²) = 5e-9."""
_DEFAULT_NODES = {1: 4096, 2: 256, 3: 64, 4: 24}


class Cloud(eqx.Module):
    """Atoms y `[N, d]` with energies g `[N]` and log ω `[N]`; `spacing` `[d]` of the quadrature (0 for given atoms)."""

    y: Points
    g: Float[Array, "N"]
    log_weights: Float[Array, "N"]
    spacing: Array


class HopfCole(AbstractRepresentation):
    """u(t,x) = −(ε/c) log Σ_j ω_j (4πεt)^{−d/2} exp(−(c/ε)(g_j + |x−y_j|²/(4ct))), exact for `H = c|p|²`.

    Given `Atoms` are used as they are and give the unnormalised u_N. For data that are a function, the atoms are the
    nodes of a trapezoid rule on the box that the solution depends on (`nodes` per axis; default 4096, 256, 64, 24 for
    d = 1, 2, 3, 4): spectrally accurate while the spacing h resolves the integrand, whose width is
    √(2εt/(1 + 2ct g'')), and O(h²) below that; `stats["resolution"]` is √(2εt)/h, and below 1 the result is
    `RESULTS.under_resolved`, with a warning. ε = 0 is the Hopf-Lax formula: the
    minimum over the nodes, refined to round-off.

    On a `Box` this is the Cauchy problem on R^d: the data are evaluated outside the box as far as the solution depends
    on them, and points outside it are served by a larger node box. On a torus the data are continued periodically.
    Cost O(mN), memory O(m + N).
    Source: Evans, *Partial Differential Equations*, 4.4.1.
    """

    nodes: int | tuple[int, ...] | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        counts = (self.nodes,) if isinstance(self.nodes, int) else self.nodes or (3,)
        require(
            all(isinstance(n, int) and n >= 3 for n in counts),
            f"`nodes` must be whole numbers >= 3 per axis; got {self.nodes}. More nodes resolve smaller viscosities.",
        )

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
            return Cloud(y, jnp.asarray(initial.g), initial.log_weights, jnp.zeros(d, y.dtype))
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
        resolution = jnp.sqrt(2 * epsilon * t) / jnp.max(state.spacing)
        coarse = (resolution < _LEAST_RESOLUTION) & (epsilon > 0) & positive
        result = RESULTS.where(coarse, RESULTS.under_resolved, RESULTS.successful)
        return Evaluation(u, gradient, result, {"resolution": resolution})

    def equation(self, problem: Problem, state: Cloud | None = None) -> Problem:
        """The problem itself; with Atoms, the source dε/(2ct) of the unnormalised u_N is added."""
        return solved_by_propagator(problem)

    def _quadrature(self, problem: Problem, lower: Array, upper: Array) -> Cloud:
        """Trapezoid nodes on the box that u on [lower, upper] depends on."""
        c, epsilon = parameters(problem)
        assert not isinstance(problem.initial, Atoms)
        g = on_domain(problem.initial, problem.domain)
        lower, upper = dependence_box(g, lower, upper, c, epsilon, problem.horizon)
        counts = self._counts(problem.dimension)
        y = tensor_nodes(lower, upper, counts)
        spacing = (upper - lower) / (jnp.asarray(counts) - 1)
        return Cloud(y, jax.vmap(g)(y), trapezoid_log_weights(lower, upper, counts), spacing)

    def _counts(self, d: int) -> tuple[int, ...]:
        nodes = _DEFAULT_NODES[d] if self.nodes is None else self.nodes
        counts = (nodes,) * d if isinstance(nodes, int) else nodes
        require(len(counts) == d, f"`nodes` must have one entry per axis ({d}); got {len(counts)}.")
        return counts


def _data(g: Function, points: Points) -> tuple[Array, Array]:
    value, pullback = jax.vjp(g, points)
    return value, pullback(jnp.ones_like(value))[0]
