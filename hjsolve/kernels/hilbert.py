"""Order along Hilbert's curve: points that are neighbours in the order are neighbours in space."""

import jax
import jax.numpy as jnp
from jaxtyping import Integer

from ..typing import Array, Points

_BITS = 30
"""Of a word of the key; the key has two."""


def hilbert_order(points: Points) -> Integer[Array, "n"]:
    """The permutation that sorts points `[n, d]` along Hilbert's curve through the cube that holds them.

    Successive points lie in touching cells, so that any run of the order has a small bounding box; Morton's simpler
    curve jumps. The key has 2·⌊30/d⌋ bits for each coordinate (30 in one dimension): in 3 dimensions, clusters of a
    10,000th of the cube's side are still sorted within themselves. NaN sorts somewhere. Cost O(n log n).
    Source: Skilling 2004, doi:10.1063/1.1751381.
    """
    n, d = points.shape
    word = _BITS // d
    bits = min(2 * word, _BITS)
    lower = jnp.min(points, axis=0)
    side = jnp.max(jnp.max(points, axis=0) - lower)
    place = (points - lower) / jnp.where(side > 0, side, 1) * 2**bits
    cell = jnp.clip(place, 0, 2**bits - 128).astype(jnp.uint32)  # 2^30 − 1 rounds up to 2^30 in float32
    axes = _transposed([cell[:, k] for k in range(d)], bits)
    words = [_interleaved([a >> shift for a in axes], word) for shift in range(bits - word, -1, -word)]
    order: Array = jax.lax.sort((*words, jnp.arange(n, dtype=jnp.int32)), num_keys=len(words), is_stable=False)[-1]
    return order


def _transposed(axes: list[Array], bits: int) -> list[Array]:
    """Hilbert's index with its bits dealt out to the axes, from cell numbers of `bits` bits."""

    def turn(step: Array, axes: list[Array]) -> list[Array]:
        bit = jnp.uint32(1) << (bits - 1 - step).astype(jnp.uint32)
        low = bit - 1
        axes = list(axes)
        for k in range(len(axes)):
            flips = (axes[k] & bit) != 0
            swapped = jnp.where(flips, 0, (axes[0] ^ axes[k]) & low)
            axes[0] = jnp.where(flips, axes[0] ^ low, axes[0] ^ swapped)
            axes[k] = jnp.where(flips, axes[k], axes[k] ^ swapped) if k else axes[0]
        return axes

    axes = jax.lax.fori_loop(0, bits - 1, turn, axes)
    for k in range(1, len(axes)):
        axes[k] = axes[k] ^ axes[k - 1]

    def gray(step: Array, mask: Array) -> Array:
        bit = jnp.uint32(1) << (bits - 1 - step).astype(jnp.uint32)
        return jnp.where((axes[-1] & bit) != 0, mask ^ (bit - 1), mask)

    mask = jax.lax.fori_loop(0, bits - 1, gray, jnp.zeros_like(axes[-1]))
    return [a ^ mask for a in axes]


def _interleaved(axes: list[Array], bits: int) -> Integer[Array, "n"]:
    """The lowest `bits` bits of the axes in one word, the first axis foremost."""
    code = jnp.zeros_like(axes[0])
    for bit in range(bits):
        for k, a in enumerate(reversed(axes)):
            code = code | (((a >> bit) & 1) << (bit * len(axes) + k))
    return code
