"""g = a cos(κ·x + φ), the periodic model data."""

import jax.numpy as jnp

from ...checks import as_array, check_ndim, require
from ...typing import Array, ArrayLike, Point, Scalar
from .base import AbstractInitial


class Cosine(AbstractInitial):
    """a cos(κ·x + φ): `amplitude` a, `wavevector` κ (`[d]`, or a number for κ·(1, ..., 1)), `phase` φ in radians.

    On a Torus every κ_i must be a whole number of 2π/period.
    """

    amplitude: Array
    wavevector: Array
    phase: Array

    def __init__(self, amplitude: ArrayLike = 1.0, wavevector: ArrayLike = 1.0, phase: ArrayLike = 0.0):
        self.amplitude = as_array("amplitude", amplitude)
        self.wavevector = as_array("wavevector", wavevector)
        self.phase = as_array("phase", phase)
        if self.wavevector.ndim > 0:
            check_ndim("wavevector", self.wavevector, 1, "[] or [d]", "Give one number per dimension.")

    def __call__(self, x: Point) -> Scalar:
        """A cos(κ·x + φ)."""
        kappa = self.wavevector
        require(
            kappa.ndim == 0 or len(kappa) == x.shape[0],
            f"`wavevector` has {kappa.size} components but x has {x.shape[0]}. Match the problem's dimension.",
        )
        return self.amplitude * jnp.cos(jnp.sum(kappa * x) + self.phase)
