"""H = c|p|^q: between the eikonal equation (q = 1) and beyond the quadratic (q = 2)."""

import jax
import jax.numpy as jnp

from ...checks import check_range, number
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian, each, largest_magnitude, squared_length
from .unimodal import extreme_about_zero

_NEWTON_STEPS = 8
"""Enough for an ulp at every exponent from 1.05 to 20: the start is within log 2 of the root, measured in log |v|."""


class Power(AbstractConvexHamiltonian):
    """H(p) = c|p|^q with `c > 0` and exponent `q > 1`; L(v) = (1 − 1/q) |v| (|v|/(cq))^{1/(q−1)}."""

    c: Array
    exponent: Array

    def __init__(self, c: ArrayLike = 1.0, exponent: ArrayLike | None = None):
        if exponent is None:
            raise TypeError("`exponent` is required: Power(c, exponent) is c|p|^exponent. For c|p|² use Quadratic(c).")
        self.c = number("c", c)
        self.exponent = number("exponent", exponent)
        check_range("c", self.c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")
        check_range("exponent", self.exponent, above=1.0, remedy="For exponent 1 use Eikonal(speed=c).")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """c|p|^q."""
        return self.c * _power(squared_length(p), self.exponent / 2)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """c q |p|^{q−2} p."""
        scale = self.c * self.exponent * _power(squared_length(p), self.exponent / 2 - 1)
        return each(lambda q: scale * q, p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """c q max|p_i| · max|p|^{q−2} for q >= 2, c q max|p_i|^{q−1} for q < 2."""
        largest = largest_magnitude(p_lo, p_hi)
        size = _power(squared_length(largest), self.exponent / 2 - 1)

        def speed(most: Values) -> Values:
            below_two = _power(most**2, (self.exponent - 1) / 2)
            return self.c * self.exponent * jnp.where(self.exponent >= 2, most * size, below_two)

        return each(speed, largest)

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """Least and largest along every axis at the |p_i| that are so."""
        return extreme_about_zero(p_minus, p_plus)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """(1 − 1/q) |v| (|v|/(cq))^{1/(q−1)}."""
        speed = _power(squared_length(v), 0.5)
        return (1 - 1 / self.exponent) * speed * _power(speed / (self.c * self.exponent), 1 / (self.exponent - 1))

    def proximal(self, v: Vectors, step: Scalar) -> tuple[Vectors, Values]:
        """w = v·ρ/|v| with ρ + step·m = |v|, m = L'(ρ), i.e. ρ = cq m^{q−1}; and L(w) = (1 − 1/q) ρ m.

        In ℓ = log m the equation is the log-sum-exp of two affine functions, convex and increasing with slopes between
        1 and q − 1: Newton's method from above converges monotonically.
        """
        squared = squared_length(v)
        away = squared > 0
        radius = jnp.sqrt(jnp.where(away, squared, 1.0))
        target, q = jnp.log(radius), self.exponent
        first, second = jnp.log(self.c * q), jnp.log(jnp.asarray(step, radius.dtype))
        slope = q - 1
        log_m = jnp.minimum((target - first) / slope, target - second)

        def newton(_: int, log_m: Values) -> Values:
            a, b = first + slope * log_m, second + log_m
            share = jax.nn.sigmoid(a - b)
            return log_m - (jnp.logaddexp(a, b) - target) / (share * slope + (1 - share))

        log_m = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, log_m)
        shrink = jnp.where(away, jax.nn.sigmoid(first + slope * log_m - second - log_m), 0.0)
        rho = radius * shrink
        return v * shrink, jnp.where(away, (1 - 1 / q) * rho * jnp.exp(log_m), 0.0)


def _power(base: Values, exponent: Values | float) -> Values:
    """base^exponent, equal to 0 with zero derivative where base = 0 (the inner `where` keeps gradients finite)."""
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** exponent, 0.0)
