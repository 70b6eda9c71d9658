"""Where the searches of particle methods begin, and how many run at once."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Points, PRNGKeyArray

_EVEN_DIMENSIONS = 6
_ROUNDS = 2
_LANES = 12800
"""Numbers per array that one block of searches carries: enough to fill vector units, few enough to stay in cache."""
_T = TypeVar("_T")


def spread(key: PRNGKeyArray, count: int, n: int) -> Array:
    """`[count, n]` points of [−1, 1]^n: an even (Kronecker) sequence with a random shift for n <= 6, else uniform.

    Source: Roberts 2018, the sequence of the powers of the root of x^{n+1} = x + 1.
    """
    if n > _EVEN_DIMENSIONS:
        return jax.random.uniform(key, (count, n), minval=-1.0, maxval=1.0)
    root = max(np.roots([1.0, *([0.0] * (n - 1)), -1.0, -1.0]).real)
    steps = (np.arange(1, count + 1)[:, None] * root ** -np.arange(1.0, n + 1)) % 1.0
    return 2 * jnp.mod(steps + jax.random.uniform(key, (n,)), 1.0) - 1


def sampled_reach(
    displacement: Callable[[Points], Points], lower: Array, upper: Array, fractions: Array
) -> tuple[Array, Array]:
    """A box around [lower, upper] from which particles can come, given how far they are displaced `[n, d] -> [n, d]`.

    The box is widened by the largest displacement per axis among samples inside it, twice. Returned: its bounds.
    """

    def widen(_: int, box: tuple[Array, Array]) -> tuple[Array, Array]:
        moved = displacement(in_box(fractions, *box))
        size = jnp.max(jnp.where(jnp.isfinite(moved), jnp.abs(moved), 0.0), axis=0)
        return lower - size, upper + size

    return jax.lax.fori_loop(0, _ROUNDS, widen, (lower, upper))


def in_box(fractions: Array, low: Array, high: Array) -> Points:
    """Relative places `[n, d]` of [−1, 1]^d brought to the box."""
    return (low + high) / 2 + fractions * (high - low) / 2


def map_blocks(function: Callable[[Points], _T], points: Points, lanes: int) -> _T:
    """`function` of blocks of `points` `[m, d]`, one after the other, its outputs joined to `[m, ...]`.

    A block holds about 12800 numbers when each point stands for `lanes` searches: memory does not grow with m.
    """
    m, d = points.shape
    block = min(m, max(1, max(64, _LANES // d) // lanes))
    blocks = -(-m // block)
    padded = jnp.concatenate([points, jnp.broadcast_to(points[-1], (blocks * block - m, d))])
    outputs = jax.lax.map(function, padded.reshape(blocks, block, d))
    return jax.tree.map(lambda a: a.reshape(blocks * block, *a.shape[2:])[:m], outputs)
