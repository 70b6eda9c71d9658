"""Where the searches of the Hopf-Lax formula begin: the best of many places, tried on boxes of many sizes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Function, Point, Scalar
from .control import Control

_SCREENED, _FEW = 32, 8
"""Places tried per start, twice: for up to `_EVEN` controls, and beyond."""
_EVEN = 6
_SCALES = 8
_MARGIN = 1.25
"""The box of the places that matter is widened by this before it is searched again."""
_STEP = 1e-2


def places_tried(starts: int, size: int) -> int:
    """How many `fractions` to screen for so many starts among `size` controls."""
    return (starts - 1) * (_SCREENED if size <= _EVEN else _FEW)


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


class Screened(NamedTuple):
    """Controls where searches may begin, the objective there, and places z of dom ℓ where f is known."""

    begins: Array
    heights: Array
    places: Array
    values: Array


def screen(
    control: Control, data: Function, objective: Function, x: Point, fractions: Array, scales: Array
) -> Screened:
    """The ray through x backwards, rest, and `fractions` of boxes of sizes between the two `scales`.

    Then, because a control no better than rest cannot be the best, `fractions` of the box of those that are better.
    """

    def try_all(begins: Array) -> Screened:
        step = jnp.asarray(_STEP, x.dtype)

        def one(a: Array) -> tuple[Array, Array, Array]:
            z, cost = control.proximal(a, step)
            value = objective(z)[0]
            return value + cost, z, value

        heights, places, values = jax.vmap(one)(begins)
        return Screened(begins, jnp.where(jnp.isfinite(heights), heights, jnp.inf), places, values)

    powers = jnp.asarray(np.arange(len(fractions)) % _SCALES / (_SCALES - 1), x.dtype)[:, None]
    begins = jnp.concatenate([jnp.zeros((1, control.size), x.dtype), control.best(data(x)[1])[None]])
    begins = jnp.concatenate([begins, fractions * scales[0] * (scales[1] / scales[0]) ** powers])
    first = try_all(begins)
    if control.size != len(x) or len(fractions) == 0:
        return first
    better = (first.heights <= first.heights[0])[:, None]
    span = jnp.max(jnp.where(better, jnp.abs(begins), scales[1] / 64), axis=0)
    second = try_all(_MARGIN * fractions * span)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second)


def looks_convex(screened: Screened, z: Array, value: Scalar, slope: Array) -> Array:
    """Whether f lies above its tangent at z (`value`, `slope`) at every place, so that no other minimum shows."""
    rise = jnp.sum(slope * (screened.places - z), axis=1)
    rounding = jnp.abs(screened.values) + jnp.abs(value) + jnp.abs(screened.places - z) @ jnp.abs(slope)
    return jnp.all(screened.values >= value + rise - 64 * jnp.finfo(z.dtype).eps * rounding)
