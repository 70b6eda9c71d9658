"""Where the searches of the Hopf-Lax formula begin: the best of many places, tried on boxes of many sizes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....typing import Array, Float, Function, Point, PRNGKeyArray, Scalar
from ..minimiser import lowest_dip
from ..starts import spread
from .control import Control

_SCREENED, _FEW = 32, 8
"""Places tried per start, twice: for up to `_EVEN` controls, and beyond."""
_EVEN = 6
_BITS = 4
_SCALES = 8
_MARGIN = 1.25
"""The box of the places that matter is widened by this before it is searched again."""
_STEP = 1e-2
"""Of the proximal map that takes a control into dom ℓ."""
_NEAREST, _TO_A_SIDE, _RATIO = 1e-4, 120, 1.2
"""Places on a line through a minimum: the nearest (in sizes of the control), how many, the ratio of one to the next."""


def cells(key: PRNGKeyArray, starts: int, size: int) -> Array:
    """Places `[starts − 1, n, size]` of the box [−1, 1]^size, in compact cells for up to 6 controls."""
    each = _SCREENED if size <= _EVEN else _FEW
    places = spread(key, (starts - 1) * each, size)
    if size <= _EVEN and starts > 1:  # in Morton's order: the bits of the coordinates in turn
        digits = ((places + 1) * 2 ** (_BITS - 1)).astype(int)
        bits = digits[:, :, None] >> jnp.arange(_BITS - 1, -1, -1) & 1
        places = places[jnp.lexsort(jnp.moveaxis(bits, 0, -1).transpose(1, 0, 2).reshape(-1, len(places))[::-1])]
    return places.reshape(starts - 1, each, size)


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


def across(control: Control, objective: Function, a: Array, size: Array, axes: Array) -> Float[Array, "k size"]:
    """The lowest minimum of the height, other than the middle, on the lines through a along some controls `axes` `[k]`.

    Places on a line lie about `size` `[size]` to either side, from 10⁻⁴ to 3·10⁵ times that in a geometric sequence.
    """
    step = jnp.asarray(_STEP, a.dtype)
    rise = _NEAREST * _RATIO ** np.arange(_TO_A_SIDE)
    share = jnp.asarray(np.concatenate([-rise[::-1], [0.0], rise]), a.dtype)

    def along(axis: Array) -> Array:
        places = a + share[:, None] * size * (jnp.arange(len(a)) == axis)
        heights = jax.vmap(lambda z: height(control, objective, z, step))(places)
        return places[lowest_dip(heights)]

    return jax.vmap(along)(axes)


class Screened(NamedTuple):
    """Controls where searches may begin, lowest objective first, and places z of dom ℓ where f is known."""

    begins: Array
    places: Array
    values: Array


def screen(
    control: Control, data: Function, objective: Function, x: Point, fractions: Array, scales: Array
) -> Screened:
    """Starts for one query x: the better of rest and the ray through x backwards, and the best place of each cell.

    `fractions` `[cells, n, size]` are scaled to boxes of sizes between the two `scales`; then, because a control no
    better than rest cannot be the best, to the box of those that are better.
    """

    @jax.vmap
    def try_all(begins: Array) -> tuple[Array, Array, Array]:
        z, cost = control.proximal(begins, jnp.asarray(_STEP, x.dtype))
        value = objective(z)[0]
        height = value + cost
        return jnp.where(jnp.isfinite(height), height, jnp.inf), z, value

    begins = jnp.stack([jnp.zeros(control.size, x.dtype), control.best(data(x)[1])])[None]
    tries = begins, *jax.tree.map(lambda a: a[None], try_all(begins[0]))
    rest = tries[1][0, 0]
    best = _lowest(tries)
    places, values = tries[2][0], tries[3][0]
    if fractions.shape[0]:
        powers = jnp.asarray(np.arange(fractions.shape[1]) % _SCALES / (_SCALES - 1), x.dtype)[:, None]
        begins = fractions * scales[0] * (scales[1] / scales[0]) ** powers
        tries = begins, *jax.vmap(try_all)(begins)
        if control.size == len(x):
            better = (tries[1] <= rest)[..., None]
            span = jnp.max(jnp.where(better, jnp.abs(begins), scales[1] / 64), axis=(0, 1))
            begins = _MARGIN * fractions * span
            more = begins, *jax.vmap(try_all)(begins)
            tries = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), tries, more)
        best = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), best, _lowest(tries))
        places = jnp.concatenate([places, tries[2].reshape(-1, control.size)])
        values = jnp.concatenate([values, tries[3].reshape(-1)])
    begins, heights = best
    return Screened(begins[jnp.argsort(heights)], places, values)


def _lowest(tries: tuple[Array, ...]) -> tuple[Array, Array]:
    """The lowest of each cell `[cells, n]`: the control and its height."""
    begins, heights = tries[:2]
    index = jnp.argmin(heights, axis=1)[:, None]
    return jnp.take_along_axis(begins, index[..., None], axis=1)[:, 0], jnp.take_along_axis(heights, index, axis=1)[
        :, 0
    ]


def looks_convex(screened: Screened, z: Array, value: Scalar, slope: Array) -> Array:
    """Whether f lies above its tangent at z (`value`, `slope`) at every place, so that no other minimum shows."""
    rise = jnp.sum(slope * (screened.places - z), axis=1)
    rounding = jnp.abs(screened.values) + jnp.abs(value) + jnp.abs(screened.places - z) @ jnp.abs(slope)
    return jnp.all(screened.values >= value + rise - 64 * jnp.finfo(z.dtype).eps * rounding)
