"""Gauss-Seidel sweeps over a grid in all 2^d orderings, a whole diagonal plane of nodes at a time.

In the ordering in which every index rises, a node depends on neighbours in the planes Σ i_m = l ∓ 1, ∓ 2, ... alone, so
that the nodes of one plane are updated together and the result is that of the node-by-node loop. Arrays are sheared
so that a plane is one contiguous row, `sheared[Σ i_m, i_2, ..., i_d] = u[i_1, ..., i_d]`; the price is that a fraction
1 − 1/d of the sheared array is padding. Source: Detrixhe, Gibou & Min 2013, doi:10.1016/j.jcp.2012.11.042.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..typing import Array, Values

Near = list[tuple[Values, ...]]
"""Per axis the values at offsets −width, ..., width: `near[m][width]` is the node itself."""


Update = Callable[[Near, Any, list[Array]], Values]
"""`update(near, data, flips)`: axis m = 1, ..., d − 1 is traversed, and `near` given, in reverse if `flips[m − 1]`."""


def sweep_all(
    update: Update,
    fill: Callable[[Values], Values],
    u: Values,
    data: Any,
    free: Array,
    width: int,
) -> Values:
    """`u` `[n_1, ..., n_d]` after one sweep in each of the 2^d orderings.

    `update(near, data, flips)` gives new values of a set of nodes from their neighbours along the axes and from `data`,
    whose leaves are numbers or arrays like u; it must act on each node by itself. Nodes that are not `free` keep their
    value. `fill(u)` pads u by `width` ghosts at both ends of every axis, anew before each pair of opposite orderings.
    """
    d = u.ndim

    def both_ways(orientation: Array, u: Values) -> Values:
        flips = [(orientation >> (m - 1)) & 1 == 1 for m in range(1, d)]

        def lay(a: Array) -> Array:
            return _shear(_flip(a, flips)) if jnp.ndim(a) else a

        padded = fill(u)
        planes = _march(update, lay(padded), jax.tree.map(lay, data), lay(free), flips, width)
        back = _flip(_unshear(planes, padded.shape[0]), flips)
        return back[(slice(width, -width),) * d]

    return jax.lax.fori_loop(0, 2 ** (d - 1), both_ways, u)


def neighbours(padded: Values, width: int) -> Near:
    """The neighbours of all nodes at once."""
    return [tuple(_window(padded, m, k, width) for k in range(-width, width + 1)) for m in range(padded.ndim)]


def turned(near: Near, flips: list[Array]) -> Near:
    """`near` in the order of rising indices, for updates that tell one side from the other."""
    backs = [
        tuple(jnp.where(flip, b, a) for a, b in zip(row, row[::-1], strict=True))
        for flip, row in zip(flips, near[1:], strict=True)
    ]
    return [near[0], *backs]


def _march(update: Update, planes: Values, data: Any, free: Array, flips: list[Array], width: int) -> Values:
    """Update every plane upwards, then downwards."""
    count, d = free.shape[0], planes.ndim

    def plane(step: Array, planes: Values) -> Values:
        index = jnp.where(step < count, step, 2 * count - 1 - step)
        around = jax.lax.dynamic_slice_in_dim(planes, index + (d - 1) * width, 2 * width + 1)
        near = [tuple(_window(around[width + k], m - 1, k, width) for k in range(-width, width + 1)) for m in range(d)]
        here = jax.tree.map(lambda a: _row(a, index) if jnp.ndim(a) else a, data)
        new = jnp.where(_row(free, index), update(near, here, flips), near[0][width])
        return jax.lax.dynamic_update_slice(planes, new[None], (index + d * width,) + (width,) * (d - 1))

    return jax.lax.fori_loop(0, 2 * count, plane, planes)


def _row(a: Array, index: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(a, index, keepdims=False)


def _window(padded: Values, axis: int, offset: int, width: int) -> Values:
    """The unpadded part of an array, moved by `offset` along `axis` (none for −1)."""
    for q in range(padded.ndim):
        start = width + (offset if q == axis else 0)
        padded = jax.lax.slice_in_dim(padded, start, start + padded.shape[q] - 2 * width, axis=q)
    return padded


def _flip(a: Array, flips: list[Array]) -> Array:
    for m, flip in enumerate(flips, start=1):
        a = jax.lax.cond(flip, lambda a, m=m: jnp.flip(a, m), lambda a: a, a)
    return a


def _shear(a: Array) -> Array:
    """Lines of axis 0 moved by the sum of their other indices: rows with spare room, read with a stride one shorter."""
    for m in range(1, a.ndim):
        rows = jnp.moveaxis(a, (m, 0), (-2, -1))
        *batch, count, length = rows.shape
        spare = jnp.pad(rows, [(0, 0)] * (a.ndim - 1) + [(0, count)])
        flat = spare.reshape(*batch, -1)[..., :-count]
        a = jnp.moveaxis(flat.reshape(*batch, count, length + count - 1), (-2, -1), (m, 0))
    return a


def _unshear(a: Array, length: int) -> Array:
    """The inverse of `_shear` for an array of `length` along axis 0."""
    for m in reversed(range(1, a.ndim)):
        rows = jnp.moveaxis(a, (m, 0), (-2, -1))
        *batch, count, top = rows.shape
        flat = jnp.pad(rows.reshape(*batch, -1), [(0, 0)] * (a.ndim - 2) + [(0, count)])
        a = jnp.moveaxis(flat.reshape(*batch, count, top + 1)[..., : top + 1 - count], (-2, -1), (m, 0))
    assert a.shape[0] == length
    return a
