"""g = ½ xᵀAx."""

import jax.numpy as jnp

from ...checks import as_array, require
from ...typing import Array, ArrayLike, Point, Scalar
from .base import AbstractInitial


class Quadratic(AbstractInitial):
    """½ xᵀAx with a symmetric `A` `[d, d]`, or a number for A·I in any dimension."""

    A: Array

    def __init__(self, A: ArrayLike = 1.0):
        self.A = as_array("A", A)
        shape = self.A.shape
        require(
            shape == () or (len(shape) == 2 and shape[0] == shape[1]),
            f"`A` must be a number or a square matrix [d, d]; got shape {shape}. Use jnp.diag for one entry per axis.",
        )

    def __call__(self, x: Point) -> Scalar:
        """½ xᵀAx."""
        if self.A.ndim == 0:
            return 0.5 * self.A * jnp.sum(x * x)
        d = self.A.shape[0]
        require(x.shape[0] == d, f"`A` is {d} x {d} but x has {x.shape[0]} components. Match the problem's dimension.")
        return 0.5 * x @ (jnp.asarray(self.A) @ x)
