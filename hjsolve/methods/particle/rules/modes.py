"""Laplace's Gaussians: the local minimisers of the energy at each query, found from a shared grid of starts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ....kernels.quadrature import tensor_nodes
from ....kernels.small import factorise
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....problem.reach import dependence_box
from ....typing import Array, Float, Points, Scalar
from ..minimiser import lowest_dip, lowest_entries, polished
from .base import data, frozen

_GRID = {2: 49, 3: 21, 4: 9, 5: 7}
_A_ROUND = 6
_ROUNDS = 24
_KEPT = {2: 12, 3: 12, 4: 16, 5: 32}
_NEGLIGIBLE = 42.0
"""−log of the largest relative weight that may be left out: e^−42 = 6e-19."""
_SCANS = 48
"""Most rounds of Newton's method that start on lines through the modes."""
_ON_A_LINE = 257
"""Places on a line, the middle one a mode."""
_ROUNDING = 1e-12
"""A mode lower by less than this share of its energy is not lower."""
_PRIMES = (2.0, 3.0, 5.0, 7.0, 11.0)
_SAME = 1.0
"""Two minima within this many standard deviations are one."""
_STIFFNESS = 0.02
"""A curvature below this share of the kernel's own is no Gaussian: the kernel's covariance stands in."""


class Starts(eqx.Module):
    """Jittered grids `[2, N, d]` on the boxes that a time depends on (see `hulls`), with the data on them.

    `resolved` `[2]` is false where g has waves, higher than ε/c, that the grid does not follow.
    """

    y: Float[Array, "2 N d"]
    g: Float[Array, "2 N"]
    slope: Float[Array, "2 N d"]
    spacing: Float[Array, "2 d"]
    covered: Array
    resolved: Array


class Modes(eqx.Module):
    """Gaussians at the lowest minima `y` `[m, k, d]`, those under `active` `[m, k]` first, in order of `energy`.

    `factor` L `[m, k, d, d]`, L Lᵀ = D²E: the covariance is (ε/c)(L Lᵀ)⁻¹. `complete` `[m]` says whether these are all
    that matter, as far as the grid of starts shows them.
    """

    y: Float[Array, "m k d"]
    energy: Float[Array, "m k"]
    factor: Float[Array, "m k d d"]
    active: Array
    complete: Array


def grid_of_starts(problem: Problem, t: Scalar, low: Array, high: Array) -> Starts:
    """The grids for queries in boxes from `low` to `high` `[2, d]` at time t."""
    c, epsilon = parameters(frozen(problem))
    g = data(frozen(problem))
    count = (_GRID[problem.dimension],) * problem.dimension

    def on_box(lower: Array, upper: Array) -> Starts:
        lower, upper, covered = dependence_box(g, lower, upper, c, epsilon, t)
        spacing = (upper - lower) / (count[0] - 1)
        y = tensor_nodes(lower, upper, count) + _jitter(count[0] ** len(count), len(count)) * spacing
        values, slopes = jax.vmap(jax.value_and_grad(g))(y)
        slopes = jnp.where(jnp.isfinite(slopes), slopes, 0.0)
        unseen, size = _unseen(y, values, slopes, count)
        resolved = (unseen < 0.5 * size) | (unseen < len(y) * epsilon / c)
        return Starts(y, values, slopes, spacing, covered, resolved)

    starts: Starts = frozen(jax.vmap(on_box)(low, high))
    return starts


def _jitter(n: int, d: int) -> Float[Array, "n d"]:
    """Shifts within ±0.4, by multiples of irrational numbers: waves of g of the grid's period would be invisible."""
    return 0.8 * jnp.mod(jnp.arange(1, n + 1)[:, None] * jnp.sqrt(jnp.array(_PRIMES[:d])), 1.0) - 0.4


def _unseen(y: Points, g: Float[Array, "N"], slope: Points, count: tuple[int, ...]) -> tuple[Scalar, Scalar]:
    """Σ |Δg − mean slope · Δy| and Σ |Δg| over neighbours along the axes: the first is small where g is followed."""
    d = y.shape[1]
    table = jnp.concatenate([y, slope, g[:, None]], axis=1).reshape(*count, 2 * d + 1)
    unseen = size = jnp.zeros((), g.dtype)
    for axis in range(d):
        n = count[axis]
        here, there = (jax.lax.slice_in_dim(table, k, k + n - 1, axis=axis) for k in (0, 1))
        steps = there - here
        followed = jnp.sum((here + there)[..., d : 2 * d] / 2 * steps[..., :d], axis=-1)
        unseen, size = unseen + jnp.sum(jnp.abs(steps[..., -1] - followed)), size + jnp.sum(jnp.abs(steps[..., -1]))
    return unseen / d, size / d


def find_modes(problem: Problem, t: Scalar, starts: Starts, x: Points, which: Array) -> Modes:
    """Laplace's Gaussians at queries x `[m, d]`, each with its own grid (`which` `[m]`); minima found twice count once.

    Newton's method starts six at a time. First come the minimisers of E with g replaced by its tangent at a node,
    x − 2ct∇g, those of lowest energy that lie apart: they hit the modes of data that are locally linear, however
    narrow. Then come the local minima of E on the grid, lowest first, as long as one of them may lead to a minimum
    within 42ε/c of the lowest found: E is taken to fall by half its largest step to a neighbour on each axis. Where
    the grid is coarse, for d > 2, minima on the lines through the lowest one follow, until none is lower, and then
    those on lines through the others.
    """
    problem, t, x = frozen((problem, t, x))
    c, epsilon = parameters(problem)
    m, d = x.shape
    level = _NEGLIGIBLE * epsilon / c

    def of(table: Array) -> Array:
        """Each query's own grid; a selection, which is never stored, in place of a gather."""
        return jnp.where(which.reshape((-1,) + (1,) * (table.ndim - 1)) > 0, table[1], table[0])

    away = sum((x[:, None, k] - of(starts.y[..., k])) ** 2 for k in range(d))
    energies = of(starts.g) + away / (4 * c * t)
    tangents = _from_tangents(starts, of, x, which, 2 * c * t, jnp.sqrt(2 * epsilon * t))
    left = jnp.where(_local_minima(energies, d), energies, jnp.inf)
    dips = jax.vmap(partial(half_steps, d=d))(energies)

    def promising(left: Array, modes: Modes) -> Array:
        return left - dips <= modes.energy[:, :1] + level

    def on_grid(left: Array, modes: Modes, count: Array) -> Array:
        return (count < 2) | (jnp.any(promising(left, modes)) & (count < _ROUNDS))

    def unfinished(carry: tuple[Array, Modes, Array, Array]) -> Array:
        left, modes, count, k = carry
        through = (k < _KEPT[d]) & jnp.any(modes.active[:, jnp.minimum(k, _KEPT[d] - 1)]) & (d > 2)
        return on_grid(left, modes, count) | (through & (count < _ROUNDS + _SCANS))

    def search(carry: tuple[Array, Modes, Array, Array]) -> tuple[Array, Modes, Array, Array]:
        left, modes, count, k = carry

        def from_grid() -> tuple[Array, Array]:
            index, found = lowest_entries(left, promising(left, modes), _A_ROUND)
            index = jnp.where(found, index, index[:, :1])
            return starts.y[which[:, None], index], left.at[jnp.arange(m)[:, None], index].set(jnp.inf)

        def from_lines() -> tuple[Array, Array]:
            return _from_lines(problem, t, starts, x, which, modes.y[:, k]), left

        gridded = on_grid(left, modes, count)
        choice = jnp.where(count == 0, 0, jnp.where(gridded, 1, 2 if d > 2 else 1))
        sources = [lambda: (tangents, left), from_grid, *([from_lines] if d > 2 else [])]
        aims, rest = jax.lax.switch(choice, sources)
        new = _joined(problem, t, x, modes, aims)
        lower = jnp.any(new.energy[:, 0] < modes.energy[:, 0] - _ROUNDING * jnp.abs(modes.energy[:, 0]))
        return rest, new, count + 1, jnp.where(gridded | lower, 0, k + 1)

    zero = jnp.zeros((), int)
    left, modes, *_ = jax.lax.while_loop(unfinished, search, (left, _no_modes(m, d, x.dtype), zero, zero))
    modes = eqx.tree_at(
        lambda f: f.complete, modes, modes.complete & ~jnp.any(promising(left, modes), axis=1) & starts.resolved[which]
    )
    found: Modes = frozen(modes)
    return found


def _from_lines(
    problem: Problem, t: Scalar, starts: Starts, x: Points, which: Array, through: Points
) -> Float[Array, "m k d"]:
    """The lowest minimum of E, other than the middle, on each line `through` a point along an axis, across the grid."""
    c, _ = parameters(problem)
    g = jax.vmap(data(problem))
    m, d = x.shape
    low, high = jnp.min(starts.y, axis=1)[which], jnp.max(starts.y, axis=1)[which]
    share = jnp.linspace(-1.0, 1.0, _ON_A_LINE) ** 3  # dense near the middle, where the next well may be

    def along(axis: Array) -> Points:
        span = jnp.where(share < 0, (through - low)[:, axis, None], (high - through)[:, axis, None])
        moves = share * jnp.maximum(span, 0.0)
        places = through[:, None, :] + moves[:, :, None] * (jnp.arange(d) == axis)
        energy = g(places.reshape(-1, d)).reshape(m, -1) + jnp.sum((x[:, None] - places) ** 2, axis=2) / (4 * c * t)
        return jnp.take_along_axis(places, lowest_dip(energy)[:, None, None], axis=1)[:, 0]

    # the first one repeated: as many as the other starts
    return jnp.swapaxes(jax.lax.map(along, jnp.arange(_A_ROUND) % d), 0, 1)


def _no_modes(m: int, d: int, dtype: Any) -> Modes:
    k = _KEPT[d]
    factor = jnp.broadcast_to(jnp.eye(d, dtype=dtype), (m, k, d, d))
    return Modes(
        jnp.zeros((m, k, d), dtype),
        jnp.full((m, k), jnp.inf, dtype),
        factor,
        jnp.zeros((m, k), bool),
        jnp.ones(m, bool),
    )


def _from_tangents(
    starts: Starts, of: Callable[[Array], Array], x: Points, which: Array, reach: Scalar, width: Scalar
) -> Float[Array, "m k d"]:
    """Minimisers of E with g replaced by its tangent at a node; `reach` is 2ct, `width` the kernel's √(2εt)."""
    # the lowest energy of the tangent at a node, E(x − 2ct∇g): affine in x
    offset = starts.g - jnp.sum(starts.slope * (starts.y + reach / 2 * starts.slope), axis=2)
    bound = of(offset) + sum(of(starts.slope[..., k]) * x[:, None, k] for k in range(x.shape[1]))
    apart = jnp.maximum(0.1 * starts.spacing[which], 0.5 * width) / reach

    def aim(left: Array, _: None) -> tuple[Array, Array]:
        slope = starts.slope[which, jnp.argmin(left, axis=1)]
        near = jnp.ones(left.shape, bool)
        for k in range(x.shape[1]):
            near = near & (jnp.abs(of(starts.slope[..., k]) - slope[:, None, k]) <= apart[:, None, k])
        return jnp.where(near, jnp.inf, left), x - reach * slope

    _, aims = jax.lax.scan(aim, bound, None, length=_A_ROUND)
    return jnp.swapaxes(aims, 0, 1)


def _local_minima(energies: Float[Array, "m N"], d: int) -> Array:
    """Which grid nodes lie no higher than their 3^d − 1 neighbours."""
    lowest = energies.reshape(-1, *(_GRID[d],) * d)
    for axis in range(1, d + 1):
        padded = jnp.pad(lowest, [(1, 1) if k == axis else (0, 0) for k in range(d + 1)], constant_values=jnp.inf)
        n = lowest.shape[axis]
        slices = [jax.lax.slice_in_dim(padded, k, k + n, axis=axis) for k in range(3)]
        lowest = jnp.minimum(jnp.minimum(slices[0], slices[1]), slices[2])
    return energies <= lowest.reshape(energies.shape)


def half_steps(energies: Float[Array, "N"], d: int) -> Float[Array, "N"]:
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


def _joined(problem: Problem, t: Scalar, x: Points, modes: Modes, starts: Float[Array, "m k d"]) -> Modes:
    """The lowest of the modes so far and of those that Newton's method finds from `starts`."""
    c, epsilon = parameters(problem)
    m, new, d = starts.shape
    scale = 1 / (4 * c * t)
    y, local = polished(problem, t, x, starts)
    identity = jnp.eye(d, dtype=x.dtype)
    _, stiff = factorise(local.hessian - 2 * scale * _STIFFNESS * identity)
    factor, _ = factorise(jnp.where(stiff[:, None, None], local.hessian, 2 * scale * identity))
    y = jnp.concatenate([modes.y, y], axis=1)
    energy = jnp.concatenate([modes.energy, local.value.reshape(m, new)], axis=1)
    factor = jnp.concatenate([modes.factor, factor.reshape(m, new, d, d)], axis=1)

    def take(a: Array, order: Array) -> Array:
        return jnp.take_along_axis(a, order.reshape(m, -1, *(1,) * (a.ndim - 2)), axis=1)

    y, energy, factor = (take(a, jnp.argsort(energy, axis=1)) for a in (y, energy, factor))
    kappa = c / jnp.where(epsilon > 0, epsilon, jnp.sqrt(jnp.finfo(x.dtype).eps))
    apart = kappa * squared_distance(factor, y[:, :, None, :] - y[:, None, :, :])  # [m, of l, to k]
    k = energy.shape[1]
    earlier = jnp.arange(k)[:, None] < jnp.arange(k)[None, :]
    repeated = jnp.any((apart < _SAME) & earlier, axis=1)
    active = ~repeated & (kappa * (energy - energy[:, :1]) <= _NEGLIGIBLE)
    complete = modes.complete & ((jnp.sum(active, axis=1) <= _KEPT[d]) | (epsilon == 0))  # one lowest will do there
    first = jnp.argsort(~active, axis=1)[:, : _KEPT[d]]
    return Modes(take(y, first), take(energy, first), take(factor, first), take(active, first), complete)


def squared_distance(factor: Float[Array, "m k d d"], offset: Float[Array, "m k n d"]) -> Float[Array, "m k n"]:
    """|Lᵀδ|² of offsets δ."""
    d = offset.shape[-1]
    total = jnp.zeros(offset.shape[:-1], offset.dtype)
    for j in range(d):
        total = total + sum(factor[:, :, None, i, j] * offset[..., i] for i in range(j, d)) ** 2
    return total
