"""Where the searches of the Hopf-Lax formula begin: the best of many places, tried on boxes of many sizes."""

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Function, Point, Scalar
from .control import Control

SCREENED = 32
"""Places tried per start, twice."""
_SCALES = 8
_MARGIN = 1.25
"""The box of the places that matter is widened by this before it is searched again."""
_STEP = 1e-2


def objective_at(control: Control, data: Function, t: Scalar, x: Point) -> Function:
    """a ↦ g(x − tBa)/t and its gradient −Bᵀ∇g."""
    pull = jax.linear_transpose(control.steer, jax.ShapeDtypeStruct((control.size,), x.dtype))

    def smooth(a: Array) -> tuple[Scalar, Array]:
        value, p = data(x - t * control.steer(a))
        return value / t, -pull(p)[0]

    return smooth


def height(control: Control, objective: Function, a: Array, step: Scalar) -> Scalar:
    """The objective with its cost at the proximal point of a."""
    z, cost = control.proximal(a, step)
    return objective(z)[0] + cost


def screen(
    control: Control, data: Function, objective: Function, x: Point, fractions: Array, scales: Array
) -> tuple[Array, Array]:
    """Controls where searches may begin, and the objective there.

    The ray through x backwards, rest, and `fractions` of boxes of sizes between the two `scales`; then, because a
    control no better than rest cannot be the best, `fractions` of the box of those that are better.
    """

    def heights_of(begins: Array) -> Array:
        step = jnp.asarray(_STEP, x.dtype)
        heights = jax.vmap(lambda a: height(control, objective, a, step))(begins)
        return jnp.where(jnp.isfinite(heights), heights, jnp.inf)

    powers = jnp.asarray(np.arange(len(fractions)) % _SCALES / (_SCALES - 1), x.dtype)[:, None]
    first = jnp.concatenate([jnp.zeros((1, control.size), x.dtype), control.best(data(x)[1])[None]])
    first = jnp.concatenate([first, fractions * scales[0] * (scales[1] / scales[0]) ** powers])
    heights = heights_of(first)
    if control.size != len(x) or len(fractions) == 0:
        return first, heights
    better = (heights <= heights[0])[:, None]
    span = jnp.max(jnp.where(better, jnp.abs(first), scales[1] / 64), axis=0)
    second = _MARGIN * fractions * span
    return jnp.concatenate([first, second]), jnp.concatenate([heights, heights_of(second)])
