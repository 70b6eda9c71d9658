"""Which part of space the initial data must be read on, for queries inside a box."""

import jax
import jax.numpy as jnp

from ..kernels.quadrature import tensor_nodes
from ..typing import Array, Function

_SAMPLES = {1: 513, 2: 65, 3: 21}
_EXTENTS = 3.0
"""The search starts at least this many extents of the box beyond it, so that wells nearby are seen."""
_DOUBLINGS = 8
_TRIMS = 4
_NEGLIGIBLE = 42.0
"""−log of the largest relative weight that may be left out: e^−42 = 6e-19."""


def dependence_box(
    g: Function, lower: Array, upper: Array, c: Array, epsilon: Array, horizon: Array
) -> tuple[Array, Array, Array]:
    """The smallest sampled box outside which no y matters to u(t, x), x in [lower, upper], t <= horizon.

    With P the projection onto the box, y is dominated by the atom Py for every query x in the box when
    `g(y) + |y − Py|²/(4ct) > g(Py) + 42 ε/c`, because |x − y|² >= |x − Py|² + |y − Py|². The search starts from three
    extents or the reach of the data's slopes, 2ctL + 2√(42 εt), doubles while what matters comes near its edge, and is
    then trimmed. Also returned: whether an edge was found at all. Where it was not, the data fall as fast as
    |y|²/(4ct) rises and there is no solution up to the horizon. Wells narrower than the sampling (the searched box over
    512, 64 or 20 in d = 1, 2, 3) and outside the box can be missed.
    """
    d = lower.shape[0]
    counts = (_SAMPLES.get(d, 9),) * d
    c, epsilon, horizon = (jax.lax.stop_gradient(a) for a in (c, epsilon, horizon))
    slopes = jax.vmap(jax.grad(g))(tensor_nodes(lower, upper, counts))
    steepest = jnp.max(jnp.where(jnp.isfinite(slopes), jnp.abs(slopes), 0.0)) * jnp.sqrt(1.0 * d)
    first = 2 * c * horizon * steepest + 2 * jnp.sqrt(_NEGLIGIBLE * epsilon * horizon)
    first = jax.lax.stop_gradient(jnp.maximum(first, _EXTENTS * jnp.max(upper - lower)))

    def what_matters(low: Array, high: Array) -> tuple[Array, Array]:
        samples = tensor_nodes(low, high, counts)
        nearest = jnp.clip(samples, lower, upper)
        excess = jax.vmap(g)(samples) - jax.vmap(g)(nearest)
        excess = excess + jnp.sum((samples - nearest) ** 2, axis=1) / (4 * c * horizon)
        matters = jax.lax.stop_gradient(excess <= _NEGLIGIBLE * epsilon / c)[:, None]
        return (
            jnp.min(jnp.where(matters, samples, lower), axis=0),
            jnp.max(jnp.where(matters, samples, upper), axis=0),
        )

    def near_edge(reach: Array) -> Array:
        low, high = what_matters(lower - reach, upper + reach)
        return jnp.any(low < lower - 0.8 * reach) | jnp.any(high > upper + 0.8 * reach)

    def widen(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        tried = jnp.where(carry[1], 2 * carry[0], carry[0])
        return jax.lax.stop_gradient((tried, near_edge(tried)))

    def trim(_: int, box: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = what_matters(*box)
        cell = (box[1] - box[0]) / (counts[0] - 1)
        trimmed = jnp.maximum(low - cell, box[0]), jnp.minimum(high + cell, box[1])
        return jax.lax.stop_gradient(trimmed)

    reach, open_ended = jax.lax.fori_loop(0, _DOUBLINGS + 1, widen, (first, jnp.zeros((), bool)))
    low, high = jax.lax.fori_loop(0, _TRIMS, trim, jax.lax.stop_gradient((lower - reach, upper + reach)))
    return low, high, ~open_ended
