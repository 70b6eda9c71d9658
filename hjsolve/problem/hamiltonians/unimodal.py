"""Functions of one variable that fall up to a middle, rise beyond it, and are even about it."""

import jax.numpy as jnp

from ...typing import Values, Vectors
from .base import each


def extreme_about(middle: Values, minus: Values, plus: Values) -> Values:
    """Where they are least over [minus, plus] if minus <= plus, else largest over [plus, minus]."""
    least = jnp.clip(middle, minus, plus)
    largest = jnp.where(jnp.abs(minus - middle) >= jnp.abs(plus - middle), minus, plus)
    return jnp.where(minus <= plus, least, largest)


def extreme_about_zero(p_minus: Vectors, p_plus: Vectors) -> Vectors:
    """The same about 0, for every component of `[d, ...]`."""
    return each(lambda minus, plus: extreme_about(jnp.zeros_like(minus), minus, plus), p_minus, p_plus)
