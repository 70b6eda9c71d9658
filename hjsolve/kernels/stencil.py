"""One-sided first derivatives and central derivatives on uniform grids, along any axis.

`padded` has `width` ghost values on both sides of `axis`; results are at the unpadded nodes. The high-order pairs are
a first-order difference plus a correction made of second differences, e_j = (u_{j+1} − 2u_j + u_{j−1})/Δx: these are
shared by both sides, and they are what smoothness is measured by, so that nothing cancels between large slopes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Scalar, Values

_SECOND = {2: (-2.0, 1.0), 4: (-5 / 2, 4 / 3, -1 / 12), 6: (-49 / 18, 3 / 2, -3 / 20, 1 / 90)}
_FIRST = {2: (1 / 2,), 4: (2 / 3, -1 / 12), 6: (3 / 4, -3 / 20, 1 / 60)}
_SMALL = 1e-6
"""Of the squared slope: what a smoothness indicator is not told from."""


def upwind1(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """First-order differences (p⁻, p⁺); width 1."""
    return _pair(padded, spacing, axis, 1, lambda slope: jnp.zeros_like(slope))


def eno2(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """Second-order essentially non-oscillatory derivatives (p⁻, p⁺); width 2.

    Source: Osher & Shu 1991, doi:10.1137/0728049.
    """
    return _pair(padded, spacing, axis, 2, lambda slope, e1, e2: jnp.where(jnp.abs(e1) < jnp.abs(e2), e1, e2) / 2)


def eno3(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """Third-order essentially non-oscillatory derivatives (p⁻, p⁺); width 3. doi:10.1137/0728049.

    Biased towards the stencil that is stable by itself: another one must be twice as smooth to be taken, without which
    the choice flickers where u is smooth and the order falls to 2. Source: Shu 1990, doi:10.1007/BF01065581.
    """

    def correction(slope: Array, e1: Array, e2: Array, e3: Array, e4: Array) -> Array:
        # the parabola of the smaller second difference, then the cubic of the smaller third one
        left = e2 / 2 + _smaller(e3 - e2, e2 - e1) / 3
        right = e3 / 2 - _smaller(e3 - e2, e4 - e3) / 6
        return jnp.where(2 * jnp.abs(e2) < jnp.abs(e3), left, right)

    return _pair(padded, spacing, axis, 3, correction)


def weno3(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """Third-order weighted essentially non-oscillatory derivatives (p⁻, p⁺); width 2.

    Source: Jiang & Peng 2000, doi:10.1137/S106482759732455X.
    """

    def correction(slope: Array, e1: Array, e2: Array) -> Array:
        small = _SMALL * (slope**2 + e1**2 + e2**2) + _floor(slope)
        unit = _unit(e1**2 + e2**2 + small)
        ratio = ((e1**2 + small) * unit) / ((e2**2 + small) * unit)
        upwind = 1 / (1 + 2 * ratio**2)  # 1/3 where both parabolas are as smooth
        return (e2 + upwind * (e1 - e2)) / 2

    return _pair(padded, spacing, axis, 2, correction)


def weno5(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """Fifth-order weighted essentially non-oscillatory derivatives (p⁻, p⁺); width 3.

    Source: Jiang & Peng 2000, doi:10.1137/S106482759732455X.
    """

    def weighted(s: tuple[Array, ...], small: Array) -> tuple[Array, ...]:
        unit = _unit(s[0] + s[1] + s[2] + 3 * small)
        b1, b2, b3 = ((part + small) * unit for part in s)
        return 0.1 * (b2 * b3) ** 2, 0.6 * (b1 * b3) ** 2, 0.3 * (b1 * b2) ** 2

    return _pair(padded, spacing, axis, 3, _three_stencils(weighted))


def wenoz(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """WENO-Z derivatives (p⁻, p⁺), fifth order also where u'' or u''' vanishes; width 3.

    Source: Borges, Carmona, Costa & Don 2008, doi:10.1016/j.jcp.2007.11.038.
    """

    def weighted(s: tuple[Array, ...], small: Array) -> tuple[Array, ...]:
        unit = _unit(s[0] + s[1] + s[2] + 3 * small)
        spread = jnp.abs(s[0] - s[2]) * unit
        weights = zip((0.1, 0.6, 0.3), s, strict=True)
        return tuple(d * (1 + (spread / ((part + small) * unit)) ** 2) for d, part in weights)

    return _pair(padded, spacing, axis, 3, _three_stencils(weighted))


def second_derivative(padded: Values, spacing: Scalar, *, order: int, axis: int = 0) -> Values:
    """Central second derivative of order 2, 4 or 6; width order/2."""
    half = order // 2
    middle, *outer = _SECOND[order]
    n = padded.shape[axis] - 2 * half
    total = middle * _part(padded, axis, half, n)
    for k, coefficient in enumerate(outer, start=1):
        total = total + coefficient * (_part(padded, axis, half - k, n) + _part(padded, axis, half + k, n))
    return total / spacing**2


def first_derivative(padded: Values, spacing: Scalar, *, order: int = 6, axis: int = 0) -> Values:
    """Central first derivative of order 2, 4 or 6; width order/2."""
    half = order // 2
    n = padded.shape[axis] - 2 * half
    pairs = [
        coefficient * (_part(padded, axis, half + k, n) - _part(padded, axis, half - k, n))
        for k, coefficient in enumerate(_FIRST[order], start=1)
    ]
    return sum(pairs[1:], start=pairs[0]) / spacing


def _pair(
    padded: Values, spacing: Scalar, axis: int, width: int, correction: Callable[..., Array]
) -> tuple[Values, Values]:
    """p⁻ = D⁻ + f(D⁻, e_{i−w+1}, ..., e_{i+w−2}) and its mirror image p⁺ = D⁺ − f(D⁺, e_{i+w−1}, ..., e_{i−w+2})."""
    n = padded.shape[axis] - 2 * width
    slopes = _difference(padded, axis) * (1 / spacing)  # one division
    minus, plus = (_part(slopes, axis, width - 1 + k, n) for k in (0, 1))
    bends = _difference(slopes, axis)
    reach = range(1 - width, width - 1)
    near = {k: _part(bends, axis, width - 1 + k, n) for k in range(1 - width, width)} if width > 1 else {}
    return minus + correction(minus, *(near[k] for k in reach)), plus - correction(plus, *(near[-k] for k in reach))


def _three_stencils(weighted: Callable[[tuple[Array, ...], Array], tuple[Array, ...]]) -> Callable[..., Array]:
    """The mean of three cubic corrections by `weighted(smoothness of each, a small amount of it)`, not normalised."""

    def correction(slope: Array, e1: Array, e2: Array, e3: Array, e4: Array) -> Array:
        smoothness = (
            13 / 12 * (e2 - e1) ** 2 + 0.25 * (3 * e2 - e1) ** 2,
            13 / 12 * (e3 - e2) ** 2 + 0.25 * (e2 + e3) ** 2,
            13 / 12 * (e4 - e3) ** 2 + 0.25 * (3 * e3 - e4) ** 2,
        )
        # relative to the slopes, so that the weights do not depend on the unit of u
        small = _SMALL * (slope**2 + e1**2 + e2**2 + e3**2 + e4**2) + _floor(slope)
        a1, a2, a3 = weighted(smoothness, small)
        total = a1 * (5 * e2 - 2 * e1) + a2 * (e2 + 2 * e3) + a3 * (4 * e3 - e4)
        return total / (6 * (a1 + a2 + a3))

    return correction


def _smaller(preferred: Array, other: Array) -> Array:
    """The preferred one unless the other is less than half of it."""
    return jnp.where(2 * jnp.abs(other) < jnp.abs(preferred), other, preferred)


def _unit(size: Array) -> Array:
    """1/size: powers of what it makes of order one neither overflow nor vanish, nor do those of derivatives.

    Weights are ratios, in which it cancels: it is a constant to autodiff.
    """
    return jax.lax.stop_gradient(1 / size)


def _floor(like: Array) -> float:
    """Of squares, so that constant u divides by no zero."""
    return float(np.finfo(like.dtype).tiny) ** 0.9


def _difference(values: Values, axis: int) -> Values:
    n = values.shape[axis] - 1
    return _part(values, axis, 1, n) - _part(values, axis, 0, n)


def _part(values: Values, axis: int, start: int, length: int) -> Values:
    return jax.lax.slice_in_dim(values, start, start + length, axis=axis)
