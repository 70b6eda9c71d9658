"""Adaptive Gauss-Legendre panels: one dimension, any viscosity, smooth and kinked data."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ....checks import require
from ....kernels.propagator import normaliser
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....problem.initials import Gridded
from ....problem.reach import dependence_box
from ....results import RESULTS
from ....typing import Array, Float, Function, Points, PRNGKeyArray, Scalar
from ...base import Evaluation
from ..minimiser import hopf_lax, lowest_entries, polished
from .base import AbstractRule, data, frozen, frozen_data, hulls, noise, over_blocks
from .kinks import find_kinks
from .worklist import Panels, judge, refine, unresolved

_UNIFORM = 64
_KINKS = 64
_QUERIES = 64
_STARTS = 4
"""Lowest local minima on the nodes that are polished at ε = 0."""
_LARGEST_TAIL = 1e-4
"""Of the integrand's Legendre coefficients: the quadrature error is its square for smooth data, its size at kinks."""


class Partition(eqx.Module):
    """Panels on the box that a time depends on, with breaks at the kinks; two of them, see `hulls`."""

    panels: Panels
    y: Float[Array, "2 n k"]
    g: Float[Array, "2 n k"]
    covered: Array


class GaussPanels(AbstractRule):
    """Gauss-Legendre panels of 16 nodes, split at the kinks of g and bisected for every query until they resolve it.

    Shared by all queries: 128 panels on the box that u(t, ·) depends on, with breaks at the (up to 64) kinks that a
    scan of 4096 cells finds (see `find_kinks`; the nodes of `Gridded` data are known). For each query the panels
    whose weight is below e^−42 are dropped, those where e^{−cE/ε} is a resolved polynomial are used as they are, and
    the others are bisected, up to 96 panels; a query that needs more takes the shared ones as they are. The error in u
    is about 1e-12 ε/c plus a few ulp of max|E|, uniformly in ε, down to ε = 0, where u is the Hopf-Lax minimum,
    polished by Newton's method; ∇u follows to about 1e-9 (ε = 0: round-off where it exists).
    `stats["unresolved"]` is the largest trailing Legendre coefficient of the integrand, relative to the integral (0
    where rounding hides it); above 1e-4 the result is `RESULTS.under_resolved`.
    Wells of g narrower than the box over 4096 can be missed.

    Cost about 2048 exponentials a query and 20 to 60 µs more where ε is small; memory O(64·2048).
    Source: Davis & Rabinowitz, *Methods of Numerical Integration*, 2nd ed., chapters 2.12 and 6 (adaptive panels).
    """

    def check(self, problem: Problem) -> None:
        """Refuse more than one dimension."""
        require(
            problem.dimension == 1,
            f"GaussPanels is for d = 1; the problem has d = {problem.dimension}. Use GaussHermite or Sampled.",
        )

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> None:
        """Nothing: the panels are made for each time, on the box that it depends on."""

    def evaluate(self, problem: Problem, t: Scalar, state: None, points: Points) -> Evaluation:
        """u and ∇u = Σ π_j (x − y_j)/(2ct) over the nodes of the panels."""
        c, epsilon = parameters(problem)
        low, high, which = hulls(problem, points)
        partition = jax.vmap(lambda a, b: _partition(problem, frozen(t), a, b))(low, high)

        def viscous() -> tuple[Array, Array, Array]:
            def block(x: Array, index: Array) -> tuple[Array, Array, Array]:
                return jax.vmap(lambda x, k: _integral(problem, t, jax.tree.map(lambda p: p[k], partition), x))(
                    x, index
                )

            return over_blocks(block, _QUERIES, points[:, 0], which)

        def inviscid() -> tuple[Array, Array, Array]:
            def block(x: Array, index: Array) -> tuple[Array, Array]:
                y, g = (frozen(a[index].reshape(x.shape[0], -1)) for a in (partition.y, partition.g))
                energies = jnp.pad(g + (x - y) ** 2 / (4 * c * t), ((0, 0), (1, 1)), constant_values=jnp.inf)
                local = (energies[:, 1:-1] <= energies[:, :-2]) & (energies[:, 1:-1] <= energies[:, 2:])
                best, _ = lowest_entries(energies[:, 1:-1], local, _STARTS)
                spacing = jnp.max(y[:, -1] - y[:, 0]) / y.shape[1]
                found, _ = polished(problem, t, x, jnp.take_along_axis(y, best, axis=1)[..., None])
                return hopf_lax(problem, t, x, found, spacing[None])

            u, slope = over_blocks(block, _QUERIES, points, which)
            return u, slope[:, 0], jnp.zeros_like(u)

        u, slope, tail = jax.lax.cond(epsilon > 0, viscous, inviscid)
        worst = jnp.max(tail)
        result = RESULTS.where(worst > _LARGEST_TAIL, RESULTS.under_resolved, RESULTS.successful)
        result = RESULTS.where(jnp.all(partition.covered[which]), result, RESULTS.unbounded)
        return Evaluation(u, slope[:, None], result, {"unresolved": worst})


def _partition(problem: Problem, t: Scalar, lower: Array, upper: Array) -> Partition:
    """128 panels for queries in [lower, upper] `[1]`, more for `Gridded` data."""
    c, epsilon = parameters(frozen(problem))
    lower, upper, covered = dependence_box(frozen_data(problem), lower, upper, c, epsilon, t)
    low, high = lower[0], upper[0]
    uniform = low + (high - low) * jnp.linspace(0, 1, _UNIFORM + 1)
    middles = (uniform[1:] + uniform[:-1]) / 2
    g = _on_line(frozen_data(problem))
    if isinstance(problem.initial, Gridded) and not problem.initial.periodic[0]:
        initial = frozen(problem.initial)
        n = initial.values.shape[0]
        breaks = initial.lower[0] + (initial.upper - initial.lower)[0] * jnp.linspace(0, 1, n)
    else:
        kinks, real = find_kinks(g, low, high, _KINKS)
        breaks = jnp.where(real, kinks, middles)
    edges = jnp.sort(jnp.concatenate([uniform, jnp.clip(breaks, low, high)]))
    panels = frozen(Panels(edges[:-1], edges[1:]))
    y = panels.nodes()
    return Partition(panels, y, _on_line(data(problem))(y.reshape(-1)).reshape(y.shape), covered)


def _on_line(g: Function) -> Function:
    return jax.vmap(lambda y: g(y[None]))


def _integral(problem: Problem, t: Scalar, partition: Partition, x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """(u, u', unresolved share) at x from the shared panels that are resolved, and from new ones for the others."""
    c, epsilon = parameters(problem)
    own, shared = jax.lax.stop_gradient(_search(problem, t, partition, x))
    positive = jnp.where(epsilon > 0, epsilon, 1.0)  # the branch not taken stays finite under vmap and grad
    y_own = own.nodes()
    y = jnp.concatenate([partition.y, y_own])
    g = jnp.concatenate([partition.g, _on_line(data(problem))(y_own.reshape(-1)).reshape(y_own.shape)])
    scores = -c / positive * (g + (x - y) ** 2 / (4 * c * t))
    logs = jnp.concatenate([jnp.where(shared[:, None], partition.panels.log_weights(), -jnp.inf), own.log_weights()])
    scores = jnp.where(jnp.isfinite(logs), scores + jnp.where(jnp.isfinite(logs), logs, 0.0), -jnp.inf)
    top = jax.lax.stop_gradient(jnp.max(scores))
    weights = jnp.exp(scores - top)
    total = jnp.sum(weights)
    slope = jnp.sum(weights * (x - y)) / total / (2 * c * t)
    u = -positive / c * (top + jnp.log(total)) + normaliser(1, c, epsilon, t)
    panels = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), partition.panels, own)
    tail = jax.lax.stop_gradient(unresolved(panels, scores, top, total))
    lowest = jnp.argmax(scores)
    size = jnp.abs(g.reshape(-1)[lowest]) + (x - y.reshape(-1)[lowest]) ** 2 / (4 * c * t)
    hidden = tail <= jax.lax.stop_gradient(noise(c / positive, size))
    return u, slope, jnp.where(hidden, 0.0, tail)


def _search(problem: Problem, t: Scalar, partition: Partition, x: Scalar) -> tuple[Panels, Array]:
    """New panels for one query, and which of the shared panels are taken as they are."""
    g = _on_line(frozen_data(problem))
    c, epsilon = parameters(problem)
    c, epsilon, t, x, partition = frozen((c, epsilon, t, x, partition))
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    energies = partition.g + (x - partition.y) ** 2 / (4 * c * t)
    inf = jnp.asarray(jnp.inf, x.dtype)
    verdict = judge(partition.panels, energies, kappa, inf, -inf)
    split = verdict.matters & ~verdict.resolved
    waiting = Panels(partition.panels.a, jnp.where(split, partition.panels.b, partition.panels.a))
    own, missing = refine(lambda y: g(y) + (x - y) ** 2 / (4 * c * t), waiting, kappa, verdict.lowest, verdict.log_mass)
    full = missing > 0  # the shared panels as they are cover all, if not so finely
    own = Panels(own.a, jnp.where(full, own.a, own.b))
    return own, jnp.where(full, verdict.matters, verdict.resolved)
