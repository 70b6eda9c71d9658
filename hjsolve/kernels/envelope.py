"""The lower envelope of parabolas of equal width, in linear time: Hopf-Lax on one axis of a grid, a distance transform.

`min_j u_j + a|x − y_j|²` along an axis, applied to every axis in turn, is the Hopf-Lax formula over the nodes of a
tensor grid. Source: Felzenszwalb & Huttenlocher 2012, doi:10.4086/toc.2012.v008a019.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ..typing import Array, Float

_LANES = 4096


def lower_envelope(
    u: Float[Array, "n L"],
    fields: tuple[Array, ...],
    x: Float[Array, "m"],
    y: Float[Array, "k"],
    a: Array,
    rows: Array | None = None,
    wanted: Array | None = None,
) -> tuple[Float[Array, "L m"], tuple[Float[Array, "L m"], ...]]:
    """`min_j u_j + a(x_i − y_j)²` along the leading axis, which becomes the last.

    Also the `fields` `[n, L]` at the minimising node, and as the last one the slope 2a(x_i − y_j). y and x increase,
    a > 0. `rows` `[k]` says which of the n rows lies at each y (default: its own), and lines that are not `wanted`
    `[L]` may be left out: 0. Cost O((k + m log k) L). Derivatives are those of the minimising parabola (envelope
    theorem).
    """
    lines = u.shape[1]
    lanes = min(_LANES, lines)
    rest = -lines % lanes
    padded = tuple(jnp.pad(f, ((0, 0), (0, rest)), mode="edge") if rest else f for f in (u, *fields))
    needed = jnp.pad(jnp.ones(lines, bool) if wanted is None else wanted, (0, rest))

    @jax.checkpoint
    def block(start: Array) -> tuple[Array, ...]:
        own = [jax.lax.dynamic_slice_in_dim(f, start, lanes, 1) for f in padded]
        own = own if rows is None else [f[rows] for f in own]
        index = _minimisers(*jax.lax.stop_gradient((own[0], x, y, a)))
        r = x[:, None] - y[index]
        value, *chosen = (jnp.take_along_axis(f, index, axis=0) for f in own)
        return tuple(f.T for f in (value + a * r**2, *chosen, 2 * a * r))

    def left_out(start: Array) -> tuple[Array, ...]:
        return (jnp.zeros((lanes, x.shape[0]), u.dtype),) * (len(fields) + 2)

    def at(start: Array) -> tuple[Array, ...]:
        return jax.lax.cond(jnp.any(jax.lax.dynamic_slice_in_dim(needed, start, lanes)), block, left_out, start)

    value, *averages = jax.lax.map(at, lanes * jnp.arange((lines + rest) // lanes))
    value, *averages = (f.reshape(lines + rest, -1)[:lines] for f in (value, *averages))
    return value, tuple(averages)


def _minimisers(u: Float[Array, "n L"], x: Float[Array, "m"], y: Float[Array, "n"], a: Array) -> Array:
    """The index of the lowest parabola at each x: parabolas are pushed on a stack, those they bury popped off.

    All lines advance together, each at its own source; a line that is done writes out of range, which drops.
    """
    n, lanes = u.shape
    lane = jnp.arange(lanes)

    def busy(state: Any) -> Array:
        return jnp.any(state[0] < n)

    def push_or_pop(state: Any) -> Any:
        new, top, stack, start = state
        here, last = jnp.minimum(new, n - 1), stack[top, lane]
        gap = jnp.where(new < n, y[here] - y[last], 1.0)
        crossing = (u[here, lane] - u[last, lane]) / (2 * a * gap) + (y[here] + y[last]) / 2
        buried = (top > 0) & (crossing <= start[top, lane]) & (new < n)
        place = jnp.where(buried | (new == n), n, top + 1)
        stack = stack.at[place, lane].set(here, mode="drop", unique_indices=True)
        start = start.at[place, lane].set(crossing, mode="drop", unique_indices=True)
        pushed = (new < n) & ~buried
        return new + pushed, top + pushed - buried, stack, start

    zero = jnp.zeros(lanes, jnp.int32)
    first = (zero + 1, zero, jnp.zeros((n, lanes), jnp.int32), jnp.full((n, lanes), -jnp.inf, y.dtype))
    _, top, stack, start = jax.lax.while_loop(busy, push_or_pop, first)
    start = jnp.where(jnp.arange(n)[:, None] <= top, start, jnp.inf)
    position = jax.vmap(lambda s: jnp.searchsorted(s, x, side="right"), in_axes=1, out_axes=1)(start) - 1
    # the crossings are rounded: the neighbours on the envelope decide
    candidates = jnp.stack([stack[jnp.clip(position + step, 0, top), lane] for step in (-1, 0, 1)])
    energies = u[candidates, lane] + a * (x[:, None] - y[candidates]) ** 2
    best = jnp.argmin(energies, axis=0)
    return jnp.take_along_axis(candidates, best[None], axis=0)[0]
