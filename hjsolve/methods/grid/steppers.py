"""Explicit time steppers for `du/dt = L(t, u)`, as increments: u is added to once, so that round-off does not pile up.

Convex combinations of stages, as strong-stability-preserving methods are often written, round u in every stage: over
many steps in float32 that costs an order of magnitude.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Scalar, Values

Rate = Callable[[Scalar, Values], Values]


class AbstractStepper(eqx.Module):
    """One explicit step."""

    order: eqx.AbstractClassVar[int]
    """The order of accuracy in Δt."""
    advective_limit: eqx.AbstractClassVar[float]
    """The Courant number Σ α_i Δt/Δx_i up to which upwind differences stay stable."""
    diffusive_limit: eqx.AbstractClassVar[float]
    """How far the region of absolute stability reaches along the negative real axis."""

    @abc.abstractmethod
    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u at t + dt."""


class ForwardEuler(AbstractStepper):
    """u + Δt L(t, u): order 1. For first-order differences."""

    order = 1
    advective_limit = 1.0
    diffusive_limit = 2.0

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u + Δt L(t, u)."""
        return u + dt * rate(t, u)


class SSPRK2(AbstractStepper):
    """Heun's method: k₁ = L(u), k₂ = L(u + Δt k₁), u + Δt(k₁ + k₂)/2. doi:10.1016/0021-9991(88)90177-5."""

    order = 2
    advective_limit = 1.0
    diffusive_limit = 2.0

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u at t + dt."""
        return _summed(((1.0, 0.0, 0.0), (1.0, 1.0, 1.0)), 1 / 2, rate, t, dt, u)


class SSPRK3(AbstractStepper):
    """k₁ = L(u), k₂ = L(u + Δt k₁), k₃ = L(u + Δt(k₁ + k₂)/4), u + Δt(k₁ + k₂ + 4k₃)/6.

    The three-stage third-order strong-stability-preserving Runge-Kutta method.
    Source: Shu & Osher 1988, doi:10.1016/0021-9991(88)90177-5.
    """

    order = 3
    advective_limit = 1.0
    diffusive_limit = 2.5127

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u at t + dt."""
        return _summed(((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (4.0, 1 / 4, 1 / 2)), 1 / 6, rate, t, dt, u)


class SSPRK4(AbstractStepper):
    """The five-stage fourth-order strong-stability-preserving Runge-Kutta method: steps half as long again as RK3's.

    Source: Spiteri & Ruuth 2002, doi:10.1137/S0036142901389025.
    """

    order = 4
    advective_limit = 1.508
    diffusive_limit = 5.3

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u at t + dt."""
        stages, weights = jnp.asarray(_SSPRK4_STAGES, u.dtype), jnp.asarray(_SSPRK4_WEIGHTS, u.dtype)

        def stage(slopes: Values, entry: tuple[Array, Array]) -> tuple[Values, None]:
            number, row = entry
            own = rate(t + jnp.sum(row) * dt, u + dt * jnp.tensordot(row, slopes, axes=1))
            return slopes.at[number].set(own), None

        slopes = jax.lax.scan(stage, jnp.zeros((5, *u.shape), u.dtype), (jnp.arange(5), stages))[0]
        return u + dt * jnp.tensordot(weights, slopes, axes=1)


def _summed(
    stages: tuple[tuple[float, float, float], ...], share: float, rate: Rate, t: Scalar, dt: Scalar, u: Values
) -> Values:
    """With s = 0 at first, for every stage (w, a, c): s += w L(t + cΔt, u + aΔt s); and u + share·Δt s in the end."""

    # a loop over the stages, so that the right-hand side is compiled once
    def stage(total: Values, entry: Array) -> tuple[Values, None]:
        weight, reach, time = entry
        return total + weight * rate(t + time * dt, u + reach * dt * total), None

    return u + share * dt * jax.lax.scan(stage, jnp.zeros_like(u), jnp.asarray(stages, u.dtype))[0]


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
