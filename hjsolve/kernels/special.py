"""Gaussian tails in the log domain, accurate to round-off where exp(−z²) underflows.

`jax.scipy.special.log_ndtr` is off by 4e-9 near z = −20, which a small viscosity makes the ordinary case. Here one
polynomial covers the whole half-line, so that autodiff through it has no cancellation, to any order.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, ArrayLike, Values

# Chebyshev coefficients of (1 + 2x) exp(x²) erfc(x) in (x − 3.75)/(x + 3.75), x >= 0, from 60-digit arithmetic; the
# first one left out is 3e-21. The form is that of Shepherd & Laframboise 1981, doi:10.1090/S0025-5718-1981-0595058-X.
_MIDPOINT = 3.75
_SCALED_ERFC = (
    1.1775789345674017541, -0.0045900545806464773309, -0.084249133366517915584, 0.059209939998191890498,
    -0.026658668435305752277, 0.0090749976707052650939, -0.0024131635404176081909, 0.00049077583652580863229,
    -0.000069169733025012063671, 4.1390279860730101675e-6, 7.7403830661984906686e-7, -2.1886401049234395661e-7,
    1.0764999465670910377e-8, 4.5219598112182868979e-9, -7.7544002088313511065e-10, -6.3180883408866844944e-11,
    2.8687950109306698981e-11, 1.945586854577734723e-13, -9.6546967484334389059e-13, 3.2525481481487398415e-14,
    3.3478119482868053878e-14, -1.8645628804193131015e-15, -1.2507950530688647085e-15, 7.418235256624043463e-17,
    5.0681489047961113168e-17, -2.2370566594359995974e-18, -2.187342944303017665e-18, 2.6766327399258761745e-20,
    9.7365614017414507665e-20,
)  # fmt: skip
_LOG_2 = float(np.log(2.0))


def log_erfc(z: ArrayLike) -> Values:
    """`log erfc(z)`, elementwise for every real z; relative error a few ulp, also near its zero at z = 0."""
    z = _floating(z)
    tail = z > 0.5
    above = jnp.where(tail, z, 1.0)
    return jnp.where(tail, log_erfcx(above) - above**2, jnp.log1p(-jax.lax.erf(jnp.where(tail, 0.0, z))))


def log_erfcx(z: ArrayLike) -> Values:
    """`log(exp(z²) erfc(z))`, elementwise for every real z; −log(√π z) to leading order as z → ∞."""
    z = _floating(z)
    tail = z > 0.5
    above, below = jnp.where(tail, z, 1.0), jnp.where(tail, 0.0, z)
    return jnp.where(
        tail,
        jnp.log(_scaled_erfc(above)) - jnp.log1p(2 * above),
        below**2 + jnp.log1p(-jax.lax.erf(below)),
    )


def log_ndtr(z: ArrayLike) -> Values:
    """`log Φ(z)` of the standard normal distribution, elementwise for every real z; relative error a few ulp.

    It rounds to 0 where 1 − Φ(z) underflows, beyond z = 37.5 in float64 and 12.9 in float32.
    """
    z = _floating(z)
    left = z <= 0
    below, above = jnp.where(left, z, 0.0), jnp.where(left, 0.0, z)
    # exp(−z²/2) loses z²/2 ulp to the rounding of z². A multiple of 1/16 has an exact square; the rest is small.
    head = jnp.round(16 * above) / 16
    gaussian = jnp.exp(-(head**2) / 2) * jnp.exp(-(above - head) * (above + head) / 2)
    root = above / np.sqrt(2.0).item()
    upper_tail = gaussian * _scaled_erfc(root) / (2 * (1 + 2 * root))
    return jnp.where(left, log_erfcx(-below / np.sqrt(2.0).item()) - below**2 / 2 - _LOG_2, jnp.log1p(-upper_tail))


def mills(z: ArrayLike) -> Values:
    """Mills' ratio `exp(z²/2) ∫_z^∞ exp(−s²/2) ds` for z >= 0; 1/z to leading order as z → ∞."""
    root = _floating(z) / np.sqrt(2.0).item()
    return np.sqrt(np.pi / 2).item() * _scaled_erfc(root) / (1 + 2 * root)


def _scaled_erfc(x: Array) -> Values:
    """(1 + 2x) exp(x²) erfc(x) for x >= 0, by Clenshaw's recurrence."""
    y = 1 - 2 * _MIDPOINT / (x + _MIDPOINT)
    last, before = jnp.zeros_like(y), jnp.zeros_like(y)
    # the first coefficient left out bounds the error: 15 of them serve float32
    needed = [c for c in _SCALED_ERFC if abs(c) > float(jnp.finfo(y.dtype).eps) / 256]
    for coefficient in reversed(needed[1:]):
        last, before = 2 * y * last - before + coefficient, last
    return y * last - before + _SCALED_ERFC[0]


def _floating(z: ArrayLike) -> Array:
    array = jnp.asarray(z)
    return array.astype(jnp.result_type(array, float))
