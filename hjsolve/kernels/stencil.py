"""One-sided first derivatives and central derivatives on uniform grids.

Every function works along the leading axis of an array padded with `width` ghost values on both sides, and returns
values at the unpadded nodes.
"""

import jax.numpy as jnp

from ..typing import Array, Scalar, Values

_SECOND = {2: (1.0, -2.0, 1.0), 4: (-1 / 12, 4 / 3, -5 / 2, 4 / 3, -1 / 12), 6: (1 / 90, -3 / 20, 3 / 2, -49 / 18)}
_FIRST_SIXTH = (3 / 4, -3 / 20, 1 / 60)


def upwind1(padded: Values, spacing: Scalar) -> tuple[Values, Values]:
    """First-order differences (p⁻, p⁺); width 1."""
    slopes = (padded[1:] - padded[:-1]) / spacing
    return slopes[:-1], slopes[1:]


def weno5(padded: Values, spacing: Scalar) -> tuple[Values, Values]:
    """Fifth-order weighted essentially non-oscillatory derivatives (p⁻, p⁺); width 3.

    Source: Jiang & Peng 2000, doi:10.1137/S106482759732455X.
    """
    n = padded.shape[0] - 6
    slopes = (padded[1:] - padded[:-1]) / spacing
    v = [slopes[k : k + n] for k in range(6)]
    return _weno5(v[0], v[1], v[2], v[3], v[4]), _weno5(v[5], v[4], v[3], v[2], v[1])


def _weno5(v1: Array, v2: Array, v3: Array, v4: Array, v5: Array) -> Array:
    """The weighted combination of three third-order stencils, v1 the most upwind slope."""
    s1 = 13 / 12 * (v1 - 2 * v2 + v3) ** 2 + 0.25 * (v1 - 4 * v2 + 3 * v3) ** 2
    s2 = 13 / 12 * (v2 - 2 * v3 + v4) ** 2 + 0.25 * (v2 - v4) ** 2
    s3 = 13 / 12 * (v3 - 2 * v4 + v5) ** 2 + 0.25 * (3 * v3 - 4 * v4 + v5) ** 2
    # relative to the slopes, so that the weights do not depend on the unit of u; the floor keeps u = const finite
    largest = jnp.maximum(jnp.maximum(jnp.maximum(v1**2, v2**2), jnp.maximum(v3**2, v4**2)), v5**2)
    delta = 1e-6 * largest + jnp.finfo(v1.dtype).tiny ** 0.25
    a1, a2, a3 = 0.1 / (s1 + delta) ** 2, 0.6 / (s2 + delta) ** 2, 0.3 / (s3 + delta) ** 2
    q1 = v1 / 3 - 7 / 6 * v2 + 11 / 6 * v3
    q2 = -v2 / 6 + 5 / 6 * v3 + v4 / 3
    q3 = v3 / 3 + 5 / 6 * v4 - v5 / 6
    return (a1 * q1 + a2 * q2 + a3 * q3) / (a1 + a2 + a3)


def second_derivative(padded: Values, spacing: Scalar, *, order: int) -> Values:
    """Central second derivative of order 2, 4 or 6; width order/2."""
    half = order // 2
    coefficients = _SECOND[order]
    n = padded.shape[0] - 2 * half
    total = coefficients[half] * padded[half : half + n]
    for k in range(1, half + 1):
        pair = padded[half - k : half - k + n] + padded[half + k : half + k + n]
        total = total + coefficients[half - k] * pair
    return total / spacing**2


def first_derivative(padded: Values, spacing: Scalar) -> Values:
    """Central first derivative of order 6; width 3."""
    n = padded.shape[0] - 6
    total = jnp.zeros_like(padded[3 : 3 + n])
    for k, coefficient in enumerate(_FIRST_SIXTH, start=1):
        total = total + coefficient * (padded[3 + k : 3 + k + n] - padded[3 - k : 3 - k + n])
    return total / spacing
