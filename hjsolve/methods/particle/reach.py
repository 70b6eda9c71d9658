"""Which part of space the initial data must be read on, for queries inside a box."""

import jax
import jax.numpy as jnp

from ...kernels.quadrature import tensor_nodes
from ...typing import Array, Function

_SAMPLES = {1: 513, 2: 49, 3: 17}
_NEGLIGIBLE = 42.0
"""−log of the largest relative weight that may be left out: e^−42 = 6e-19."""


def dependence_box(
    g: Function, lower: Array, upper: Array, c: Array, epsilon: Array, horizon: Array
) -> tuple[Array, Array]:
    """The smallest sampled box outside which no y matters to u(t, x), x in [lower, upper], t <= horizon.

    With P the projection onto the box, y is dominated by the atom Py for every query x in the box when
    `g(y) + |y − Py|²/(4ct) > g(Py) + 42 ε/c`, because |x − y|² >= |x − Py|² + |y − Py|². The search region follows
    from the Lipschitz constant L of the data: |y − Py| <= 4ctL + 2√(42 εt).
    """
    d = lower.shape[0]
    counts = (_SAMPLES.get(d, 9),) * d
    slope = jax.vmap(jax.grad(g))
    low, high = lower, upper
    for _ in range(2):
        samples = tensor_nodes(low, high, counts)
        gradients = slope(samples)
        lipschitz = jnp.max(jnp.where(jnp.isfinite(gradients), jnp.abs(gradients), 0.0)) * jnp.sqrt(1.0 * d)
        distance = 4 * c * horizon * lipschitz + 2 * jnp.sqrt(_NEGLIGIBLE * epsilon * horizon)
        low, high = lower - distance, upper + distance
    samples = tensor_nodes(low, high, counts)
    nearest = jnp.clip(samples, lower, upper)
    values, reference = jax.vmap(g)(samples), jax.vmap(g)(nearest)
    excess = values + jnp.sum((samples - nearest) ** 2, axis=1) / (4 * c * horizon) - reference
    matters = (excess <= _NEGLIGIBLE * epsilon / c)[:, None]
    cell = (high - low) / (counts[0] - 1)
    low = jnp.maximum(low, jnp.min(jnp.where(matters, samples, lower), axis=0) - cell)
    high = jnp.minimum(high, jnp.max(jnp.where(matters, samples, upper), axis=0) + cell)
    return jax.lax.stop_gradient(low), jax.lax.stop_gradient(high)
