"""Interval arithmetic on JAX programs: what a function can be while its argument stays in a box.

A traced function is read operation by operation. What does not depend on the box is computed as it is; the rest is an
interval. Natural interval extension: a bound, sharp where every argument occurs once (Moore, Kearfott & Cloud 2009,
doi:10.1137/1.9780898717716, chapter 5).
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Vectors

_PIECES = {1: 4, 2: 2}
"""Parts into which each axis of a box is cut, by dimension, where there is one for every place."""
_FINE = {1: 64, 2: 16, 3: 8, 4: 3}
"""And where there is one box for all places."""


class Interval(NamedTuple):
    """Everything between two arrays; of truth values False < True."""

    low: Array
    high: Array
    finite: bool
    """Whether it is bounded wherever the box is: no division, root or logarithm on the way."""
    nonzero: bool = False
    """Whether it is known not to hold 0, wherever the box is."""


Value: TypeAlias = Interval | Array | None
"""None is what an operation without a rule has touched."""


def largest_magnitude_over(
    function: Callable[[Vectors], Vectors], p_lo: Vectors, p_hi: Vectors
) -> tuple[Vectors, bool] | None:
    """An upper bound `[d, ...]` on |function(p)| over p_lo <= p <= p_hi, and whether it is always finite.

    The largest over parts of the box: few, or for a single box `[d]` many, on which the function is read at once, as on
    an array `[d, parts]`. None where the function contains an operation without a rule here (a loop, a solver).
    """
    if p_lo.ndim == 1:
        corners, width = parts(p_lo, p_hi)
        found = _over(function, corners, corners + width)
        return None if found is None else (jnp.max(found[0], axis=1), found[1])
    d = p_lo.shape[0]
    pieces = _PIECES.get(d, 1)
    shape, width = (d,) + (1,) * (p_lo.ndim - 1), (p_hi - p_lo) / pieces
    bound, finite = jnp.zeros_like(p_lo), True
    for part in itertools.product(range(pieces), repeat=d):
        low = p_lo + jnp.asarray(part, p_lo.dtype).reshape(shape) * width
        found = _over(function, low, low + width)
        if found is None:
            return None
        bound, finite = jnp.maximum(bound, found[0]), finite and found[1]
    return bound, finite


def parts(p_lo: Vectors, p_hi: Vectors) -> tuple[Vectors, Vectors]:
    """The lower corners `[d, parts]` of the parts of one box `[d]`, and their widths `[d, 1]`."""
    pieces = _FINE.get(len(p_lo), 1)
    steps = jnp.asarray(list(itertools.product(range(pieces), repeat=len(p_lo))), p_lo.dtype).T
    width = ((p_hi - p_lo) / pieces)[:, None]
    return p_lo[:, None] + steps * width, width


def lattice(p_lo: Vectors, p_hi: Vectors) -> Vectors:
    """The corners `[d, places]` of all the parts of one box `[d]`, the box's own among them."""
    pieces = _FINE.get(len(p_lo), 1)
    steps = jnp.asarray(list(itertools.product(range(pieces + 1), repeat=len(p_lo))), p_lo.dtype).T / pieces
    return p_lo[:, None] + steps * (p_hi - p_lo)[:, None]


def _over(function: Callable[[Vectors], Vectors], low: Vectors, high: Vectors) -> tuple[Vectors, bool] | None:
    program = jax.make_jaxpr(function)(low)
    (found,) = _run(program.jaxpr, program.consts, [Interval(low, high, True)])
    if found is None:
        return None
    ends = found if isinstance(found, Interval) else Interval(found, found, True)
    return jnp.maximum(jnp.abs(ends.low), jnp.abs(ends.high)), ends.finite


def _run(program: Any, constants: Sequence[Array], arguments: Sequence[Value]) -> list[Value]:
    """The outputs of a program."""
    values: dict[Any, Value] = dict(zip(program.constvars, constants, strict=True))
    values.update(zip(program.invars, arguments, strict=True))

    def read(variable: Any) -> Value:
        return variable.val if hasattr(variable, "val") else values[variable]

    for equation in program.eqns:
        inputs = [read(v) for v in equation.invars]
        values.update(zip(equation.outvars, _apply(equation, inputs), strict=True))
    return [read(v) for v in program.outvars]


def _apply(equation: Any, inputs: list[Value]) -> list[Value]:
    primitive, parameters = equation.primitive, equation.params
    name = primitive.name
    unknown: list[Value] = [None] * len(equation.outvars)
    if name in _CALLS:
        inner = next(parameters[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in parameters)
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
    if not any(v is None or isinstance(v, Interval) for v in inputs):
        # numbers that are known while tracing stay known
        free = any(isinstance(v, jax.core.Tracer) for v in inputs)
        with contextlib.nullcontext() if free else jax.ensure_compile_time_eval():
            found = primitive.bind(*inputs, **parameters)
        return list(found) if primitive.multiple_results else [found]
    if any(v is None for v in inputs):
        return unknown
    known: Any = inputs
    whole = [v if isinstance(v, Interval) else Interval(v, v, True) for v in known]
    divides = name == "div" and (whole[1].nonzero or not isinstance(known[1], Interval))
    finite = all(v.finite for v in whole) and (divides or name not in _SINGULAR)
    if name == "mul" and equation.invars[0] is equation.invars[1]:
        low, high = _even(jnp.square, whole[0])
    elif name in _INCREASING:
        low, high = (primitive.bind(*(v[side] for v in whole), **parameters) for side in (0, 1))
    elif name in _RULES:
        low, high = _RULES[name](*whole, **(parameters if name in _PARAMETRIC else {}))
    elif name in _EXACT_LAST and not isinstance(known[1], Interval):
        low, high = (primitive.bind(whole[0][side], *known[1:], **parameters) for side in (0, 1))
    else:
        return unknown
    if primitive.multiple_results:
        return [Interval(*ends, finite) for ends in zip(low, high, strict=True)]
    return [Interval(low, high, finite, name == "select_n" and _same_sign(known[1:]))]


def _same_sign(cases: Sequence[Value]) -> bool:
    """Whether all are known numbers above 0, or all below."""
    if any(v is None or isinstance(v, Interval | jax.core.Tracer) for v in cases):
        return False
    values = [np.asarray(v) for v in cases]
    return all((v > 0).all() for v in values) or all((v < 0).all() for v in values)


_Pair: TypeAlias = tuple[Array, Array]


def _even(function: Callable[[Array], Array], a: Interval) -> _Pair:
    """Of a function that is even and increases with |a|."""
    ends = function(a.low), function(a.high)
    least = jnp.where((a.low <= 0) & (a.high >= 0), function(jnp.zeros_like(a.low)), jnp.minimum(*ends))
    return least, jnp.maximum(*ends)


def _negative(a: Interval) -> Interval:
    return Interval(-a.high, -a.low, a.finite)


def _difference(a: Interval, b: Interval) -> _Pair:
    return a.low - b.high, a.high - b.low


def _product(a: Interval, b: Interval) -> _Pair:
    corners = [jnp.where((x == 0) | (y == 0), 0.0, x * y) for x in a[:2] for y in b[:2]]  # 0·∞: 0 is attained
    low, high = corners[0], corners[0]
    for corner in corners[1:]:
        low, high = jnp.minimum(low, corner), jnp.maximum(high, corner)
    return low, high


def _reciprocal(a: Interval) -> Interval:
    across = (a.low <= 0) & (a.high >= 0)
    low, high = (1 / jnp.where(across, 1.0, end) for end in (a.high, a.low))
    return Interval(jnp.where(across, -jnp.inf, low), jnp.where(across, jnp.inf, high), False)


def _quotient(a: Interval, b: Interval) -> _Pair:
    return _product(a, _reciprocal(b))


def _power(a: Interval, y: int) -> _Pair:
    if y < 0:
        inverse = _reciprocal(Interval(*_power(a, -y), a.finite))
        return inverse.low, inverse.high
    if y % 2 == 0:
        return _even(lambda x: x**y, a)
    return a.low**y, a.high**y


def _real_power(a: Interval, y: Interval) -> _Pair:
    """a^y: for a >= 0 it is monotone in a and in y, so that it is extreme at corners; for a < 0 it may be anything."""
    base = Interval(jnp.maximum(a.low, 0.0), jnp.maximum(a.high, 0.0), True)
    corners = jnp.stack([jnp.power(x, z) for x in base[:2] for z in y[:2]])
    low, high = jnp.min(corners, axis=0), jnp.max(corners, axis=0)
    return jnp.where(a.low < 0, -jnp.inf, low), jnp.where(a.low < 0, jnp.inf, high)


def _cosine(a: Interval) -> _Pair:
    ends, turn = (jnp.cos(a.low), jnp.cos(a.high)), 2 * jnp.pi

    def holds(place: float) -> Array:
        """Whether place + 2πk is in the interval for some k."""
        return jnp.floor((a.high - place) / turn) >= jnp.ceil((a.low - place) / turn)

    low = jnp.where(holds(jnp.pi), -1.0, jnp.minimum(*ends))
    return low, jnp.where(holds(0.0), 1.0, jnp.maximum(*ends))


def _sine(a: Interval) -> _Pair:
    return _cosine(Interval(a.low - jnp.pi / 2, a.high - jnp.pi / 2, a.finite))


def _inverse_root(a: Interval) -> _Pair:
    return jax.lax.rsqrt(a.high), jnp.where(a.low > 0, jax.lax.rsqrt(jnp.where(a.low > 0, a.low, 1.0)), jnp.inf)


def _chosen(which: Interval, *cases: Interval) -> _Pair:
    """All between the cases that may be chosen."""
    first, last = (end.astype(int) for end in which[:2])
    low, high = jnp.full_like(cases[0].low, jnp.inf), jnp.full_like(cases[0].high, -jnp.inf)
    for k, case in enumerate(cases):
        may_be = (first <= k) & (k <= last)
        low = jnp.where(may_be, jnp.minimum(low, case.low), low)
        high = jnp.where(may_be, jnp.maximum(high, case.high), high)
    return low, high


def _contraction(a: Interval, b: Interval, **parameters: Any) -> _Pair:
    """Σ ab by the midpoint-radius form: centre·centre ± (|centre|·radius + radius·|centre| + radius·radius)."""

    def dot(x: Array, y: Array) -> Array:
        return jax.lax.dot_general_p.bind(x, y, **parameters)

    centres, radii = zip(*(((v.low + v.high) / 2, (v.high - v.low) / 2) for v in (a, b)), strict=True)
    middle = dot(*centres)
    spread = dot(jnp.abs(centres[0]), radii[1]) + dot(radii[0], jnp.abs(centres[1])) + dot(*radii)
    return middle - spread, middle + spread


def _equal(a: Interval, b: Interval) -> _Pair:
    points = (a.low == a.high) & (b.low == b.high)
    return points & (a.low == b.low), (a.low <= b.high) & (b.low <= a.high)


def _not(a: _Pair) -> _Pair:
    return ~a[1], ~a[0]


_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "remat", "checkpoint"}
_SINGULAR = {"div", "pow", "log", "log1p", "rsqrt", "sqrt", "integer_pow"}
"""May be infinite or undefined on a bounded interval (integer_pow: negative powers)."""
_INCREASING = {
    *("add", "add_any", "reduce_sum", "reduce_max", "reduce_min", "max", "min", "and", "or", "clamp"),
    *("exp", "exp2", "expm1", "log", "log1p", "sqrt", "cbrt", "tanh", "logistic", "atan", "asinh", "sinh", "erf"),
    *("sign", "floor", "ceil", "round", "copy", "stop_gradient", "convert_element_type", "reduce_precision", "split"),
    *("reshape", "broadcast_in_dim", "squeeze", "expand_dims", "slice", "transpose", "rev", "concatenate", "pad"),
    *("cumsum", "cummax"),
}
"""Increasing in every argument, those that only move entries among them."""
_EXACT_LAST = {"gather", "dynamic_slice"}
"""Increasing in the first argument, where the others are exact."""
_PARAMETRIC = {"integer_pow", "dot_general"}
_RULES: dict[str, Callable[..., _Pair]] = {
    "neg": lambda a: _negative(a)[:2],
    "sub": _difference,
    "mul": _product,
    "div": _quotient,
    "abs": lambda a: _even(jnp.abs, a),
    "square": lambda a: _even(jnp.square, a),
    "cosh": lambda a: _even(jnp.cosh, a),
    "integer_pow": _power,
    "pow": _real_power,
    "rsqrt": _inverse_root,
    "cos": _cosine,
    "sin": _sine,
    "select_n": _chosen,
    "dot_general": _contraction,
    "lt": lambda a, b: (a.high < b.low, a.low < b.high),
    "le": lambda a, b: (a.high <= b.low, a.low <= b.high),
    "gt": lambda a, b: (a.low > b.high, a.high > b.low),
    "ge": lambda a, b: (a.low >= b.high, a.high >= b.low),
    "eq": _equal,
    "ne": lambda a, b: _not(_equal(a, b)),
    "not": lambda a: _not((a.low, a.high)),
    "is_finite": lambda a: (jnp.isfinite(a.low) & jnp.isfinite(a.high), jnp.ones(a.low.shape, bool)),
}
