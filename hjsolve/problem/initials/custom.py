"""Any initial data from a function of one point."""

from collections.abc import Callable

import jax.numpy as jnp

from ...typing import Point, Scalar
from .base import AbstractInitial


class Custom(AbstractInitial):
    """g = `function(x)` with x `[d]` and the result a number. Must be defined outside the box too (see `hj.Box`)."""

    function: Callable[[Point], Scalar]

    def __check_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"`function` must be callable as function(x) with x of shape [d]; got {self.function!r}.")

    def __call__(self, x: Point) -> Scalar:
        """function(x)."""
        value = jnp.asarray(self.function(x))
        return value if jnp.issubdtype(value.dtype, jnp.inexact) else value.astype(x.dtype)
