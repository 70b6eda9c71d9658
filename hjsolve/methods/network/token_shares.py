"""Whether a sum over tokens stands for an integral: how many count on an axis, and how much lies beyond the last."""

import jax
import jax.numpy as jnp
import numpy as np

from ...checks import concrete
from ...typing import Array, Float

MOST_OUTSIDE = 1e-3
"""The share of the sum over tokens that may lie beyond them."""


def lattice_of(places: Array) -> tuple[int, ...] | None:
    """The nodes an axis of places `[m, d]` that are a tensor grid, last axis fastest; None where they are not."""
    known = concrete(places)
    if known is None:
        return None
    axes = [np.unique(column) for column in known.T]
    shape = tuple(len(axis) for axis in axes)
    if np.prod(shape) != len(known):
        return None
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(known.shape)
    return shape if np.array_equal(nodes, known) else None


def by_axis(
    shares: Float[Array, "heads N"], images: tuple[int, ...], lattice: tuple[int, ...]
) -> list[Float[Array, "heads n"]]:
    """What falls to each coordinate of every axis, in order of place."""
    d = len(lattice)
    table = shares.reshape(len(shares), *(2 * n + 1 for n in images), *lattice)
    others = [tuple(1 + j for j in range(2 * d) if j % d != k) for k in range(d)]
    return [table.sum(other).reshape(len(shares), -1) for other in others]


def effective(shares: Float[Array, "heads n"]) -> Float[Array, "heads"]:
    """1/Σπ²: of a normal density on nodes h apart, 2√π times its deviation over h."""
    return 1 / jnp.sum(shares**2, axis=1)


def outside(shares: Float[Array, "heads n"]) -> Float[Array, "heads"]:
    """What would follow the last shares at both ends if it fell as they do; at most 1, and n of the last."""
    n = shares.shape[1]
    if n < 2:
        return jnp.ones(len(shares), shares.dtype)
    total = jnp.zeros(len(shares), shares.dtype)
    for last, before in ((shares[:, -1], shares[:, -2]), (shares[:, 0], shares[:, 1])):
        falls = last < before
        ratio = jnp.where(falls, last / jnp.where(falls, before, 1.0), 1.0)
        total = total + last * jnp.minimum(ratio / jnp.maximum(1 - ratio, 1 / n), n)
    return jnp.minimum(total, 1.0)


def outside_cloud(shares: Float[Array, "N"], places: Float[Array, "N d"]) -> Array:
    """Of shares at places that are no grid: what a normal density of their mean and spread has beyond; at most 1."""
    mean = shares @ places
    spread = jnp.sqrt(2 * shares @ (places - mean) ** 2)
    ends = jnp.stack([jnp.max(places, axis=0) - mean, mean - jnp.min(places, axis=0)])
    tails = jax.scipy.special.erfc(ends / jnp.maximum(spread, jnp.finfo(spread.dtype).tiny)) / 2
    return jnp.minimum(jnp.sum(tails), 1.0)
