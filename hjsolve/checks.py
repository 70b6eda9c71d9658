"""Argument checks shared by every constructor: each names the argument, the bound, the value and the remedy.

Checks act on concrete numbers only. A traced value (under `jax.grad`, `jax.vmap`, `jax.jit`) passes, so that a problem
can be built inside a transformation.
"""

import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .typing import Array, ArrayLike


def as_array(argument: str, value: ArrayLike | Any) -> Array:
    """A floating-point array of `value`, kept in float64 until `solve` casts it to the run's precision.

    JAX arrays keep their dtype (traced ones included). Raises `TypeError` for what is no number and `ValueError`
    for NaN.
    """
    if isinstance(value, jax.Array):
        array = value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)
    elif any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value)):
        array = jnp.asarray(value, dtype=float)
    else:
        try:
            array = np.asarray(value, dtype=np.float64)  # type: ignore[assignment]
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{argument}` must be a number or an array of numbers; got {value!r}.") from error
    known = concrete(array)
    if known is not None and np.isnan(known).any():
        raise ValueError(
            f"`{argument}` must not contain NaN; {int(np.isnan(known).sum())} of {known.size} entries are NaN. "
            "Remove or replace them."
        )
    return array


def concrete(value: Any) -> np.ndarray[Any, np.dtype[Any]] | None:
    """`value` as a NumPy array, or None where it is traced or abstract and has no number yet."""
    if isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct):
        return None
    return np.asarray(value)


def require(holds: Any, message: str) -> None:
    """Raise `ValueError(message)` unless `holds`; a condition that is None (unknown: traced) passes."""
    if holds is not None and not np.all(holds):
        raise ValueError(message)


def check_range(
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    remedy: str,
) -> None:
    """Require value > above, >= least, < below and <= most in every entry, where the value is known."""
    known = concrete(value)
    if known is None:
        return
    shown = known.tolist() if known.size <= 8 else f"an array from {known.min():g} to {known.max():g}"
    if not np.isfinite(known).all():
        raise ValueError(f"`{argument}` must be finite; got {shown}. {remedy}")
    if above is not None and not (known > above).all():
        raise ValueError(f"`{argument}` must be > {above:g}; got {shown}. {remedy}")
    if least is not None and not (known >= least).all():
        raise ValueError(f"`{argument}` must be >= {least:g}; got {shown}. {remedy}")
    if below is not None and not (known < below).all():
        raise ValueError(f"`{argument}` must be < {below:g}; got {shown}. {remedy}")
    if most is not None and not (known <= most).all():
        raise ValueError(f"`{argument}` must be <= {most:g}; got {shown}. {remedy}")


def shaped(argument: str, value: ArrayLike, shape: tuple[int, ...], meaning: str) -> Array:
    """Return `value` as an array, required to have exactly this shape."""
    array = as_array(argument, value)
    check_shape(argument, array, shape, meaning)
    return array


def check_shape(argument: str, value: Any, shape: tuple[int, ...], meaning: str) -> None:
    """Require exactly this shape."""
    found = np.shape(value)
    require(found == shape, f"`{argument}` must have shape {shape}, {meaning}; got {found}.")


def check_ndim(argument: str, value: Array, ndim: int, shape: str, remedy: str) -> None:
    """Require an array of `ndim` axes, described in the message as `shape`."""
    require(np.ndim(value) == ndim, f"`{argument}` must have shape {shape}; got {np.shape(value)}. {remedy}")


def number(argument: str, value: Any) -> Array:
    """`as_array` of a single number; `ValueError` for anything with axes."""
    array = as_array(argument, value)
    require(
        array.ndim == 0,
        f"`{argument}` must be a number; got shape {array.shape}. Build one for each value (jax.vmap).",
    )
    return array


def check_kind(argument: str, value: Any, kind: type, home: str) -> None:
    """`TypeError` unless `value` is None or an instance of `kind`, whose classes are found in `home`."""
    if value is None or isinstance(value, kind):
        return
    found = f"the class; write {value.__name__}()" if isinstance(value, type) else f"{value!r}"
    raise TypeError(f"`{argument}` must be an instance of a class in {home}; got {found}.")


def whole_number(argument: str, value: Any, *, least: int, remedy: str) -> int:
    """`value`, of any integer type, as an int that is at least `least`; it is fixed when a program is compiled."""
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"`{argument}` must be a whole number >= {least}; got {value!r}. {remedy}")
    require(number >= least, f"`{argument}` must be a whole number >= {least}; got {number}. {remedy}")
    return number


def counts(argument: str, value: Any) -> int | tuple[int, ...]:
    """A whole number, or one per axis, from any integer type; `TypeError` names the argument otherwise."""
    try:
        count = operator.index(value)
        require(count >= 1, f"`{argument}` must be >= 1; got {count}.")
        return count
    except TypeError:
        pass
    try:
        numbers = tuple(operator.index(entry) for entry in value)
    except TypeError:
        numbers = ()
    if not numbers:
        raise TypeError(f"`{argument}` must be a whole number, or a list of one per axis; got {value!r}.")
    require(min(numbers) >= 1, f"`{argument}` must be >= 1 on every axis; got {numbers}.")
    return numbers
