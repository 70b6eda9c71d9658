"""Which part of space the initial data must be read on, for queries inside a box."""

import jax
import jax.numpy as jnp

from ...kernels.quadrature import tensor_nodes
from ...typing import Array, Function

_SAMPLES = {1: 513, 2: 49, 3: 17}
_DOUBLINGS = 8
_NEGLIGIBLE = 42.0
"""−log of the largest relative weight that may be left out: e^−42 = 6e-19."""


def dependence_box(
    g: Function, lower: Array, upper: Array, c: Array, epsilon: Array, horizon: Array
) -> tuple[Array, Array]:
    """The smallest sampled box outside which no y matters to u(t, x), x in [lower, upper], t <= horizon.

    With P the projection onto the box, y is dominated by the atom Py for every query x in the box when
    `g(y) + |y − Py|²/(4ct) > g(Py) + 42 ε/c`, because |x − y|² >= |x − Py|² + |y − Py|². The search starts from the
    reach of the data's slopes in the box, 2ctL + 2√(42 εt), and doubles while what matters comes near its edge.
    """
    d = lower.shape[0]
    counts = (_SAMPLES.get(d, 9),) * d
    slopes = jax.vmap(jax.grad(g))(tensor_nodes(lower, upper, counts))
    steepest = jnp.max(jnp.where(jnp.isfinite(slopes), jnp.abs(slopes), 0.0)) * jnp.sqrt(1.0 * d)
    first = 2 * c * horizon * steepest + 2 * jnp.sqrt(_NEGLIGIBLE * epsilon * horizon)

    def what_matters(reach: Array) -> tuple[Array, Array]:
        samples = tensor_nodes(lower - reach, upper + reach, counts)
        nearest = jnp.clip(samples, lower, upper)
        excess = jax.vmap(g)(samples) - jax.vmap(g)(nearest)
        excess = excess + jnp.sum((samples - nearest) ** 2, axis=1) / (4 * c * horizon)
        matters = jax.lax.stop_gradient(excess <= _NEGLIGIBLE * epsilon / c)[:, None]
        return (
            jnp.min(jnp.where(matters, samples, lower), axis=0),
            jnp.max(jnp.where(matters, samples, upper), axis=0),
        )

    def widen(_: int, reach: Array) -> Array:
        low, high = what_matters(reach)
        near_edge = jnp.any(low < lower - 0.8 * reach) | jnp.any(high > upper + 0.8 * reach)
        return jax.lax.stop_gradient(jnp.where(near_edge, 2 * reach, reach))

    reach = jax.lax.fori_loop(0, _DOUBLINGS, widen, jax.lax.stop_gradient(first))
    low, high = what_matters(reach)
    cell = (upper - lower + 2 * reach) / (counts[0] - 1)
    low, high = jnp.maximum(low - cell, lower - reach), jnp.minimum(high + cell, upper + reach)
    return jax.lax.stop_gradient(low), jax.lax.stop_gradient(high)
