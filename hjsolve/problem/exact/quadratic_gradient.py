"""A concave quadratic gradient with a source: a smooth, oscillating solution in any dimension, known in closed form."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import concrete, require
from ...typing import Array, ArrayLike, Point, Scalar, Values, Vectors
from .. import hamiltonians
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, at_start, cube


class QuadraticGradient(AbstractExact):
    """u = sin(r^α), r = t + |x|²/d, of `u_t − |∇u|² + F = ½Δu` with F(t, x) = (4|x|²/d²)(φ'² + ½φ''), φ(r) = sin(r^α).

    In backward time the quadratic-gradient benchmark of the deep-BSDE literature, with `dimension` d = 100, α = 0.4
    (0 < α <= 1) and u(1, 0) = sin 1. For α < 1 not smooth at t = 0, x = 0. Source: E, Han & Jentzen 2017,
    doi:10.1007/s40304-017-0117-6, section 4.
    """

    alpha: Array
    dimension: int = eqx.field(static=True)

    def __init__(self, dimension: int = 100, alpha: ArrayLike = 0.4):
        require(dimension >= 1, f"`dimension` must be >= 1; got {dimension}. Give the number of space dimensions.")
        self.dimension = dimension
        self.alpha = as_number("alpha", alpha, above=0.0, remedy="The literature takes 0.4.")
        known = concrete(self.alpha)
        require(known is None or known <= 1, f"`alpha` must be <= 1; got {known}. The literature takes 0.4.")

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.dimension)
        return jnp.sin(_power(t + jnp.sum(x * x) / self.dimension, self.alpha))

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        return Problem(
            hamiltonians.Custom(_WithForcing(self.alpha), dimension=self.dimension),
            0.5,
            at_start(self),
            cube(self.dimension) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )


class _WithForcing(eqx.Module):
    """−|p|² + F(t, x); α is an array, so that its value never recompiles."""

    alpha: Array

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        alpha, d = self.alpha, x.shape[0]
        squared = jnp.sum(x * x, axis=0)
        r = t + squared / d
        r = jnp.where(r > 0, r, jnp.finfo(r.dtype).tiny ** 0.25)
        angle = r**alpha
        # φ'² + ½φ'' with φ' = cos(r^α) α r^{α−1}
        first = jnp.cos(angle) * alpha * angle / r
        second = (-jnp.sin(angle) * alpha * angle + jnp.cos(angle) * (alpha - 1)) * alpha * angle / r**2
        return -jnp.sum(p * p, axis=0) + 4 * squared / d**2 * (first**2 + 0.5 * second)


def _power(r: Scalar, alpha: Array) -> Scalar:
    """r^α with derivative 0 at r = 0."""
    positive = r > 0
    return jnp.where(positive, jnp.where(positive, r, 1.0) ** alpha, np.zeros(()))
