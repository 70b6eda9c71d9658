"""Where data in one dimension are not smooth, found by bisection on fourth differences."""

import jax
import jax.numpy as jnp
import numpy as np

from ....typing import Array, Float, Function

_CELLS = 4096
_TEST = {np.dtype(np.float64): 8, np.dtype(np.float32): 4}
"""Halvings after which a kink tells itself from a smooth place: its fourth difference falls by 2 each, not by 16."""
_RESERVE = 8
"""Bits of the mantissa that bisection leaves unused: below that, differences are round-off."""


def find_kinks(g: Function, lower: Array, upper: Array, capacity: int) -> tuple[Float[Array, "k"], Array]:
    """Up to `capacity` places `[k]` in [lower, upper] where g `[n] -> [n]` or a low derivative jumps; which are real.

    The largest fourth differences on 4096 cells are bisected, always to that of five overlapping halves which has the
    largest one. A jump of derivative r makes them fall by 2^r a halving (r = 0 for g itself), smooth data by 16, so
    that jumps up to the third derivative are told apart. Of several kinks within four cells one is found.
    """
    dtype = lower.dtype
    spacing = (upper - lower) / _CELLS
    values = g(lower + spacing * jnp.arange(_CELLS + 1))
    differences = _fourth(values[None, :], _CELLS - 3)[0]
    wide = jnp.pad(differences, 3)
    peak = differences >= jnp.max(jnp.stack([wide[k : k + _CELLS - 3] for k in range(7)]), axis=0)
    first, index = jax.lax.top_k(jnp.where(peak, differences, 0.0), capacity)
    bits = jnp.finfo(dtype).nmant - _RESERVE - 10  # the first window is 2^−10 of the box
    test = _TEST[np.dtype(dtype)]

    def halve(step: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        start, width, tested = carry
        at = start[:, None] + width * jnp.arange(9, dtype=dtype) / 8
        windows = _fourth(g(at.reshape(-1)).reshape(at.shape), 5)
        best = jnp.argmax(windows, axis=1)
        chosen = jnp.take_along_axis(at, best[:, None], axis=1)[:, 0]
        return chosen, width / 2, jnp.where(step == test - 1, jnp.max(windows, axis=1), tested)

    start = (lower + spacing * index, 4 * spacing, jnp.zeros_like(first))
    place, width, tested = jax.lax.fori_loop(0, bits, halve, start)
    floor = 32 * jnp.finfo(dtype).eps * jnp.max(jnp.abs(values))
    real = (tested > 2.0 ** (-3.25 * test) * first) & (tested > floor)
    return place + width / 2, real


def _fourth(values: Array, count: int) -> Array:
    """|fourth differences| `[k, count]` of rows of `values`."""
    weights = (1.0, -4.0, 6.0, -4.0, 1.0)
    return jnp.abs(sum(w * values[:, i : i + count] for i, w in enumerate(weights)))
