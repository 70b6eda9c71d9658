"""Tensor rules on a query's own box: what is right where Laplace's Gaussians are not."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....kernels.quadrature import tensor_nodes
from ....kernels.separable import periodic_kernel
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....typing import Array, Float, Point, Scalar
from ..minimiser import refine_minimum
from .base import data, frozen, frozen_data
from .modes import Modes, half_steps
from .spherical import SPHERES, around

_TRIM = {2: (17, 6), 3: (13, 10), 4: (11, 8), 5: (9, 7)}
"""Samples an axis and rounds in which the box is trimmed."""
_SEARCH = 60
"""Rounds of compass search for the minimiser: about two thirds of them halve the radius."""
_EDGES = {2: (0.0, 0.04, 0.2, 0.45, 0.7, 1.0), 3: (0.0, 0.1, 0.45, 1.0)}
"""Where panels end, from the minimiser (0) to either face (1): finer at the minimiser, where a kink may be."""
_ORDERS = {2: (9, 7), 3: (11, 8)}
_MARGIN = 1.35
"""Of a sphere's radius, over that of the box: the tail beyond is e^−33 where E grows as a square."""
_NODES = {2: (90, 70), 3: (66, 48), 4: (28, 21), 5: (16, 12)}
"""An axis, of either rule and of its check."""
_FINER = {2: (180, 126)}
"""The last resort, for waves of g of which many fit into the kernel's reach."""
_LEVEL = {2: 42.0, 3: 30.0, 4: 21.0, 5: 18.0}
"""−log of the largest relative weight outside the box."""

_Nodes = tuple[Array, Array, Array]
"""Nodes `[n, d]`, the logarithms of their weights times the kernel, and the average of x − y over their images."""


def on_local_box(
    problem: Problem,
    t: Scalar,
    x: Point,
    modes: Modes,
    grid: tuple[Array, Array, Array],
    least: Scalar,
    enough: Scalar,
) -> tuple[Scalar, Point, Scalar]:
    """(log ∫ e^{−cE/ε}, average of x − y, change between orders) at one query x `[d]`.

    By the trapezoid rule and, in two and three dimensions, where its own lower order differs from it by more than
    `enough`, by Gauss-Legendre panels, if theirs differs less, and in two by twice the nodes; in four and five first by
    a spherical-radial rule. The box holds {E <= min E + 42ε/c} (18ε/c in 5 dimensions): first the nodes of `grid` (y
    `[N, d]`, g `[N]`, spacing `[d]`) below that level and the query's modes, then trimmed by sampling. Panels are split
    at the lowest minimiser, so that kinks through it along the axes cost nothing. Along a periodic axis all periods are
    folded into one, the kernel into the sum of its images, so that a wide kernel costs nothing either. What falls short
    of `least`, a lower bound of the logarithm, has missed modes, however well its orders agree.
    """
    c, epsilon = parameters(problem)
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    g = jax.vmap(data(problem))
    kernel = _kernel(problem, t)
    lower, centre, upper, radius = frozen(_box(problem, t, x, modes, grid))
    d = len(x)

    def total(away: Array, scores: Array) -> tuple[Scalar, Point]:
        top = jax.lax.stop_gradient(jnp.max(scores))
        weights = jnp.exp(scores - top)
        whole = jnp.sum(weights)
        return top + jnp.log(whole), weights @ away / whole

    def one(nodes: _Nodes, check: _Nodes) -> tuple[Scalar, Point, Scalar]:
        energies = -kappa * g(jnp.concatenate([nodes[0], check[0]]))
        n = len(nodes[0])
        found, rough = total(nodes[2], nodes[1] + energies[:n]), total(check[2], check[1] + energies[n:])
        change = order_change(found, rough, jnp.sqrt(2 * epsilon * t))
        return *found, jnp.maximum(change, jax.lax.stop_gradient(least - found[0]))

    def better(best: tuple[Scalar, Point, Scalar], rules: Callable[[], Any]) -> tuple[Scalar, Point, Scalar]:
        """Of the best rule so far and the next one, which is only tried if it is needed."""
        new = jax.lax.cond(best[2] > enough, lambda: one(*rules()), lambda: best)
        return jax.tree.map(lambda a, b: jnp.where(new[2] < best[2], a, b), new, best)

    def sphere(check: int) -> _Nodes:
        y, logs = around(centre, frozen(modes.factor[0]), radius, check)
        away = (x - y).T
        return y, logs + jnp.sum(kernel(away)[0], axis=0), away.T

    def tensor(axes: Float[Array, "d n"], logs: Float[Array, "d n"]) -> _Nodes:
        """The kernel is a product, so it is computed on the axes."""
        log_kernel, away = kernel(x[:, None] - axes)
        total: Array = sum(jnp.meshgrid(*(logs + log_kernel), indexing="ij"), jnp.zeros((), x.dtype)).reshape(-1)
        return _tensor(axes), total, _tensor(away)

    best = jnp.zeros((), x.dtype), jnp.zeros_like(x), jnp.asarray(jnp.inf, x.dtype)
    if _spherical(problem):
        around_centre = better(best, lambda: (sphere(0), sphere(1)))
        # both its orders miss the same modes off the centre
        best = jax.tree.map(lambda a, b: jnp.where(modes.complete, a, b), around_centre, best)
    kinds = [partial(_uniform, _NODES[d])] + [_panels] * (d in _ORDERS)
    rules = (
        jax.tree.map(lambda *a: jnp.stack(a), *(kind(lower, centre, upper, check) for kind in kinds))
        for check in (0, 1)
    )
    best, _ = jax.lax.scan(
        lambda best, rule: (better(best, lambda: (tensor(*rule[0]), tensor(*rule[1]))), None), best, tuple(rules)
    )
    if d in _FINER:
        finer = partial(_uniform, _FINER[d], lower, centre, upper)
        best = better(best, lambda: (tensor(*finer(0)), tensor(*finer(1))))
    return best


def _spherical(problem: Problem) -> bool:
    return problem.dimension in SPHERES and not any(problem.domain.periodic)


def _kernel(problem: Problem, t: Scalar) -> Callable[[Array], tuple[Array, Array]]:
    """At offsets x − y `[d, n]`: the kernel's logarithm on each axis, and the average of x − y over the images of y."""
    epsilon = parameters(problem)[1]
    rate = 1 / (4 * jnp.where(epsilon > 0, epsilon, 1.0) * t)
    periodic, extent = problem.domain.periodic, problem.domain.extent

    def kernel(away: Array) -> tuple[Array, Array]:
        logs, slopes = zip(
            *(
                periodic_kernel(r, rate, extent[k]) if periodic[k] else (-rate * r**2, -2 * rate * r)
                for k, r in enumerate(away)
            ),
            strict=True,
        )
        return jnp.stack(logs), jnp.stack(slopes) / (-2 * rate)

    return kernel


def _tensor(axes: Float[Array, "d n"]) -> Array:
    """All combinations `[n^d, d]` of the entries of the axes."""
    return jnp.stack([a.reshape(-1) for a in jnp.meshgrid(*axes, indexing="ij")], axis=1)


def _uniform(
    nodes: tuple[int, int], lower: Point, centre: Point, upper: Point, check: int
) -> tuple[Float[Array, "d n"], Float[Array, "d n"]]:
    """Nodes and log-weights of the trapezoid rule on each axis."""
    n = nodes[check]
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
    kernel = _kernel(problem, t)
    positive = jnp.where(epsilon > 0, epsilon, 1.0)

    def energy(y: Array) -> Array:
        return g(y) - positive / c * jnp.sum(kernel((x - y).T)[0], axis=0)

    periodic, extent = jnp.asarray(problem.domain.periodic), problem.domain.extent
    start = modes.y[:1]
    if any(problem.domain.periodic):
        half = jnp.where(periodic, extent / 2, 0.0)
        tried = tensor_nodes(start[0] - half, start[0] + half, (samples,) * len(x))
        tried = jnp.concatenate([start, tried])
        start = tried[jnp.argmin(energy(tried))][None]
    centre = refine_minimum(energy, start, grid[2], rounds=_SEARCH)[0]
    floor = energy(centre[None])[0]
    places = modes.y - jnp.where(periodic, extent * jnp.round((modes.y - centre) / extent), 0.0)
    # where Newton's method stalled at a kink the minimiser lies lower
    active = (modes.active & (energy(places) <= floor + level))[:, None]

    def hull(y: Array, energies: Array, cell: Array, sure: Array) -> tuple[Point, Point]:
        """The box of the nodes below the level and, unless `sure`, of those near which E may fall to it."""
        dip = jnp.where(sure, 0.0, half_steps(energies, len(x)))
        inside = (energies - dip <= floor + level)[:, None]
        low = jnp.minimum(jnp.min(jnp.where(inside, y, centre), axis=0), _least(places, active, centre))
        high = jnp.maximum(jnp.max(jnp.where(inside, y, centre), axis=0), -_least(-places, active, -centre))
        margin = 0.8 * cell
        return low - margin, high + margin

    def trim(step: int, box: tuple[Point, Point]) -> tuple[Point, Point]:
        y = tensor_nodes(*box, (samples,) * len(x))
        low, high = hull(y, energy(y), (box[1] - box[0]) / (samples - 1), jnp.asarray(step == rounds - 1))
        return jnp.maximum(low, box[0]), jnp.minimum(high, box[1])

    y, values, cell = grid
    first = hull(y, values + jnp.sum((x - y) ** 2, axis=1) / (4 * c * t), cell, jnp.zeros((), bool))
    one_period = (jnp.where(periodic, centre + s * extent / 2, face) for s, face in zip((-1, 1), first, strict=True))
    lower, upper = jax.lax.fori_loop(0, rounds, trim, tuple(one_period))
    if not _spherical(problem):
        return lower, centre, upper, jnp.ones((), x.dtype)
    y = tensor_nodes(lower, upper, (samples,) * len(x))
    distance = jnp.linalg.norm((y - centre) @ modes.factor[0], axis=1)
    inside = energy(y) <= floor + level
    return lower, centre, upper, _MARGIN * jnp.max(jnp.where(inside, distance, 0.1 * jnp.max(distance)))


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
