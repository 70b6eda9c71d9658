"""H = s|p|: fronts that move at normal speed s; the level-set and first-arrival Hamiltonian."""

import jax.numpy as jnp

from ...checks import check_range, number
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian, each, largest_magnitude, smallest_magnitude, squared_length
from .unimodal import extreme_about_zero


class Eikonal(AbstractConvexHamiltonian):
    """H(p) = s|p| with speed `s > 0`; L(v) = 0 if |v| <= s, else +inf."""

    speed: Array

    def __init__(self, speed: ArrayLike = 1.0):
        self.speed = number("speed", speed)
        check_range("speed", self.speed, above=0.0, remedy="Reverse the sign of u to move the front the other way.")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """s|p|, with zero derivative at p = 0."""
        squared = squared_length(p)
        moving = squared > 0
        return self.speed * jnp.where(moving, jnp.sqrt(jnp.where(moving, squared, 1.0)), 0.0)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """s p/|p|, and 0 (the minimal element of the subdifferential) at p = 0."""
        squared = squared_length(p)
        moving = squared > 0
        scale = self.speed / jnp.sqrt(jnp.where(moving, squared, 1.0))
        return each(lambda q: jnp.where(moving, q * scale, 0.0), p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """s max|p_i|/√(max|p_i|² + Σ_{j≠i} min|p_j|²), the exact maximum over the box."""
        largest = largest_magnitude(p_lo, p_hi)
        smallest = smallest_magnitude(p_lo, p_hi)
        nearest = squared_length(smallest)

        def speed(most: Values, least: Values) -> Values:
            squared = most**2 + jnp.maximum(nearest - least**2, 0.0)
            return self.speed * jnp.where(squared > 0, most / jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 1.0)

        return each(speed, largest, smallest)

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """Least and largest along every axis at the |p_i| that are so."""
        return extreme_about_zero(p_minus, p_plus)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """0 inside the ball of radius s, +inf outside."""
        return jnp.where(squared_length(v) <= self.speed**2, 0.0, jnp.inf)

    def proximal(self, v: Vectors, step: Scalar) -> tuple[Vectors, Values]:
        """The projection onto the ball of radius s, whatever the step, and 0."""
        squared = squared_length(v)
        outside = squared > self.speed**2
        shrink = jnp.where(outside, self.speed / jnp.sqrt(jnp.where(outside, squared, 1.0)), 1.0)
        return v * shrink, jnp.zeros_like(squared)
