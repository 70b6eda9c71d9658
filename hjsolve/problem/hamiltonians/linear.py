"""H = b·p: pure transport at velocity b."""

from collections.abc import Callable

import jax.numpy as jnp

from ...checks import as_array, check_ndim, require
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian, as_column, each, total


class Linear(AbstractConvexHamiltonian):
    """H(t, x, p) = b(t, x)·p. `velocity` is a `[d]` vector or a callable `(t, x [d, ...]) -> [d, ...]`.

    L(v) = 0 if v = b, else +inf.
    """

    field: Array | Callable[[Scalar, Vectors], Vectors]

    def __init__(self, velocity: ArrayLike | Callable[[Scalar, Vectors], Vectors]):
        if callable(velocity):
            self.field = velocity
        else:
            self.field = as_array("velocity", velocity)
            check_ndim("velocity", self.field, 1, "[d]", "Give one number per dimension, or a callable (t, x).")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """b·p."""
        return total(jnp.multiply, self.velocity(t, x, p), p)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """b(t, x)."""
        if callable(self.field):
            return jnp.broadcast_to(self.field(t, x), p.shape)
        d = len(self.field)
        require(p.shape[0] == d, f"`velocity` has {d} components but p has {p.shape[0]}. Give one per dimension.")
        return jnp.broadcast_to(as_column(self.field, p), p.shape)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """|b_i|."""
        return each(jnp.abs, self.velocity(t, x, p_lo))

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """The side that b_i comes from."""
        b = self.velocity(t, x, p_minus)
        return each(lambda b, minus, plus: jnp.where(b >= 0, minus, plus), b, p_minus, p_plus)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """0 at v = b, +inf elsewhere."""
        return jnp.where(jnp.all(v == self.velocity(t, x, v), axis=0), 0.0, jnp.inf)
