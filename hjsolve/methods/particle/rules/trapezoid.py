"""The trapezoid rule on one tensor grid shared by all queries: data as a cloud of atoms."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ....checks import counts, require
from ....kernels.propagator import normaliser, propagate
from ....kernels.quadrature import tensor_nodes, trapezoid_log_weights
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....problem.initials import Atoms
from ....problem.reach import dependence_box
from ....results import RESULTS
from ....typing import Array, Float, Points, PRNGKeyArray, Scalar
from ...base import Evaluation
from ..minimiser import hopf_lax, polished
from .base import AbstractRule, data, frozen_data

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


def given(atoms: Atoms) -> Cloud:
    """The cloud that given atoms are."""
    y = jnp.asarray(atoms.y)
    return Cloud(y, jnp.asarray(atoms.g), atoms.log_weights, jnp.zeros(atoms.dimension, y.dtype), jnp.asarray(True))


class Trapezoid(AbstractRule):
    """Trapezoid nodes on the box that u depends on up to the horizon, `nodes` per axis, shared by all queries.

    Default 4096, 256, 64, 24 for d = 1, 2, 3, 4. Spectrally accurate while the spacing h resolves the integrand, whose
    width is √(2εt/(1 + 2ct g'')), and O(h²) where it does not or where the data have kinks. The rule to take where a
    finite set of atoms is wanted (a network's units, a Gibbs measure), or large ε with many queries.
    `stats["coarsening_change"]` is the largest relative change of e^{−cu/ε} on leaving out every second node; above 2%
    the result is `RESULTS.under_resolved`. Points outside the domain are served by nodes on a larger box of their own.
    ε = 0: the minimum over the nodes, polished to round-off.
    Cost O(mN), memory O(m + N).
    Source: Trefethen & Weideman 2014, doi:10.1137/130932132.
    """

    nodes: int | tuple[int, ...] | None = eqx.field(static=True)

    def __init__(self, nodes: int | tuple[int, ...] | None = None):
        self.nodes = None if nodes is None else counts("nodes", nodes)
        least = 4 if self.nodes is None else min((self.nodes,) if isinstance(self.nodes, int) else self.nodes)
        require(least >= 4, f"`nodes` must be >= 4 per axis; got {nodes}. More nodes resolve smaller viscosities.")

    def check(self, problem: Problem) -> None:
        """Refuse more than 4 dimensions at default nodes."""
        d = problem.dimension
        require(
            self.nodes is not None or d in _DEFAULT_NODES,
            f"HopfCole by the trapezoid rule is for d <= 4; the problem has d = {d}. Give the initial data as Atoms "
            "(samples with their weights), set `nodes` yourself, or leave the rule to HopfCole().",
        )

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Cloud:
        """The nodes with the data on them."""
        return self._on_box(problem, jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper))

    def evaluate(self, problem: Problem, t: Scalar, state: Cloud, points: Points) -> Evaluation:
        """u and ∇u = (x − ȳ)/(2ct) at `points`."""
        lower, upper = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper)
        outside = jnp.any((points < lower) | (points > upper), axis=1)
        resolution = jnp.sqrt(2 * parameters(problem)[1] * t) / jnp.max(state.spacing)

        def served(far: Array) -> tuple[Array, Array, Array, Array]:
            """By the nodes of the domain, or by those of the larger box for the points outside."""
            mine = outside == far
            x = jnp.where(mine[:, None], points, (lower + upper) / 2)
            cloud = self.serving(problem, state, x)
            return *self._on_cloud(problem, t, cloud, x), cloud.covered

        def nothing() -> tuple[Array, Array, Array, Array]:
            return jnp.zeros_like(points[:, 0]), jnp.zeros_like(points), jnp.zeros_like(points[:, 0]), state.covered

        def group(far: Array) -> tuple[Array, Array, Array, Array]:
            found: tuple[Array, Array, Array, Array] = jax.lax.cond(
                jnp.any(outside == far), lambda: served(far), nothing
            )
            return found

        u, gradient, change, covered = jax.lax.map(group, jnp.array([False, True]))
        u, change = (jnp.where(outside, a[1], a[0]) for a in (u, change))
        gradient = jnp.where(outside[:, None], gradient[1], gradient[0])
        worst = jnp.max(change)
        result = RESULTS.where(worst > _LARGEST_CHANGE, RESULTS.under_resolved, RESULTS.successful)
        result = RESULTS.where(jnp.all(covered), result, RESULTS.unbounded)
        return Evaluation(u, gradient, result, {"resolution": resolution, "coarsening_change": worst})

    def serving(self, problem: Problem, state: Cloud, points: Points) -> Cloud:
        """The nodes that serve queries at `points`: `state`, or those on a larger box where points leave the domain."""
        lower, upper = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper)
        low, high = jnp.minimum(lower, jnp.min(points, axis=0)), jnp.maximum(upper, jnp.max(points, axis=0))
        leave = jnp.any((low < lower) | (high > upper))
        return jax.lax.cond(leave, lambda: self._on_box(problem, low, high), lambda: state)

    def _on_cloud(self, problem: Problem, t: Scalar, cloud: Cloud, x: Points) -> tuple[Array, Array, Array]:
        """(u, ∇u, coarsening change) at x."""
        c, epsilon = parameters(problem)
        d = problem.dimension
        u, gradient = propagate(x, cloud.y, cloud.g, cloud.log_weights, c, epsilon, t)

        def viscous() -> tuple[Array, Array, Array]:
            value = u + normaliser(d, c, epsilon, t)
            return value, gradient, self._coarsening(problem, cloud, x, t, value)

        def inviscid() -> tuple[Array, Array, Array]:
            found, _ = polished(problem, t, x, (x - 2 * c * t * gradient)[:, None, :])
            value, slope = hopf_lax(problem, t, x, found, cloud.spacing)
            return value, slope, jnp.zeros_like(value)

        return jax.lax.cond(epsilon > 0, viscous, inviscid)

    def _coarsening(self, problem: Problem, cloud: Cloud, x: Points, t: Scalar, u: Array) -> Float[Array, "m"]:
        """The relative change of w = e^{−cu/ε} when every second node of each axis is left out."""
        c, epsilon = parameters(problem)
        d = problem.dimension
        shape = self._shape(d)
        half = (slice(None, None, 2),) * d
        y = cloud.y.reshape(*shape, d)[half].reshape(-1, d)
        g, log_weights = (a.reshape(shape)[half].reshape(-1) for a in (cloud.g, cloud.log_weights))
        coarse, _ = propagate(x, y, g, log_weights + d * jnp.log(2.0), c, epsilon, t)
        positive = jnp.where(epsilon > 0, epsilon, 1.0)
        return jax.lax.stop_gradient(jnp.abs(coarse + normaliser(d, c, epsilon, t) - u) * c / positive)

    def _on_box(self, problem: Problem, lower: Array, upper: Array) -> Cloud:
        """Nodes on the box that u on [lower, upper] depends on."""
        c, epsilon = parameters(problem)
        lower, upper, covered = dependence_box(frozen_data(problem), lower, upper, c, epsilon, problem.horizon)
        shape = self._shape(problem.dimension)
        y = tensor_nodes(lower, upper, shape)
        spacing = (upper - lower) / (jnp.asarray(shape) - 1)
        return Cloud(y, jax.vmap(data(problem))(y), trapezoid_log_weights(lower, upper, shape), spacing, covered)

    def _shape(self, d: int) -> tuple[int, ...]:
        nodes = _DEFAULT_NODES[d] if self.nodes is None else self.nodes
        shape = (nodes,) * d if isinstance(nodes, int) else nodes
        require(len(shape) == d, f"`nodes` must have one entry per axis ({d}); got {len(shape)}.")
        return shape
