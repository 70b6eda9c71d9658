"""Explicit Runge-Kutta stages, in loops that compile the right-hand side once."""

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Scalar, Values
from .diffusion import Rate


def summed(
    stages: tuple[tuple[float, float, float], ...], share: float, rate: Rate, t: Scalar, dt: Scalar, u: Values
) -> Values:
    """With s = 0 at first, for every stage (w, a, c): s += w L(t + cΔt, u + aΔt s); and share·s in the end."""

    def stage(total: Values, entry: Array) -> tuple[Values, None]:
        weight, reach, time = entry
        return total + weight * rate(t + time * dt, u + reach * dt * total), None

    return share * jax.lax.scan(stage, jnp.zeros_like(u), jnp.asarray(stages, u.dtype))[0]


def five_stages(rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
    """The mean rate of the SSP method with five stages and order 4. doi:10.1137/S0036142901389025."""
    stages, weights = jnp.asarray(_SSPRK4_STAGES, u.dtype), jnp.asarray(_SSPRK4_WEIGHTS, u.dtype)

    def stage(slopes: Values, entry: tuple[Array, Array]) -> tuple[Values, None]:
        number, row = entry
        own = rate(t + jnp.sum(row) * dt, u + dt * jnp.tensordot(row, slopes, axes=1))
        return slopes.at[number].set(own), None

    slopes = jax.lax.scan(stage, jnp.zeros((5, *u.shape), u.dtype), (jnp.arange(5), stages))[0]
    return jnp.tensordot(weights, slopes, axes=1)


def _butcher(convex: tuple[tuple[float, ...], ...], steps: tuple[tuple[float, ...], ...]) -> tuple[np.ndarray, ...]:
    """The Butcher form of stages y_i = Σ_k (α_ik y_k + Δt β_ik L(y_k)): rows of y_0 .. y_{s−1}, and of y_s."""
    rows = [np.zeros(len(convex))]
    for alpha, beta in zip(convex, steps, strict=True):
        row = sum(a * rows[k] for k, a in enumerate(alpha))
        rows.append(row + np.pad(beta, (0, len(convex) - len(beta))))
    return np.array(rows[:-1]), rows[-1]


_SSPRK4_STAGES, _SSPRK4_WEIGHTS = _butcher(
    (
        (1.0,),
        (0.444370493651235, 0.555629506348765),
        (0.620101851488403, 0.0, 0.379898148511597),
        (0.178079954393132, 0.0, 0.0, 0.821920045606868),
        (0.0, 0.0, 0.517231671970585, 0.096059710526147, 0.386708617503269),
    ),
    (
        (0.391752226571890,),
        (0.0, 0.368410593050371),
        (0.0, 0.0, 0.251891774271694),
        (0.0, 0.0, 0.0, 0.544974750228521),
        (0.0, 0.0, 0.0, 0.063692468666290, 0.226007483236906),
    ),
)
