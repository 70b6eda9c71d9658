"""Obstacles: functions that the solution is kept below or above."""

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from ..checks import require
from ..typing import Scalar, Values, Vectors
from .initials import AbstractInitial

Obstacle: TypeAlias = AbstractInitial | Callable[[Scalar, Vectors], Values]
"""ψ(t, x `[d, ...]`) -> `[...]`, or initial data, which stay where they are."""


def height(obstacle: Obstacle, t: Scalar, x: Vectors) -> Values:
    """ψ(t, x) at places x `[d, ...]`."""
    if isinstance(obstacle, AbstractInitial):
        flat = jax.vmap(obstacle, in_axes=1)(x.reshape(x.shape[0], -1))
        return flat.reshape(x.shape[1:])
    return jnp.asarray(obstacle(t, x))


def check_obstacle(argument: str, obstacle: Any, d: int) -> None:
    """Refuse what is no function of (t, x `[d, ...]`) with values `[...]`."""
    if obstacle is None:
        return
    if not callable(obstacle):
        raise TypeError(
            f"`{argument}` must be a function of (t, x) or initial data; got {obstacle!r}. For a number "
            "write lambda t, x: 0 * x[0] + number."
        )
    t = jax.ShapeDtypeStruct((), jnp.result_type(float))
    x = jax.ShapeDtypeStruct((d, 3, 5), t.dtype)
    remedy = "x[0], x[1], ... are whole arrays; a pointwise function of x [d] goes into hj.initials.Custom."
    try:
        shape = eqx.filter_eval_shape(lambda t, x: height(obstacle, t, x), t, x).shape
    except Exception as error:
        raise ValueError(f"`{argument}` cannot be evaluated at t and x [{d}, 3, 5]: {error} {remedy}") from error
    require(shape == (3, 5), f"`{argument}` must map t and x [{d}, 3, 5] to (3, 5); got {shape}. {remedy}")
