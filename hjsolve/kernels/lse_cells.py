"""The log-sum-exp sweeps with far atoms left out: exact to a stated tolerance, at a cost that grows with N.

Queries and atoms are sorted along Hilbert's curve. A block of queries meets the blocks of atoms that can matter to it
and no others (`lse_near` says which); with those it does what `lse_blocked` does with all. What is left out:

- `online`: Gibbs weights of at most `plan.truncation` in sum for every query. log Σ is low by at most
  −log(1 − truncation), an average off by truncation/(1 − truncation) times the largest |value − average|, an entropy by
  about truncation·log(N/truncation) (no longer small relative to itself).
- `weighted_sum`: atoms that add up to at most `plan.truncation` times the largest |value|.
- `heaviest`: nothing that matters; its answer is exact.

The sort costs what some thousand atoms for every query cost, so small problems are summed in full. So are the form
"product" and more than 8 dimensions, where boxes of neighbours hold nearly everything.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer

from ..typing import Array, Float, Points, Scalar
from . import lse_blocked
from .hilbert import hilbert_order
from .lse_blocked import scaled
from .lse_near import Neighbours, filled_to, neighbours, tree_of
from .lse_plan import DIRECT_DIMENSIONS, Plan
from .lse_steps import (
    ABSENT,
    LOG2E,
    Tile,
    first_sums,
    first_with_entropy,
    matmul,
    sum_columns,
    sum_weights,
    sum_with_entropy,
    summary,
)

_QUERIES, _PART, _ATOMS = 256, 32, 32
"""Queries of a block and of its parts, which have bounds of their own; atoms of a block."""
_FEWEST = 1500
"""Harmonic mean of queries and atoms, halved, below which the sort costs more than it saves."""


def online(
    x: Points, y: Points, b: Array, kappa: Scalar, values: Array, *, plan: Plan, form: str, entropy: bool
) -> tuple[Array, Array, Array]:
    """Log Σ_j exp(s_ij) `[m]`, the averages `[m, k]` and, where asked, Shannon's entropy `[m]` (else empty)."""
    if _in_full(x, y, plan, form):
        return lse_blocked.online(x, y, b, kappa, values, plan=plan, form=form, entropy=entropy)
    columns = jnp.concatenate([jnp.ones((y.shape[0], 1), values.dtype), values], axis=1)
    width, plain = columns.shape[1], not (entropy or values.shape[1])

    def first(low: Array) -> Any:
        return (first_with_entropy if entropy else first_sums)(low.shape[0], width, low.dtype)

    def step(state: Any, tile: Tile, cb: Array) -> Any:
        if plain:
            return sum_weights(state, tile)
        return (sum_with_entropy if entropy else sum_columns)(state, tile, cb)

    results = _sweep(x, y, b, kappa, columns, 0.0, plan, 2 if plain else 4, first, step, summary)
    missing = jnp.isnan(jnp.sum(y) + jnp.sum(b) + kappa) | jnp.isnan(jnp.sum(x, axis=1))
    found = [jnp.where(missing.reshape(-1, *[1] * (r.ndim - 1)), jnp.nan, r) for r in results]
    return found[0], found[1], found[2].reshape(x.shape[0] if entropy else 0)


def weighted_sum(
    x: Points, alpha: Array, y: Points, beta: Array, kappa: Scalar, values: Array, *, plan: Plan, form: str
) -> Float[Array, "m k"]:
    """Σ_j exp(min(0, α_i + s_ij)) values_j."""
    if _in_full(x, y, plan, form):
        return lse_blocked.weighted_sum(x, alpha, y, beta, kappa, values, plan=plan, form=form)

    def first(low: Array) -> Any:
        return low, jnp.zeros((columns.shape[1], low.shape[0]), values.dtype)

    def step(state: Any, tile: Tile, vb: Array) -> Any:
        low, sums = state
        table = tile.table(low)
        return low, sums + matmul(vb.T, tile.exp2(jnp.where(table < 0, table, 0.0)))

    # a product with one column alone is compiled into a loop without vectors, six times slower
    columns = jnp.pad(values, ((0, 0), (0, 1))) if values.shape[1] == 1 else values
    result = _sweep(x, y, beta, kappa, columns, 0.0, plan, 4, first, step, lambda s: (s[1].T,), low=alpha * -LOG2E)[0]
    missing = jnp.isnan(jnp.sum(y) + jnp.sum(beta) + kappa) | jnp.isnan(jnp.sum(x, axis=1) + alpha)
    return jnp.where(missing[:, None], jnp.nan, result[:, : values.shape[1]])


def heaviest(
    x: Points, y: Points, b: Array, kappa: Scalar, *, count: int, plan: Plan, form: str
) -> Integer[Array, "m count"]:
    """The indices of the `count` largest scores of every query, largest first; of equals, the first."""
    size = plan.atoms or _ATOMS
    if _in_full(x, y, plan, form) or count > size:
        return lse_blocked.heaviest(x, y, b, kappa, count=count, plan=plan, form=form)
    n = y.shape[0]

    def first(low: Array) -> Any:
        shape = (low.shape[0],) if count == 1 else (count, low.shape[0])
        return jnp.full(shape, -jnp.inf, low.dtype), jnp.zeros(shape, jnp.int32)

    def one(state: Any, tile: Tile, indices: Array) -> Any:
        best, index = state
        for u, s in enumerate(tile.rows()):
            better = (s > best) | ((s == best) & (indices[u] < index))  # blocks come in no order
            best, index = jnp.where(better, s, best), jnp.where(better, indices[u], index)
        return best, index

    def several(state: Any, tile: Tile, indices: Array) -> Any:
        best, index = state
        table = tile.table()
        keys = (
            -jnp.concatenate([best, table]),
            jnp.concatenate([index, jnp.broadcast_to(indices[:, None], table.shape)]),
        )
        scores, indices = jax.lax.sort(keys, dimension=0, num_keys=2)
        return -scores[:count], indices[:count]

    def last(state: Any) -> tuple[Array, ...]:
        return (state[1].reshape(count, -1).T,)

    step: Any = one if count == 1 else several
    found = _sweep(x, y, b, kappa, jnp.arange(n, dtype=jnp.int32), n, plan, 1, first, step, last, count=count)
    return jnp.minimum(found[0], n - 1).astype(int)


def _in_full(x: Points, y: Points, plan: Plan, form: str) -> bool:
    """Whether to leave it to the blocked sweeps; block sizes that a caller gives ask for cells at any size."""
    m, n = x.shape[0], y.shape[0]
    small = m * n < _FEWEST * (m + n) and plan.queries is None and plan.atoms is None
    return form == "product" or x.shape[1] > DIRECT_DIMENSIONS or small


def _sweep(
    x: Points,
    y: Points,
    b: Array,
    kappa: Scalar,
    payload: Array,
    padding: float,
    plan: Plan,
    together: int,
    first: Callable[[Array], Any],
    step: Callable[[Any, Tile, Array], Any],
    last: Callable[[Any], tuple[Array, ...]],
    *,
    low: Array | None = None,
    count: int | None = None,
) -> list[Array]:
    """`last` of `step` over all blocks of atoms near a block of queries, from `first`; for all blocks of queries.

    `payload` `[N, ...]` belongs to atoms, `together` blocks of which make a step; padding atoms have `padding`. `low`
    `[m]` is a lower bound of every query's log-sum (in units of log 2) where it is known; otherwise scores of single
    atoms are found that bound the sum, or the `count`-th largest score, from below.
    """
    m, size = x.shape[0], plan.atoms or _ATOMS
    queries = min(plan.queries or _QUERIES, -(-m // _PART) * _PART)
    parts = max(queries // _PART, 1) if queries % _PART == 0 else 1
    ok = ~jnp.isnan(jnp.sum(x, axis=1) + (0.0 if low is None else low))
    x = jnp.where(ok[:, None], x, y[0])  # or one bad query would widen the box of a whole block
    places, atoms = scaled(x, y, kappa, "distance")
    tree = tree_of(atoms, b * LOG2E, size)
    carried = filled_to(tree.blocks * size, payload[tree.order], padding).reshape(tree.blocks, size, *payload.shape[1:])
    order = hilbert_order(places)
    known = None if low is None else jnp.where(ok, jnp.minimum(low, -ABSENT), 0.0)[order]
    log_tolerance = None if count else jnp.asarray(np.log2(plan.truncation or 1.0), x.dtype)
    near = partial(neighbours, tree, log_tolerance=log_tolerance, count=count or 1)

    def block(found: Array, some: Any) -> Any:
        xb, lb = some
        near_here: Neighbours = near(
            xb.reshape(parts, -1, x.shape[1]), lb.reshape(parts, -1) if known is not None else None, found
        )
        coordinates = xb.T

        def body(i: Array, state: Any) -> Any:
            at = i * together + jnp.arange(together)
            ids = jnp.where(at < near_here.number, near_here.blocks[at], tree.blocks - 1)
            yb, bb, pb = (a[ids].reshape(together * size, *a.shape[2:]) for a in (tree.y, tree.b, carried))
            return step(state, Tile(coordinates, yb, bb, "distance", plan.platform == "cpu"), pb)

        steps = (near_here.number + together - 1) // together
        return near_here.blocks, last(jax.lax.fori_loop(0, steps, body, first(lb)))

    rows = -(-m // queries) * queries
    cut = tuple(
        filled_to(rows, a).reshape(-1, queries, *a.shape[1:])
        for a in (places[order], jnp.zeros(m, x.dtype) if known is None else known)
    )
    buffer = jnp.zeros(tree.blocks + tree.coarse_size + together, jnp.int32)
    _, results = jax.lax.scan(block, buffer, cut)
    joined = [r.reshape(rows, *r.shape[2:])[:m] for r in results]
    return [jnp.zeros_like(r).at[order].set(r, unique_indices=True) for r in joined]
