"""A viscosity that depends on time and place."""

from collections.abc import Callable

import jax.numpy as jnp

from ...typing import Array, Point, Scalar, Values, Vectors
from .base import AbstractViscosity, Hessian


class Varying(AbstractViscosity):
    """ε(t, x) Δu, not in divergence form. `function` maps (t, x `[d, ...]`) to `[...]`, and must be >= 0."""

    function: Callable[[Scalar, Vectors], Values]

    def __check_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                f"`function` must be callable as function(t, x); got {self.function!r}. For a number use Constant."
            )

    def contract(self, t: Scalar, x: Vectors, p: Vectors, hessian: Hessian) -> Values:
        """ε(t, x) Σ_i ∂_ii u."""
        return self.bound(t, x) * sum((hessian[i, i] for i in range(1, p.shape[0])), start=hessian[0, 0])

    def root(self, t: Scalar, x: Point) -> Array:
        """√(2ε(t, x)) I."""
        return jnp.sqrt(2 * self.bound(t, x)) * jnp.eye(x.shape[0], dtype=x.dtype)

    def bound(self, t: Scalar, x: Vectors) -> Values:
        """ε(t, x)."""
        value = jnp.asarray(self.function(t, x))
        if value.shape not in ((), x.shape[1:]):
            raise ValueError(
                f"`function` must map x [d, ...] to [...]: x {x.shape} gave {value.shape}, expected {x.shape[1:]}. "
                "Sum over the components with axis=0."
            )
        return jnp.broadcast_to(value, x.shape[1:])
