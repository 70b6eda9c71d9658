"""Tensor rules on a query's own box: what is right where Laplace's Gaussians are not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....kernels.quadrature import tensor_nodes
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....typing import Array, Float, Point, Scalar
from ..minimiser import refine_minimum
from .base import data, frozen, frozen_data
from .modes import Modes
from .spherical import SPHERES, around

_TRIM = {2: (17, 6), 3: (13, 10), 4: (11, 8), 5: (9, 7)}
"""Samples an axis and rounds in which the box is trimmed."""
_SEARCH = 24
"""Rounds of compass search for the minimiser: a 2^−24th of the grid's spacing."""
_EDGES = {2: (0.0, 0.04, 0.2, 0.45, 0.7, 1.0), 3: (0.0, 0.1, 0.45, 1.0)}
"""Where panels end, from the minimiser (0) to either face (1): finer at the minimiser, where a kink may be."""
_ORDERS = {2: (9, 7), 3: (8, 6)}
_MARGIN = 1.35
"""Of a sphere's radius, over that of the box: the tail beyond is e^−33 where E grows as a square."""
_NODES = {2: (90, 70), 3: (48, 36), 4: (28, 21), 5: (16, 12)}
"""An axis, of either rule and of its check."""
_LEVEL = {2: 42.0, 3: 30.0, 4: 21.0, 5: 18.0}
"""−log of the largest relative weight outside the box."""


def on_local_box(
    problem: Problem, t: Scalar, x: Point, modes: Modes, grid: tuple[Array, Array, Array], enough: Scalar
) -> tuple[Scalar, Point, Scalar]:
    """(log ∫ e^{−cE/ε}, average of x − y, change between orders) at one query x `[d]`.

    By the trapezoid rule and, in two and three dimensions, where its own lower order differs from it by more than
    `enough`, by Gauss-Legendre panels, if theirs differs less; in four and five first by a spherical-radial rule. The
    box holds {E <= min E + 42ε/c} (18ε/c in 5 dimensions): first the nodes of `grid` (y `[N, d]`, g `[N]`, spacing
    `[d]`) below that level and the query's modes, then trimmed by sampling. Panels are split at the lowest minimiser,
    so that kinks through it along the axes cost nothing.
    """
    c, epsilon = parameters(problem)
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    g = jax.vmap(data(problem))
    lower, centre, upper, radius = frozen(_box(problem, t, x, modes, grid))
    d = len(x)

    def total(y: Array, log_weights: Array, scores: Array) -> tuple[Scalar, Point]:
        scores = scores + log_weights
        top = jax.lax.stop_gradient(jnp.max(scores))
        weights = jnp.exp(scores - top)
        whole = jnp.sum(weights)
        return top + jnp.log(whole), weights @ (x - y) / whole

    def one(y: Array, logs: Array, y_check: Array, logs_check: Array) -> tuple[Scalar, Point, Scalar]:
        every = jnp.concatenate([y, y_check])
        scores = -kappa * (g(every) + jnp.sum((x - every) ** 2, axis=1) / (4 * c * t))
        n = len(y)
        found, rough = total(y, logs, scores[:n]), total(y_check, logs_check, scores[n:])
        return *found, order_change(found, rough, jnp.sqrt(2 * epsilon * t))

    def better(best: tuple[Scalar, Point, Scalar], nodes: Any) -> tuple[Scalar, Point, Scalar]:
        """Of the best rule so far and the next one, which is only tried if it is needed."""
        new = jax.lax.cond(best[2] > enough, lambda: one(*nodes()), lambda: best)
        return jax.tree.map(lambda a, b: jnp.where(new[2] < best[2], a, b), new, best)

    best = jnp.zeros((), x.dtype), jnp.zeros_like(x), jnp.asarray(jnp.inf, x.dtype)
    if d in SPHERES:
        factor = frozen(modes.factor[0])
        best = better(best, lambda: (*around(centre, factor, radius, 0), *around(centre, factor, radius, 1)))
    kinds = [_uniform] + [_panels] * (d in _ORDERS)
    rules = (
        jax.tree.map(lambda *a: jnp.stack(a), *(kind(lower, centre, upper, check) for kind in kinds))
        for check in (0, 1)
    )
    best, _ = jax.lax.scan(
        lambda best, rule: (better(best, lambda: (*_tensor(*rule[0]), *_tensor(*rule[1]))), None), best, tuple(rules)
    )
    return best


def _tensor(axes: Float[Array, "d n"], logs: Float[Array, "d n"]) -> tuple[Float[Array, "N d"], Float[Array, "N"]]:
    """Tensor nodes and log-weights."""
    y = jnp.stack([a.reshape(-1) for a in jnp.meshgrid(*axes, indexing="ij")], axis=1)
    total: Array = sum(jnp.meshgrid(*logs, indexing="ij"), jnp.zeros((), axes.dtype)).reshape(-1)
    return y, total


def _uniform(lower: Point, centre: Point, upper: Point, check: int) -> tuple[Float[Array, "d n"], Float[Array, "d n"]]:
    """Nodes and log-weights of the trapezoid rule on each axis."""
    n = _NODES[len(lower)][check]
    spacing = (upper - lower)[:, None] / (n - 1)
    ends = np.where((np.arange(n) == 0) | (np.arange(n) == n - 1), np.log(0.5), 0.0)
    return lower[:, None] + spacing * jnp.arange(n), jnp.log(spacing) + ends.astype(spacing.dtype)


def order_change(fine: tuple[Array, Array], coarse: tuple[Array, Array], width: Scalar) -> Array:
    """The change between two orders of (log w, average of x − y): of w, or of the average in widths of the kernel."""
    (log_w, average), (rough, rough_average) = jax.lax.stop_gradient((fine, coarse))
    moved = jnp.max(jnp.abs(average - rough_average), axis=-1) / jnp.where(width > 0, width, 1.0)
    return jnp.maximum(jnp.abs(log_w - rough), jax.lax.stop_gradient(moved))


def _box(
    problem: Problem, t: Scalar, x: Point, modes: Modes, grid: tuple[Array, Array, Array]
) -> tuple[Point, Point, Point, Scalar]:
    """(lower, minimiser, upper) of what matters to the query, and its radius in units of the minimiser's Hessian."""
    problem, t, x = frozen((problem, t, x))
    c, epsilon = parameters(problem)
    g = jax.vmap(frozen_data(problem))
    level = _LEVEL[len(x)] * epsilon / c
    samples, rounds = _TRIM[len(x)]

    def energy(y: Array) -> Array:
        return g(y) + jnp.sum((x - y) ** 2, axis=1) / (4 * c * t)

    centre = refine_minimum(energy, modes.y[:1], grid[2], rounds=_SEARCH)[0]
    floor = energy(centre[None])[0]

    def hull(y: Array, energies: Array, cell: Array, sure: Array) -> tuple[Point, Point]:
        """The box of the nodes below the level and, unless `sure`, of those near which E may fall to it."""
        dip = jnp.where(sure, 0.0, _half_steps(energies, len(x)))
        inside = (energies - dip <= floor + level)[:, None]
        active = modes.active[:, None]
        low = jnp.minimum(jnp.min(jnp.where(inside, y, centre), axis=0), _least(modes.y, active, centre))
        high = jnp.maximum(jnp.max(jnp.where(inside, y, centre), axis=0), -_least(-modes.y, active, -centre))
        margin = jnp.where(sure, 0.8, 0.5) * cell
        return low - margin, high + margin

    def trim(step: int, box: tuple[Point, Point]) -> tuple[Point, Point]:
        y = tensor_nodes(*box, (samples,) * len(x))
        low, high = hull(y, energy(y), (box[1] - box[0]) / (samples - 1), jnp.asarray(step == rounds - 1))
        return jnp.maximum(low, box[0]), jnp.minimum(high, box[1])

    y, values, cell = grid
    first = hull(y, values + jnp.sum((x - y) ** 2, axis=1) / (4 * c * t), cell, jnp.zeros((), bool))
    lower, upper = jax.lax.fori_loop(0, rounds, trim, first)
    if len(x) not in SPHERES:
        return lower, centre, upper, jnp.ones((), x.dtype)
    y = tensor_nodes(lower, upper, (samples,) * len(x))
    distance = jnp.linalg.norm((y - centre) @ modes.factor[0], axis=1)
    inside = energy(y) <= floor + level
    return lower, centre, upper, _MARGIN * jnp.max(jnp.where(inside, distance, 0.1 * jnp.max(distance)))


def _half_steps(energies: Float[Array, "N"], d: int) -> Float[Array, "N"]:
    """Half the largest step of E to a neighbour, summed over the axes: how far E may fall within half a cell."""
    table = energies.reshape((round(energies.shape[0] ** (1 / d)),) * d)
    total = jnp.zeros_like(table)
    for axis in range(d):
        steps = jnp.abs(jnp.diff(table, axis=axis))
        ends = [(1, 1) if k == axis else (0, 0) for k in range(d)]
        wide = jnp.pad(steps, ends)
        n = table.shape[axis]
        before, after = (jax.lax.slice_in_dim(wide, k, k + n, axis=axis) for k in (0, 1))
        total = total + jnp.maximum(before, after) / 2
    return total.reshape(-1)


def _least(y: Array, active: Array, otherwise: Array) -> Array:
    return jnp.min(jnp.where(active, y, otherwise), axis=0)


def _panels(lower: Point, centre: Point, upper: Point, check: int) -> tuple[Float[Array, "d n"], Float[Array, "d n"]]:
    """Nodes and log-weights of Gauss-Legendre panels on both sides of `centre` on each axis."""
    edges = np.array(_EDGES[len(lower)])
    z, w = np.polynomial.legendre.leggauss(_ORDERS[len(lower)][check])
    half = np.diff(edges) / 2
    unit = ((edges[:-1] + half)[:, None] + half[:, None] * z).reshape(-1)  # in (0, 1)
    weight = (half[:, None] * w).reshape(-1)
    below, above = (centre - lower)[:, None], (upper - centre)[:, None]
    places = jnp.concatenate([centre[:, None] - below * unit, centre[:, None] + above * unit], axis=1)
    return places, jnp.log(jnp.concatenate([below * weight, above * weight], axis=1))
