"""Explicit time steppers for `du/dt = L(t, u)`."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ...typing import Array, Scalar, Values

Rate = Callable[[Scalar, Values], Values]


class AbstractStepper(eqx.Module):
    """One explicit step."""

    advective_limit: eqx.AbstractClassVar[float]
    """The Courant number Σ α_i Δt/Δx_i up to which upwind differences stay stable."""
    diffusive_limit: eqx.AbstractClassVar[float]
    """How far the region of absolute stability reaches along the negative real axis."""

    @abc.abstractmethod
    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u at t + dt."""


class ForwardEuler(AbstractStepper):
    """u + Δt L(t, u): order 1. For first-order differences."""

    advective_limit = 1.0
    diffusive_limit = 2.0

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u + Δt L(t, u)."""
        return u + dt * rate(t, u)


class SSPRK3(AbstractStepper):
    """The three-stage third-order strong-stability-preserving Runge-Kutta method.

    Source: Shu & Osher 1988, doi:10.1016/0021-9991(88)90177-5.
    """

    advective_limit = 1.0
    diffusive_limit = 2.5127

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """Convex combinations of three forward Euler steps."""

        # a loop over the stages, so that the right-hand side is compiled once and not three times
        def stage(v: Values, coefficients: Array) -> tuple[Values, None]:
            kept, time = coefficients
            return kept * u + (1 - kept) * (v + dt * rate(t + time * dt, v)), None

        table = jnp.asarray([(0.0, 0.0), (0.75, 1.0), (1 / 3, 0.5)], u.dtype)
        return jax.lax.scan(stage, u, table)[0]
