"""One-sided first derivatives and central derivatives on uniform grids, along any axis.

`padded` has `width` ghost values on both sides of `axis`; results are at the unpadded nodes. The high-order pairs are
a first-order difference plus a correction made of second differences, e_j = (u_{j+1} − 2u_j + u_{j−1})/Δx: these are
shared by both sides, and they are what smoothness is measured by, so that nothing cancels between large slopes.
"""

import itertools
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

    def weights(b1: Array, b2: Array, b3: Array) -> tuple[Array, ...]:
        return (b2 * b3) ** 2, 6 * (b1 * b3) ** 2, 3 * (b1 * b2) ** 2

    return _three_stencils(padded, spacing, axis, weights)


def wenoz(padded: Values, spacing: Scalar, axis: int = 0) -> tuple[Values, Values]:
    """WENO-Z derivatives (p⁻, p⁺), fifth order also where u'' or u''' vanishes; width 3.

    Source: Borges, Carmona, Costa & Don 2008, doi:10.1016/j.jcp.2007.11.038.
    """

    def weights(b1: Array, b2: Array, b3: Array) -> tuple[Array, ...]:
        spread = (b1 - b3) ** 2
        s1, s2, s3 = b1**2, b2**2, b3**2
        return (s1 + spread) * s2 * s3, 6 * (s2 + spread) * s1 * s3, 3 * (s3 + spread) * s1 * s2

    return _three_stencils(padded, spacing, axis, weights)


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


def _three_stencils(
    padded: Values, spacing: Scalar, axis: int, weights: Callable[[Array, Array, Array], tuple[Array, ...]]
) -> tuple[Values, Values]:
    """(p⁻, p⁺) as means of three cubics each, by `weights(β₁, β₂, β₃)`, which are free of divisions: not normalised.

    β_k is the smoothness of a stencil, up to a common factor that makes it of order one. What both sides need is
    computed once, in differences that are not divided by Δx; one division a side is left.
    """
    n = padded.shape[axis] - 6
    u = [_part(padded, axis, k, n) for k in range(7)]
    slopes = [after - before for before, after in itertools.pairwise(u)]
    bends = [after - before for before, after in itertools.pairwise(slopes)]
    turns = [13 / 3 * (after - before) ** 2 for before, after in itertools.pairwise(bends)]
    e1, e2, e3, e4, e5 = bends
    left = turns[0] + (3 * e2 - e1) ** 2, turns[1] + (e2 + e3) ** 2, turns[2] + (3 * e3 - e4) ** 2
    right = turns[3] + (3 * e4 - e5) ** 2, turns[2] + (e4 + e3) ** 2, turns[1] + (3 * e3 - e2) ** 2
    rough = left[0] + left[1] + left[2] + right[0] + right[1] + right[2]
    # relative to the slopes, so that the weights do not depend on the unit of u
    small = _SMALL * (slopes[2] ** 2 + slopes[3] ** 2 + rough) + _floor(rough)
    unit = _unit(rough + small)
    least = small * unit

    def correction(smoothness: tuple[Array, ...], e1: Array, e2: Array, e3: Array, e4: Array) -> Array:
        b1, b2, b3 = (part * unit + least for part in smoothness)
        a1, a2, a3 = weights(b1, b2, b3)
        total = a1 * (5 * e2 - 2 * e1) + a2 * (e2 + 2 * e3) + a3 * (4 * e3 - e4)
        return total / (6 * (a1 + a2 + a3))

    scale = 1 / spacing
    minus, plus = slopes[2] + correction(left, e1, e2, e3, e4), slopes[3] - correction(right, e5, e4, e3, e2)
    return minus * scale, plus * scale


def _smaller(preferred: Array, other: Array) -> Array:
    """The preferred one unless the other is less than half of it."""
    return jnp.where(2 * jnp.abs(other) < jnp.abs(preferred), other, preferred)


def _unit(size: Array) -> Array:
    """A power of two within a factor of two of 1/size, `size` being positive, finite and normal.

    Powers of what it makes of order one neither overflow nor vanish. Weights are ratios, in which it cancels: it is a
    constant to autodiff. Its exponent is that of `size` turned about by integer arithmetic, because a division here
    would cost a third of the whole stencil.
    """
    word, digits = (jnp.uint32, 23) if size.dtype == jnp.float32 else (jnp.uint64, 52)
    exponents = np.array(np.finfo(size.dtype).maxexp * 2 - 1 << digits, word)  # all ones
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(size), word)
    turned = (exponents - np.array(1 << digits, word)) - (bits & exponents)
    return jax.lax.bitcast_convert_type(turned, size.dtype)


def _floor(like: Array) -> float:
    """Of squares, so that constant u divides by no zero."""
    return float(np.finfo(like.dtype).tiny) ** 0.9


def _difference(values: Values, axis: int) -> Values:
    n = values.shape[axis] - 1
    return _part(values, axis, 1, n) - _part(values, axis, 0, n)


def _part(values: Values, axis: int, start: int, length: int) -> Values:
    return jax.lax.slice_in_dim(values, start, start + length, axis=axis)
