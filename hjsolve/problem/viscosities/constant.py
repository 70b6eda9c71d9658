"""The same ε everywhere."""

import jax.numpy as jnp

from ...checks import check_range, number
from ...typing import Array, ArrayLike, Point, Scalar, Values, Vectors
from .base import AbstractViscosity, Hessian


class Constant(AbstractViscosity):
    """ε Δu with `epsilon >= 0`; 0 is the inviscid equation (its viscosity solution)."""

    epsilon: Array

    def __init__(self, epsilon: ArrayLike):
        self.epsilon = number("viscosity", epsilon)
        check_range("viscosity", self.epsilon, least=0.0, remedy="Use 0 for the inviscid equation.")

    def contract(self, t: Scalar, x: Vectors, p: Vectors, hessian: Hessian) -> Values:
        """ε Σ_i ∂_ii u."""
        return self.epsilon * sum((hessian[i, i] for i in range(1, p.shape[0])), start=hessian[0, 0])

    def root(self, t: Scalar, x: Point) -> Array:
        """√(2ε) I."""
        return jnp.sqrt(2 * self.epsilon) * jnp.eye(x.shape[0], dtype=x.dtype)

    def bound(self, t: Scalar, x: Vectors) -> Values:
        """ε."""
        return jnp.broadcast_to(self.epsilon, x.shape[1:])
