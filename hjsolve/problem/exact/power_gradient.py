"""Powers of the gradient's components: a plane that rises, exact for every exponent and dimension."""

import equinox as eqx
import jax.numpy as jnp

from ...checks import require
from ...typing import Array, ArrayLike, Point, Scalar, Values, Vectors
from .. import hamiltonians
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, at_start, cube


class PowerGradient(AbstractExact):
    """u = Σx_i + t, of `u_t + (1/d) Σ_i |∂_i u|^q − 2 = Δu`: every |∂_i u| is 1, so that no exponent q >= 1 matters.

    In backward time `u_t + Δu − (1/d) Σ|u_i|^q = −2` with u(T) = Σx_i. A test of what a method makes of H far from
    quadratic, in `dimension` d.
    """

    exponent: Array
    dimension: int = eqx.field(static=True)

    def __init__(self, dimension: int = 100, exponent: ArrayLike = 1.5):
        require(dimension >= 1, f"`dimension` must be >= 1; got {dimension}. Give the number of space dimensions.")
        self.dimension = dimension
        self.exponent = as_number("exponent", exponent, least=1.0, remedy="Below 1 H is not Lipschitz at p = 0.")

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.dimension)
        return jnp.sum(x) + t

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        return Problem(
            hamiltonians.Custom(_MeanOfPowers(self.exponent), dimension=self.dimension),
            1.0,
            at_start(self),
            cube(self.dimension) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )


class _MeanOfPowers(eqx.Module):
    """(1/d) Σ|p_i|^q − 2."""

    exponent: Array

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        size = jnp.abs(p)
        moving = size > 0
        powers = jnp.where(moving, jnp.where(moving, size, 1.0) ** self.exponent, 0.0)
        return jnp.mean(powers, axis=0) - 2.0
