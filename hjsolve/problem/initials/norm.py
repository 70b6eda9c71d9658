"""g = |x|_q, the kinked and Lipschitz model data."""

import equinox as eqx
import jax.numpy as jnp

from ...checks import require
from ...typing import Point, Scalar
from .base import AbstractInitial


class Norm(AbstractInitial):
    """The `order`-norm |x|_q of x, for order 1, 2 or inf. Its gradient at 0 is taken as 0."""

    order: float = eqx.field(default=2.0, static=True)

    def __check_init__(self) -> None:
        allowed = (1, 2, float("inf"))
        require(self.order in allowed, f"`order` must be 1, 2 or inf; got {self.order!r}. Use Custom for another norm.")

    def __call__(self, x: Point) -> Scalar:
        """|x|_q."""
        if self.order == 1:
            return jnp.sum(jnp.abs(x))
        if self.order == 2:
            squared = jnp.sum(x * x)
            away = squared > 0
            return jnp.where(away, jnp.sqrt(jnp.where(away, squared, 1.0)), 0.0)
        return jnp.max(jnp.abs(x))
