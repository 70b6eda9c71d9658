"""Laplace's Gaussians: the local minimisers of the energy at each query, found from a shared grid of starts."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ....kernels.quadrature import tensor_nodes
from ....kernels.small import factorise
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....problem.reach import dependence_box
from ....typing import Array, Float, Points, Scalar
from ..minimiser import lowest_entries, polished
from .base import data, frozen

_GRID = {2: 49, 3: 21, 4: 9, 5: 7}
FROM_GRID = 6
FROM_TANGENTS = 6
KEPT = 8
_NEGLIGIBLE = 42.0
"""−log of the largest relative weight that may be left out: e^−42 = 6e-19."""
_SAME = 1.0
"""Two minima within this many standard deviations are one."""
_STIFFNESS = 0.02
"""A curvature below this share of the kernel's own is no Gaussian: the kernel's covariance stands in."""


class Starts(eqx.Module):
    """Grids `[2, N, d]` on the boxes that a time depends on (see `hulls`), with the data on them."""

    y: Float[Array, "2 N d"]
    g: Float[Array, "2 N"]
    slope: Float[Array, "2 N d"]
    spacing: Float[Array, "2 d"]
    covered: Array


class Modes(eqx.Module):
    """Gaussians at the 8 lowest minima `y` `[m, k, d]`, those under `active` `[m, k]` first, in order of `energy`.

    `factor` L `[m, k, d, d]`, L Lᵀ = D²E: the covariance is (ε/c)(L Lᵀ)⁻¹.
    """

    y: Float[Array, "m k d"]
    energy: Float[Array, "m k"]
    factor: Float[Array, "m k d d"]
    active: Array


def grid_of_starts(problem: Problem, t: Scalar, low: Array, high: Array) -> Starts:
    """The grids for queries in boxes from `low` to `high` `[2, d]` at time t."""
    c, epsilon = parameters(frozen(problem))
    g = data(frozen(problem))
    count = (_GRID[problem.dimension],) * problem.dimension

    def on_box(lower: Array, upper: Array) -> Starts:
        lower, upper, covered = dependence_box(g, lower, upper, c, epsilon, t)
        y = tensor_nodes(lower, upper, count)
        values, slopes = jax.vmap(jax.value_and_grad(g))(y)
        slopes = jnp.where(jnp.isfinite(slopes), slopes, 0.0)
        return Starts(y, values, slopes, (upper - lower) / (count[0] - 1), covered)

    starts: Starts = frozen(jax.vmap(on_box)(low, high))
    return starts


def find_starts(starts: Starts, x: Points, which: Array, reach: Scalar, width: Scalar) -> Float[Array, "m k d"]:
    """Twelve starts for each query; `reach` is 2ct, `width` the kernel's √(2εt).

    Six are the lowest local minima of E on the grid (the lowest node in place of missing ones). Six are minimisers of
    E with g replaced by its tangent at a node, x − 2ct∇g, those of lowest energy that lie apart: they hit the modes of
    data that are locally linear, however narrow.
    """

    def of(table: Array) -> Array:
        """Each query's own grid; a selection, which is never stored, in place of a gather."""
        return jnp.where(which.reshape((-1,) + (1,) * (table.ndim - 1)) > 0, table[1], table[0])

    away = sum((x[:, None, k] - of(starts.y[..., k])) ** 2 for k in range(x.shape[1]))
    energies = of(starts.g) + away / (2 * reach)
    index, found = lowest_entries(energies, _local_minima(energies, x.shape[1]), FROM_GRID)
    index = jnp.where(found, index, index[:, :1])
    from_grid = starts.y[which[:, None], index]
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

    _, from_tangents = jax.lax.scan(aim, bound, None, length=FROM_TANGENTS)
    return jnp.concatenate([from_grid, jnp.swapaxes(from_tangents, 0, 1)], axis=1)


def _local_minima(energies: Float[Array, "m N"], d: int) -> Array:
    """Which grid nodes lie no higher than their 3^d − 1 neighbours."""
    lowest = energies.reshape(-1, *(_GRID[d],) * d)
    for axis in range(1, d + 1):
        padded = jnp.pad(lowest, [(1, 1) if k == axis else (0, 0) for k in range(d + 1)], constant_values=jnp.inf)
        n = lowest.shape[axis]
        slices = [jax.lax.slice_in_dim(padded, k, k + n, axis=axis) for k in range(3)]
        lowest = jnp.minimum(jnp.minimum(slices[0], slices[1]), slices[2])
    return energies <= lowest.reshape(energies.shape)


def find_modes(problem: Problem, t: Scalar, x: Points, starts: Float[Array, "m k d"]) -> Modes:
    """Laplace's Gaussians at queries x `[m, d]`, by Newton's method from `starts`; minima found twice count once."""
    c, epsilon = parameters(frozen(problem))
    m, k, d = starts.shape
    scale = 1 / (4 * c * t)
    y, local = polished(frozen(problem), t, x, starts)
    identity = jnp.eye(d, dtype=x.dtype)
    _, stiff = factorise(local.hessian - 2 * scale * _STIFFNESS * identity)
    factor, _ = factorise(jnp.where(stiff[:, None, None], local.hessian, 2 * scale * identity))
    energy = local.value.reshape(m, k)
    order = jnp.argsort(energy, axis=1)
    y = jnp.take_along_axis(y, order[..., None], axis=1)
    energy = jnp.take_along_axis(energy, order, axis=1)
    factor = jnp.take_along_axis(factor.reshape(m, k, d, d), order[..., None, None], axis=1)
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    apart = kappa * squared_distance(factor, y[:, :, None, :] - y[:, None, :, :])  # [m, of l, to k]
    earlier = jnp.arange(k)[:, None] < jnp.arange(k)[None, :]
    repeated = jnp.any((apart < _SAME) & earlier, axis=1)
    active = ~repeated & (kappa * (energy - energy[:, :1]) <= _NEGLIGIBLE)
    first = jnp.argsort(~active, axis=1)[:, :KEPT]
    modes = Modes(y, energy, factor, active)
    return jax.tree.map(lambda a: jnp.take_along_axis(a, first.reshape(m, -1, *(1,) * (a.ndim - 2)), axis=1), modes)


def squared_distance(factor: Float[Array, "m k d d"], offset: Float[Array, "m k n d"]) -> Float[Array, "m k n"]:
    """|Lᵀδ|² of offsets δ."""
    d = offset.shape[-1]
    total = jnp.zeros(offset.shape[:-1], offset.dtype)
    for j in range(d):
        total = total + sum(factor[:, :, None, i, j] * offset[..., i] for i in range(j, d)) ** 2
    return total
