"""g = s τ log Σ_j exp((k_j·x + b_j)/τ): travelling multi-shocks and smooth maxima of planes."""

import jax
import jax.numpy as jnp

from ...checks import as_array, check_ndim, check_range, require
from ...typing import Array, ArrayLike, Point, Scalar
from .base import AbstractInitial


class LogSumExp(AbstractInitial):
    """sign · τ log Σ_j exp((k_j·x + b_j)/τ): `slopes` k `[N, d]`, `offsets` b `[N]`, `temperature` τ > 0, sign ±1.

    sign −1 with τ = ε is the concave datum whose solution is the travelling multi-shock of `hj.exact.MultiShock`.
    """

    slopes: Array
    offsets: Array
    temperature: Array
    sign: Array

    def __init__(self, slopes: ArrayLike, offsets: ArrayLike, temperature: ArrayLike = 1.0, sign: float = 1.0):
        self.slopes = as_array("slopes", slopes)
        self.offsets = as_array("offsets", offsets)
        self.temperature = as_array("temperature", temperature)
        self.sign = as_array("sign", sign)
        check_ndim("slopes", self.slopes, 2, "[N, d]", "One row per plane.")
        require(len(self.slopes) > 0, "`slopes` must hold at least one plane; got none.")
        require(
            self.offsets.shape == self.slopes.shape[:1],
            f"`offsets` must have shape [N] = {self.slopes.shape[:1]}; got {self.offsets.shape}. One number per plane.",
        )
        check_range("temperature", self.temperature, above=0.0, remedy="A small positive value approaches the maximum.")
        require(float(sign) in (1.0, -1.0), f"`sign` must be 1 or -1; got {sign}.")

    def __call__(self, x: Point) -> Scalar:
        """Sign · τ log Σ_j exp((k_j·x + b_j)/τ)."""
        d = self.slopes.shape[1]
        require(x.shape[0] == d, f"`slopes` have {d} components but x has {x.shape[0]}. Match the problem's dimension.")
        exponents = (jnp.asarray(self.slopes) @ x + self.offsets) / self.temperature
        return self.sign * self.temperature * jax.nn.logsumexp(exponents)
