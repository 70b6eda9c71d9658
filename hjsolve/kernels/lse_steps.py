"""What one block of atoms adds to the running sums of one block of queries, under an online maximum.

A step takes and returns a state: the highest score so far `[Q]` and sums of weights relative to it, laid out
`[columns, Q]`. On CPU the atoms of a step are unrolled, so that XLA fuses the step into one loop for the maximum and
one for the weights. The two loops compute the scores twice on purpose, from differences of opposite sign: a common
subexpression would be written to memory, which costs more. Other devices get whole-block reductions.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float, Points
from .exp2 import exp2_below_zero
from .lse_plan import DIRECT_DIMENSIONS, UNROLL

LOG2E = float(np.log2(np.e))
ABSENT = -1e36
"""The score of padding and of atoms that are not there: finite, so that no inf − inf arises, and below all others."""


class Tile(NamedTuple):
    """The scores of a block of queries x `[d, Q]` and a block of atoms y `[A, d]` with biases b `[A]`.

    `b_j − |x_i − y_j|²` for the form "distance", `b_j + x_i·y_j` for "product": constants are scaled into x, y and b,
    and the unit is log 2. Coordinates of queries are rows, which vector loads need contiguous.
    """

    x: Float[Array, "d Q"]
    y: Points
    b: Float[Array, "A"]
    form: str
    unrolled: bool

    def table(self, below: Array | float = 0.0) -> Float[Array, "A Q"]:
        """All scores, less `below` `[Q]`."""
        x, y, bias = self.x, self.y, self.b[:, None] - below
        if self.form == "product":
            if len(x) > DIRECT_DIMENSIONS:
                return matmul(y, x) + bias
            return reduce(lambda s, k: s + x[k] * y[:, k, None], range(len(x)), bias)
        if len(x) > DIRECT_DIMENSIONS:
            return matmul(2 * y, x) + (bias - jnp.sum(y * y, axis=1)[:, None] - jnp.sum(x * x, axis=0))
        return reduce(lambda s, k: s - (x[k] - y[:, k, None]) ** 2, range(len(x)), bias)

    def rows(self, below: Array | float = 0.0, *, flip: bool = False) -> list[Float[Array, "Q"]]:
        """`table` as a list, one expression a row; `flip` changes signs in a way that changes no bit of a score."""
        if len(self.x) > DIRECT_DIMENSIONS:
            return list(self.table(below))
        sign = -1 if flip else 1
        rows = []
        for u in range(self.b.shape[0]):
            s = self.b[u] - below
            for k in range(len(self.x)):
                column, place = sign * self.x[k], sign * self.y[u, k]
                s = s + column * place if self.form == "product" else s - (column - place) ** 2
            rows.append(s)
        return rows

    def fold(
        self,
        join: Callable[..., Array],
        start: Float[Array, "Q"],
        *beside: Float[Array, "A Q"],
        below: Array | float = 0.0,
        flip: bool = False,
    ) -> Float[Array, "Q"]:
        """`join` of `start` with one row of scores (and of `beside`) after the other.

        Some rows are one fused loop, which a scan over the others compiles once.
        """
        direct = len(self.x) <= DIRECT_DIMENSIONS
        whole = (self.y, self.b, *beside) if direct else (self.table(below), *beside)

        def some(carry: Array, part: tuple[Array, ...]) -> tuple[Array, None]:
            rows: Iterable[Array] = part[0]
            if direct:
                rows = self._replace(y=part[0], b=part[1]).rows(below, flip=flip)
            for row in zip(rows, *part[2 if direct else 1 :], strict=True):
                carry = join(carry, *row)
            return carry, None

        unroll = UNROLL if direct else 2 * UNROLL
        count = len(self.b) // unroll if len(self.b) > unroll else 0
        if count:
            blocks = (a[: count * unroll].reshape(count, unroll, *a.shape[1:]) for a in whole)
            start = jax.lax.scan(some, start, tuple(blocks))[0]
        return some(start, tuple(a[count * unroll :] for a in whole))[0]

    def highest(self, before: Float[Array, "Q"]) -> Float[Array, "Q"]:
        """The maximum of `before` and all scores; NaN scores are passed over."""
        if not self.unrolled:
            return jnp.maximum(before, jnp.max(self.table(), axis=0))
        # a select is one instruction on CPU, where a maximum that hands NaN on takes four
        return self.fold(lambda top, s: jnp.where(s > top, s, top), before, flip=True)

    def exp2(self, s: Array) -> Array:
        """2^s for s <= 0; 1 for what rounding puts above."""
        return exp2_below_zero(s) if self.unrolled else jnp.exp2(jnp.minimum(s, 0.0))


class Sums(NamedTuple):
    """The highest score `[Q]` and the weighted sums of columns `[k, Q]`, the first column all ones."""

    highest: Float[Array, "Q"]
    sums: Float[Array, "k Q"]


def sum_weights(state: Sums, tile: Tile) -> Sums:
    """Σ_j w_j alone, in registers."""
    new = tile.highest(state.highest)
    total = state.sums[0] * tile.exp2(state.highest - new)
    if tile.unrolled:
        total = tile.fold(lambda t, s: t + tile.exp2(s), total, below=new)
    else:
        total = total + jnp.sum(tile.exp2(tile.table(new)), axis=0)
    return Sums(new, total[None])


def sum_columns(state: Sums, tile: Tile, columns: Float[Array, "A k"]) -> Sums:
    """Σ_j w_j columns_j: the weights of the block, then a matrix product."""
    new = tile.highest(state.highest)
    weights = tile.exp2(tile.table(new))
    return Sums(new, state.sums * tile.exp2(state.highest - new) + matmul(columns.T, weights))


class SumsAndEntropy(NamedTuple):
    """`Sums`, the sum of all weights but the top one, and Σ_j w_j (highest − s_j)."""

    highest: Float[Array, "Q"]
    sums: Float[Array, "k Q"]
    others: Float[Array, "Q"]
    deficit: Float[Array, "Q"]


def sum_with_entropy(state: SumsAndEntropy, tile: Tile, columns: Float[Array, "A k"]) -> SumsAndEntropy:
    """`sum_columns` with what an entropy needs that is accurate relative to itself.

    The top weight 1 is left out, so that what the others add keeps its digits when it is tiny. Which weight is the top
    one is not decided by equality, which rounding may break: among the weights above 1/2 one that is alone is.
    """
    new = tile.highest(state.highest)
    fall = state.highest - new
    shrink = tile.exp2(fall)
    scores = tile.table(new)
    weights = tile.exp2(scores)
    if tile.unrolled:
        zero = jnp.zeros_like(new)
        far = tile.fold(lambda t, s, w: t + _below_half(w), zero, weights, below=new)
        far_deficit = tile.fold(lambda t, s, w: t - _below_half(w) * s, zero, weights, below=new)
        deficit = tile.fold(lambda t, s, w: t - w * s, zero, weights, below=new)
    else:
        far = jnp.sum(_below_half(weights), axis=0)
        far_deficit, deficit = -jnp.sum(_below_half(weights) * scores, axis=0), -jnp.sum(weights * scores, axis=0)
    added = matmul(columns.T, weights)
    risen, near_sum = fall < 0, added[0] - far
    alone = risen & (near_sum < 1.25)
    return SumsAndEntropy(
        new,
        state.sums * shrink + added,
        jnp.where(risen, (state.others + 1) * shrink, state.others) + far + jnp.where(alone, 0.0, near_sum - risen),
        # w(−r) with r lower by `fall` for every earlier weight, the earlier top among them
        shrink * (state.deficit - fall * jnp.where(risen, state.others + 1, 0.0))
        + jnp.where(alone, far_deficit, deficit),
    )


def _below_half(weights: Array) -> Array:
    return jnp.where(weights >= 0.5, 0.0, weights)


def matmul(a: Array, b: Array) -> Array:
    """The product in full precision on every device."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def summary(state: Sums | SumsAndEntropy) -> tuple[Array, Array, Array]:
    """Log Σ_j exp(s_j) `[Q]`, the averages `[Q, k − 1]`, and Shannon's entropy `[Q]` or nothing `[Q, 0]`.

    Where rounding of huge scores makes all weights underflow the sum is that of the highest one, averages are 0.
    """
    total = state.sums[0]
    total = jnp.where(total > 0, total, 1.0)
    lse, average = (state.highest + jnp.log2(total)) / LOG2E, (state.sums[1:] / total).T
    if isinstance(state, Sums):
        return lse, average, jnp.zeros((lse.shape[0], 0), lse.dtype)
    # S = log Z − Σ π_j r_j with Z = 1 + Σ' e^r over all but the top: every term positive, nothing cancels
    others, deficit = jnp.maximum(state.others, 0.0), jnp.maximum(state.deficit, 0.0)
    return lse, average, jnp.log1p(others) + deficit / LOG2E / total


def first_sums(rows: int, columns: int, dtype: np.dtype) -> Sums:
    """No atom seen yet."""
    return Sums(jnp.full(rows, ABSENT, dtype), jnp.zeros((columns, rows), dtype))


def first_with_entropy(rows: int, columns: int, dtype: np.dtype) -> SumsAndEntropy:
    """No atom seen yet."""
    return SumsAndEntropy(*first_sums(rows, columns, dtype), jnp.zeros(rows, dtype), jnp.zeros(rows, dtype))
