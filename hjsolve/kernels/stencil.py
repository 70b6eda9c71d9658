"""One-sided first derivatives and central derivatives on uniform grids, along any axis.

`padded` has `width` ghost values on both sides of `axis`; results are at the unpadded nodes. The high-order pairs are
a first-order difference plus a correction made of second differences, e_j = u_{j+1} − 2u_j + u_{j−1}: these are
shared by both sides, and they are what smoothness is measured by, so that nothing cancels between large slopes.
Pairs are differentiated in reverse mode (once), by a rule of their own.
"""

import inspect
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Scalar, Values

Pair: TypeAlias = tuple[Values, Values]
_SECOND = {2: (-2.0, 1.0), 4: (-5 / 2, 4 / 3, -1 / 12), 6: (-49 / 18, 3 / 2, -3 / 20, 1 / 90)}
_FIRST = {2: (1 / 2,), 4: (2 / 3, -1 / 12), 6: (3 / 4, -3 / 20, 1 / 60)}
_SMALL = 1e-6
"""Of the squared slope: what a smoothness indicator is not told from."""


def upwind1(padded: Values, spacing: Scalar, axis: int = 0) -> Pair:
    """First-order differences (p⁻, p⁺); width 1."""
    return _differentiated(_upwind1, padded, spacing, axis)


def eno2(padded: Values, spacing: Scalar, axis: int = 0) -> Pair:
    """Second-order essentially non-oscillatory derivatives (p⁻, p⁺); width 2.

    Source: Osher & Shu 1991, doi:10.1137/0728049.
    """
    return _differentiated(_eno2, padded, spacing, axis)


def eno3(padded: Values, spacing: Scalar, axis: int = 0) -> Pair:
    """Third-order essentially non-oscillatory derivatives (p⁻, p⁺); width 3. doi:10.1137/0728049.

    Biased towards the stencil that is stable by itself: another one must be twice as smooth to be taken, without which
    the choice flickers where u is smooth and the order falls to 2. Source: Shu 1990, doi:10.1007/BF01065581.
    """
    return _differentiated(_eno3, padded, spacing, axis)


def weno3(padded: Values, spacing: Scalar, axis: int = 0) -> Pair:
    """Third-order weighted essentially non-oscillatory derivatives (p⁻, p⁺); width 2.

    Source: Jiang & Peng 2000, doi:10.1137/S106482759732455X.
    """
    return _differentiated(_weno3, padded, spacing, axis)


def weno5(padded: Values, spacing: Scalar, axis: int = 0) -> Pair:
    """Fifth-order weighted essentially non-oscillatory derivatives (p⁻, p⁺); width 3.

    Source: Jiang & Peng 2000, doi:10.1137/S106482759732455X.
    """
    return _differentiated(_weno5, padded, spacing, axis)


def wenoz(padded: Values, spacing: Scalar, axis: int = 0) -> Pair:
    """WENO-Z derivatives (p⁻, p⁺), fifth order also where the second or the third derivative vanishes; width 3.

    Source: Borges, Carmona, Costa & Don 2008, doi:10.1016/j.jcp.2007.11.038.
    """
    return _differentiated(_wenoz, padded, spacing, axis)


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


@partial(jax.custom_vjp, nondiff_argnums=(0, 3))
def _differentiated(local: Callable[..., Pair], padded: Values, spacing: Scalar, axis: int) -> Pair:
    """(p⁻, p⁺) by `local(u_{i−w}, ..., u_{i+w})`, which makes slopes times Δx of the 2w + 1 values around a node."""
    minus, plus = local(*_around(local, padded, axis))
    scale = 1 / spacing
    return minus * scale, plus * scale


def _forward(local: Callable[..., Pair], padded: Values, spacing: Scalar, axis: int) -> tuple[Pair, Any]:
    return _differentiated(local, padded, spacing, axis), (padded, spacing)


def _backward(local: Callable[..., Pair], axis: int, kept: Any, cotangents: Pair) -> tuple[Values, Scalar]:
    """What a node's slopes owe to each of its neighbours is computed again, and added in that neighbour's place.

    Left to autodiff, what is owed would be computed in the place where it is added up, anew for each of the shifts
    through which it comes, and each of those again: hundreds of times the work.
    """
    padded, spacing = kept
    (minus, plus), pull = jax.vjp(local, *_around(local, padded, axis))
    scale = 1 / spacing
    both = jax.lax.optimization_barrier(jnp.stack(cotangents) * scale)  # once, not in each of the shares
    owed = pull((both[0], both[1]))
    total = jnp.zeros_like(padded)
    for k, share in enumerate(_in_pairs(owed)):
        place = (slice(None),) * axis + (slice(k, k + share.shape[axis]),)
        total = total.at[place].add(share)
    of_spacing = -jnp.sum(cotangents[0] * minus + cotangents[1] * plus) * scale**2
    return total, of_spacing.astype(jnp.result_type(spacing))


def _in_pairs(fields: Sequence[Array]) -> list[Array]:
    """The fields, each kept in memory, two computed together: a loop has one output, which may be a complex number."""
    shape, count = fields[0].shape, len(fields) // 2
    kept = jnp.zeros((count, *shape), jnp.result_type(fields[0], jnp.complex64))
    for k in range(count):
        pair = jax.lax.complex(fields[2 * k], fields[2 * k + 1])
        kept = jax.lax.dynamic_update_slice(kept, pair[None], (k,) + (0,) * len(shape))
    split = [part for k in range(count) for part in (kept[k].real, kept[k].imag)]
    return split + list(fields[2 * count :])


_differentiated.defvjp(_forward, _backward)


def _around(local: Callable[..., Pair], padded: Values, axis: int) -> list[Values]:
    count = len(inspect.signature(local).parameters)
    n = padded.shape[axis] - count + 1
    return [_part(padded, axis, k, n) for k in range(count)]


def _upwind1(u1: Array, u2: Array, u3: Array) -> Pair:
    return u2 - u1, u3 - u2


def _eno2(u1: Array, u2: Array, u3: Array, u4: Array, u5: Array) -> Pair:
    slopes = _steps(u1, u2, u3, u4, u5)
    e1, e2, e3 = _steps(*slopes)

    def correction(e1: Array, e2: Array) -> Array:
        return jnp.where(jnp.abs(e1) < jnp.abs(e2), e1, e2) / 2

    return slopes[1] + correction(e1, e2), slopes[2] - correction(e3, e2)


def _eno3(u1: Array, u2: Array, u3: Array, u4: Array, u5: Array, u6: Array, u7: Array) -> Pair:
    slopes = _steps(u1, u2, u3, u4, u5, u6, u7)
    e1, e2, e3, e4, e5 = _steps(*slopes)

    def correction(e1: Array, e2: Array, e3: Array, e4: Array) -> Array:
        # the parabola of the smaller second difference, then the cubic of the smaller third one
        left = e2 / 2 + _smaller(e3 - e2, e2 - e1) / 3
        right = e3 / 2 - _smaller(e3 - e2, e4 - e3) / 6
        return jnp.where(2 * jnp.abs(e2) < jnp.abs(e3), left, right)

    return slopes[2] + correction(e1, e2, e3, e4), slopes[3] - correction(e5, e4, e3, e2)


def _weno3(u1: Array, u2: Array, u3: Array, u4: Array, u5: Array) -> Pair:
    slopes = _steps(u1, u2, u3, u4, u5)
    e1, e2, e3 = _steps(*slopes)
    small = _SMALL * (slopes[1] ** 2 + slopes[2] ** 2 + e1**2 + e2**2 + e3**2) + _floor(u1)
    unit = _unit(e1**2 + e2**2 + e3**2 + small)

    def correction(e1: Array, e2: Array) -> Array:
        ratio = ((e1**2 + small) * unit) / ((e2**2 + small) * unit)
        upwind = 1 / (1 + 2 * ratio**2)  # 1/3 where both parabolas are as smooth
        return (e2 + upwind * (e1 - e2)) / 2

    return slopes[1] + correction(e1, e2), slopes[2] - correction(e3, e2)


def _weno5(u1: Array, u2: Array, u3: Array, u4: Array, u5: Array, u6: Array, u7: Array) -> Pair:
    def weights(b1: Array, b2: Array, b3: Array) -> tuple[Array, ...]:
        return (b2 * b3) ** 2, 6 * (b1 * b3) ** 2, 3 * (b1 * b2) ** 2

    return _three_stencils(weights, u1, u2, u3, u4, u5, u6, u7)


def _wenoz(u1: Array, u2: Array, u3: Array, u4: Array, u5: Array, u6: Array, u7: Array) -> Pair:
    def weights(b1: Array, b2: Array, b3: Array) -> tuple[Array, ...]:
        spread = (b1 - b3) ** 2
        s1, s2, s3 = b1**2, b2**2, b3**2
        return (s1 + spread) * s2 * s3, 6 * (s2 + spread) * s1 * s3, 3 * (s3 + spread) * s1 * s2

    return _three_stencils(weights, u1, u2, u3, u4, u5, u6, u7)


def _three_stencils(weights: Callable[[Array, Array, Array], tuple[Array, ...]], *u: Array) -> Pair:
    """Means of three cubics on each side, by `weights(β₁, β₂, β₃)`, which are free of divisions: not normalised.

    β_k is the smoothness of a stencil, up to a common factor that makes it of order one. What both sides need is
    computed once; one division a side is left.
    """
    slopes = _steps(*u)
    bends = _steps(*slopes)
    turns = [13 / 3 * step**2 for step in _steps(*bends)]
    e1, e2, e3, e4, e5 = bends
    left = turns[0] + (3 * e2 - e1) ** 2, turns[1] + (e2 + e3) ** 2, turns[2] + (3 * e3 - e4) ** 2
    right = turns[3] + (3 * e4 - e5) ** 2, turns[2] + (e4 + e3) ** 2, turns[1] + (3 * e3 - e2) ** 2
    rough = left[0] + left[1] + left[2], right[0] + right[1] + right[2]
    # relative to the slopes, so that the weights do not depend on the unit of u
    small = _SMALL * (slopes[2] ** 2 + slopes[3] ** 2 + rough[0] + rough[1]) + _floor(rough[0])

    def correction(smoothness: tuple[Array, ...], rough: Array, e1: Array, e2: Array, e3: Array, e4: Array) -> Array:
        unit = _unit(rough + small)
        least = small * unit
        b1, b2, b3 = (part * unit + least for part in smoothness)
        a1, a2, a3 = weights(b1, b2, b3)
        total = a1 * (5 * e2 - 2 * e1) + a2 * (e2 + 2 * e3) + a3 * (4 * e3 - e4)
        return total / (6 * (a1 + a2 + a3))

    minus = slopes[2] + correction(left, rough[0], e1, e2, e3, e4)
    return minus, slopes[3] - correction(right, rough[1], e5, e4, e3, e2)


def _steps(*values: Array) -> list[Array]:
    return [after - before for before, after in itertools.pairwise(values)]


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


def _part(values: Values, axis: int, start: int, length: int) -> Values:
    return jax.lax.slice_in_dim(values, start, start + length, axis=axis)
