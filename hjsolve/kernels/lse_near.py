"""Which blocks of atoms can matter to a block of queries: bounds of scores over pairs of boxes.

Units are scaled so that the score of atom j at x is `b_j − |x − y_j|²` in powers of two. What matters at x is decided
relative to a lower bound F(x) of the log-sum there. Both scores and F are steep where the minimiser of the energy is
far from x, by as much for one as for the other, so bounds are of differences: with any point y₀

    s_j(x) − F(x) = [b_j − |x−y_j|² + |x−y₀|²] + [−|x−y₀|² − F(x)].

The first bracket is affine in x, and its maximum over a box is at a corner; over the atoms of a block b_j is bounded by
an affine function of y_j, so that the maximum over their box is that of a parabola on an interval for every axis. The
second bracket is a maximum over the queries at hand, small if y₀ is near the minimiser.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Integer

from ..typing import Array, Float, Points, Scalar
from .hilbert import hilbert_order
from .lse_steps import ABSENT
from .small import factorise, solve

_CHILDREN = 32
"""Blocks of a group, which is looked at first."""
_ULPS = 16
"""Rounding allowed for in a bound, in units of the last place of its terms."""


class Cells(NamedTuple):
    """Boxes [lower, upper] of atoms whose biases are at most level + slope·(y − middle of the box)."""

    lower: Float[Array, "... d"]
    upper: Float[Array, "... d"]
    slope: Float[Array, "... d"]
    level: Float[Array, "..."]

    def at_point(self, x: Array) -> tuple[Array, Array]:
        """The bound of scores at x `[..., d]`, and the place `[..., d]` in the box where it is attained."""
        y = jnp.clip(x + self.slope / 2, self.lower, self.upper)
        rise = self.slope * (y - (self.lower + self.upper) / 2) - (x - y) ** 2
        return self.level + jnp.sum(rise, axis=-1), y

    def over_box(self, low: Array, high: Array, y0: Array) -> Array:
        """The bound of b_j − |x−y_j|² + |x−y₀|² for x in the box [low, high]."""
        total = self.level
        for k in range(low.shape[-1]):
            lower, upper, slope, here = (a[..., k] for a in (self.lower, self.upper, self.slope, y0))
            best = jnp.full((), -jnp.inf, low.dtype)
            for x in (low[..., k], high[..., k]):
                y = jnp.clip(x + slope / 2, lower, upper)
                best = jnp.maximum(best, slope * (y - (lower + upper) / 2) + (y - here) * (2 * x - y - here))
            total = total + best
        return total


class Tree(NamedTuple):
    """Sorted atoms in blocks `[n, A]`, the last of which is padding, and the cells of groups and of their blocks."""

    order: Integer[Array, "N"]
    y: Float[Array, "n A d"]
    b: Float[Array, "n A"]
    groups: Cells
    children: Cells

    @property
    def blocks(self) -> int:
        """How many, the padding among them."""
        return self.b.shape[0]

    @property
    def coarse_size(self) -> int:
        """Blocks of a group."""
        return self.children.level.shape[1]


class Neighbours(NamedTuple):
    """The first `number` entries of `blocks` are the blocks of atoms that may matter."""

    blocks: Integer[Array, "n"]
    number: Integer[Array, ""]


def tree_of(y: Points, b: Float[Array, "N"], size: int) -> Tree:
    """Atoms sorted along Hilbert's curve and cut into blocks of `size` and groups of blocks."""
    count, d = y.shape
    groups = -(-count // (size * _CHILDREN))
    n = groups * _CHILDREN
    order = hilbert_order(y)
    sorted_y, sorted_b = filled_to(n * size, y[order]), jnp.maximum(b[order], ABSENT)
    sorted_y, sorted_b = jax.lax.optimization_barrier((sorted_y, sorted_b))  # compiled once, not into every use
    models = filled_to(n * size, sorted_b)  # padding repeats the last atom, so as not to widen its box
    children = _cells(sorted_y.reshape(n, size, d), models.reshape(n, size))
    children = children._replace(level=jnp.where(jnp.arange(n) * size < count, children.level, ABSENT))
    return Tree(
        order,
        filled_to((n + 1) * size, sorted_y).reshape(n + 1, size, d),
        filled_to((n + 1) * size, sorted_b, ABSENT).reshape(n + 1, size),
        _cells(sorted_y.reshape(groups, -1, d), models.reshape(groups, -1)),
        jax.tree.map(lambda a: a.reshape(groups, _CHILDREN, *a.shape[1:]), children),
    )


def filled_to(n: int, array: Array, value: float | None = None) -> Array:
    """`array` with rows of `value`, or copies of its last row, added until there are n."""
    shape = (n - array.shape[0], *array.shape[1:])
    rest = jnp.broadcast_to(array[-1:], shape) if value is None else jnp.full(shape, value, array.dtype)
    return jnp.concatenate([array, rest])


def neighbours(
    tree: Tree,
    x: Float[Array, "P R d"],
    low: Float[Array, "P R"] | None,
    buffer: Integer[Array, "n"],
    *,
    log_tolerance: Scalar | None,
    count: int,
) -> Neighbours:
    """The blocks that matter to P parts of a block of queries; all others together are below the tolerance.

    `low` bounds the log-sums from below; without it, the `count`-th largest score of a promising block does.
    `log_tolerance` is log2 of what may be left out of every sum, relative to `low`: half of it goes to groups, half to
    blocks. None leaves out only what is below `low` itself. `buffer` is written over.
    """
    lows, highs = jnp.min(x, axis=1), jnp.max(x, axis=1)
    box = jnp.min(lows, axis=0), jnp.max(highs, axis=0)
    group = jnp.argmax(tree.groups.at_point((box[0] + box[1]) / 2)[0])
    promising = jax.tree.map(lambda a: a[group], tree.children)
    middles = jnp.concatenate([lows + highs, (box[0] + box[1])[None]]) / 2
    bound, places = promising.at_point(middles[:, None])
    best = jnp.argmax(bound, axis=1)
    origins = jnp.take_along_axis(places, best[:, None, None], axis=1)[:, 0]
    y0, whole = origins[:-1], origins[-1]
    if low is None:
        low = _lowest(tree, x, group * tree.coarse_size + best[:-1], count)

    def rests(y0: Array) -> Array:
        """−|x−y₀|² − F(x), with what rounding may add to it."""
        squares = jnp.sum((x - y0) ** 2, axis=2)
        return -squares - low + _ULPS * jnp.finfo(x.dtype).eps * (squares + jnp.abs(low))

    def threshold(atoms: Array) -> Array | float:
        """Each of so many atoms may be left out below this, relative to F."""
        if log_tolerance is None:
            return 0.0
        return log_tolerance - 1 - jnp.log2(jnp.maximum(atoms, 1).astype(x.dtype))

    total = jnp.asarray(tree.order.shape[0])
    keep = ~(tree.groups.over_box(*box, whole) + jnp.max(rests(whole)) < threshold(total))  # NaN stays
    groups = jnp.nonzero(keep, size=keep.shape[0], fill_value=0)[0]
    number = jnp.sum(keep)
    least = threshold(jnp.minimum(number * tree.coarse_size * tree.b.shape[1], total))
    rest = jnp.max(rests(y0[:, None]), axis=1)

    def look(i: Array, found: Neighbours) -> Neighbours:
        group = groups[i]
        cells = jax.tree.map(lambda a: a[group], tree.children)
        excess = cells.over_box(lows[:, None], highs[:, None], y0[:, None]) + rest[:, None]
        keep = jnp.any(~(excess < least), axis=0)
        ids = jnp.sort(jnp.where(keep, group * tree.coarse_size + jnp.arange(tree.coarse_size), tree.blocks))
        blocks = jax.lax.dynamic_update_slice(found.blocks, ids.astype(jnp.int32), (found.number,))
        return Neighbours(blocks, found.number + jnp.sum(keep, dtype=jnp.int32))

    start = Neighbours(buffer, jnp.zeros((), jnp.int32))
    return jax.lax.fori_loop(0, number, look, start)


def _lowest(tree: Tree, x: Float[Array, "P R d"], blocks: Integer[Array, "P"], count: int) -> Float[Array, "P R"]:
    """The `count`-th largest score among one block of atoms for every part."""
    y, b = tree.y[blocks], tree.b[blocks]
    scores = b[:, :, None] - sum((x[:, None, :, k] - y[:, :, None, k]) ** 2 for k in range(x.shape[2]))
    if count == 1:
        return jnp.max(scores, axis=1)
    return jnp.sort(scores, axis=1)[:, -count]


def _cells(y: Float[Array, "n A d"], b: Float[Array, "n A"]) -> Cells:
    """Boxes and affine bounds of biases: slopes by least squares, levels by the largest remainder."""
    lower, upper = jnp.min(y, axis=1), jnp.max(y, axis=1)
    top = jnp.max(b, axis=1, keepdims=True)
    fitted = jnp.maximum(b - top, -1e12)  # any slope gives a bound, but it must be finite
    centred = y - jnp.mean(y, axis=1, keepdims=True)
    spread = jnp.einsum("nad,nae->nde", centred, centred)
    ridge = 1e-4 * jnp.trace(spread, axis1=1, axis2=2) + jnp.finfo(y.dtype).tiny
    factor, _ = factorise(spread + ridge[:, None, None] * jnp.eye(y.shape[2], dtype=y.dtype))
    slope = solve(factor, jnp.einsum("nad,na->nd", centred, fitted - jnp.mean(fitted, axis=1, keepdims=True)))
    slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
    half = (upper - lower) / 2
    level = jnp.max(b - jnp.sum(slope[:, None] * (y - (lower + half)[:, None]), axis=2), axis=1)
    rounding = _ULPS * jnp.finfo(y.dtype).eps * (jnp.abs(level) + jnp.sum(jnp.abs(slope) * half, axis=1))
    found: Cells = jax.lax.optimization_barrier(Cells(lower, upper, slope, level + rounding))
    return found
