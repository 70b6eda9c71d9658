"""Tensor-product Lagrange interpolation on uniform grids, centred where it can be and one-sided at faces."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float, Points, Values

_LARGEST_PATCH = 2**22
"""Gathered values at a time: 32 MB in float64."""


def interpolate(
    values: Values, lower: Array, spacing: Array, periodic: tuple[bool, ...], points: Points, *, order: int = 5
) -> Float[Array, "m ..."]:
    """Interpolate `values` `[n_1, ..., n_d, ...]` (d grid axes, then any others) at `points` `[m, d]`.

    `lower` `[d]` is the first node and `spacing` `[d]` the distance of nodes; degree `order` per axis (odd), so the
    error is O(Δx^{order+1}) where the data are smooth. Beyond the last node of a non-periodic axis the interpolant
    continues linearly from the face, with the interpolant's own slope there.
    """
    m = points.shape[0]
    block = max(1, _LARGEST_PATCH // ((order + 1) ** len(periodic) * max(1, math.prod(values.shape[len(periodic) :]))))
    at = partial(_at_points, values, lower, spacing, periodic, order)
    if m <= block:
        return at(points)
    padded = points[jnp.minimum(jnp.arange(-(-m // block) * block), m - 1)]
    result = jax.lax.map(at, padded.reshape(-1, block, points.shape[1]))
    return result.reshape(-1, *result.shape[2:])[:m]


def _at_points(
    values: Values, lower: Array, spacing: Array, periodic: tuple[bool, ...], order: int, points: Points
) -> Float[Array, "m ..."]:
    """One gather of the (order + 1)^d values around each point, then one contraction an axis."""
    d, m, width = len(periodic), points.shape[0], order + 1
    indices, weights = [], []
    for axis in range(d):
        n = values.shape[axis]
        position = (points[:, axis] - lower[axis]) / spacing[axis]
        if not periodic[axis]:
            inside = jnp.clip(position, 0.0, n - 1.0)
            first = jnp.clip(jnp.floor(inside) - order // 2, 0, n - width)
            local = _lagrange(inside - first, width) + (position - inside)[:, None] * _slope(inside - first, width)
            index = first.astype(int)[:, None] + np.arange(width)
        else:
            first = jnp.floor(position) - order // 2
            local = _lagrange(position - first, width)
            index = jnp.mod(first.astype(int)[:, None] + np.arange(width), n)
        indices.append(index.reshape((m,) + (1,) * axis + (width,) + (1,) * (d - 1 - axis)))
        weights.append(local)
    patch = values[tuple(indices)]
    for local in weights:
        patch = jnp.sum(local.reshape((m, width) + (1,) * (patch.ndim - 2)) * patch, axis=1)
    return patch


def _lagrange(s: Values, width: int) -> Float[Array, "m width"]:
    """The Lagrange basis on the nodes 0..width−1 at s `[m]`."""
    columns = []
    for k in range(width):
        others = [j for j in range(width) if j != k]
        product = jnp.ones_like(s)
        for j in others:
            product = product * (s - j)
        columns.append(product / float(np.prod([k - j for j in others])))
    return jnp.stack(columns, axis=1)


def _slope(s: Values, width: int) -> Float[Array, "m width"]:
    """Derivatives of the Lagrange basis at s `[m]`."""
    columns = []
    for k in range(width):
        others = [j for j in range(width) if j != k]
        total = jnp.zeros_like(s)
        for left_out in others:
            product = jnp.ones_like(s)
            for j in others:
                if j != left_out:
                    product = product * (s - j)
            total = total + product
        columns.append(total / float(np.prod([k - j for j in others])))
    return jnp.stack(columns, axis=1)
