"""Exponential time differencing: a stiff diagonal term exactly, the rest by a Runge-Kutta method."""

import math
from collections.abc import Callable

import jax.numpy as jnp

from ...typing import Array, Scalar, Values

_TERMS = 16
"""1/19! is below the rounding of 1/3!."""


def etd_rk4(rest: Callable[[Scalar, Array], Array], decay: Values, t: Scalar, dt: Scalar, u: Array) -> Array:
    """u at t + dt of du/dt = decay·u + rest(t, u), with decay <= 0: order 4.

    Source: Cox & Matthews 2002, doi:10.1006/jcph.2002.6995; the φ-functions take the place of the contour integrals of
    Kassam & Trefethen 2005, doi:10.1137/S1064827502410633.
    """
    z = decay * dt
    phi1, phi2, phi3 = phis(z)
    middle = jnp.exp(z / 2)
    reach = dt * phi1 / (middle + 1)  # Δt/2 φ₁(z/2)
    at_u = rest(t, u)
    a = middle * u + reach * at_u
    at_a = rest(t + dt / 2, a)
    b = middle * u + reach * at_a
    at_b = rest(t + dt / 2, b)
    c = middle * a + reach * (2 * at_b - at_u)
    at_c = rest(t + dt, c)
    ends = (phi1 - 3 * phi2 + 4 * phi3) * at_u + (4 * phi3 - phi2) * at_c
    return middle**2 * u + dt * (ends + (2 * phi2 - 4 * phi3) * (at_a + at_b))


def phis(z: Values) -> tuple[Values, Values, Values]:
    """φ₁ = (e^z − 1)/z, φ₂ = (φ₁ − 1)/z and φ₃ = (φ₂ − ½)/z for real z <= 0, to a few ulp.

    By Taylor's series of φ₃ and backwards from it where |z| <= 1, where the quotients cancel.
    """
    near = z > -1
    small, large = jnp.where(near, z, 0.0), jnp.where(near, -1.0, z)
    series = jnp.zeros_like(z)
    for j in reversed(range(_TERMS)):
        series = series * small + 1 / math.factorial(j + 3)
    second = small * series + 0.5
    one = jnp.expm1(large) / large
    two = (one - 1) / large
    return (
        jnp.where(near, small * second + 1, one),
        jnp.where(near, second, two),
        jnp.where(near, series, (two - 0.5) / large),
    )
