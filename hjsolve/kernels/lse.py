"""The blocked log-sum-exp kernel: Hopf-Cole over atoms, attention's normaliser, a log-sum-exp layer.

Scores are `s_ij = b_j − κ|x_i − y_j|²`. Blocks of queries meet blocks of atoms under an online maximum, so that the
`m x N` table of scores never exists; derivatives recompute the blocks instead of storing them (the tangent is one more
blocked sum, rematerialised when transposed), in forward and reverse mode, to any order. A block is laid out atoms x
queries, `[n, m]`: sums over atoms then run across vector lanes of queries (3.7 times faster on CPU than the transpose).

Up to 8 dimensions distances are sums of squared differences, which do not cancel; beyond that they are expanded into
a matrix product of coordinates centred on the atoms' mean, whose rounding error is a few ulp of κ|x|² + κ|y|².
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..typing import Array, Float, Points, Scalar

_DIRECT_DIMENSIONS = 8
_QUERY_BLOCK = 256
_ATOM_BLOCK = 512
_ABSENT = -1e30
"""The score of padding: finite, so that no inf − inf arises, and below every real score."""


def log_sum_exp(x: Points, y: Points, b: Float[Array, "N"], kappa: Scalar) -> Float[Array, "m"]:
    """`log Σ_j exp(b_j − κ|x_i − y_j|²)` for queries x `[m, d]`, atoms y `[N, d]`, biases b `[N]` and κ >= 0."""
    return gibbs_average(x, y, b, kappa, jnp.zeros((y.shape[0], 0), y.dtype))[0]


def gibbs_average(
    x: Points, y: Points, b: Float[Array, "N"], kappa: Scalar, values: Float[Array, "N k"]
) -> tuple[Float[Array, "m"], Float[Array, "m k"]]:
    """`log_sum_exp` and the averages `Σ_j π_ij values_j` under the Gibbs weights π_i = softmax_j(s_ij), in one pass."""
    centre = jax.lax.stop_gradient(jnp.mean(y, axis=0))
    dtype = jnp.result_type(x, y, b, kappa, values)
    arrays = [jnp.asarray(a, dtype) for a in (x - centre, y - centre, b, kappa, values)]
    lse, average = _gibbs(*arrays)
    return lse, average


def lowest_energy(
    x: Points, y: Points, g: Float[Array, "N"], scale: Scalar
) -> tuple[Float[Array, "m"], Float[Array, "m d"]]:
    """`min_j g_j + scale|x_i − y_j|²` and its minimising atom: the ε = 0 limit (Hopf-Lax over the atoms).

    The gradients of the minimum are those of the minimising atom's energy (envelope theorem).
    """
    dtype = jnp.result_type(x, y, g, scale)
    x, y, g, scale = (jnp.asarray(a, dtype) for a in (x, y, g, scale))
    centre = jnp.mean(y, axis=0)
    atoms = _atom_blocks(y - centre, -g)

    def block(xb: Points) -> Any:
        def body(carry: Any, atom: Any) -> Any:
            best, best_index, start = carry
            scores = _scores(xb, atom[0], atom[1], scale)
            index = jnp.argmax(scores, axis=0)
            score = jnp.max(scores, axis=0)
            better = score > best
            chosen = (jnp.where(better, score, best), jnp.where(better, start + index, best_index))
            return (*chosen, start + scores.shape[0]), None

        start = (jnp.full(xb.shape[0], -jnp.inf, dtype), jnp.zeros(xb.shape[0], int), jnp.zeros((), int))
        return jax.lax.scan(body, start, atoms)[0][1]

    index = jnp.minimum(_over_queries(block, jax.lax.stop_gradient(x - centre)), y.shape[0] - 1)
    return g[index] + scale * jnp.sum((x - y[index]) ** 2, axis=1), y[index]


@jax.custom_jvp
def _gibbs(x: Points, y: Points, b: Array, kappa: Scalar, values: Array) -> tuple[Array, Array]:
    atoms = (*_atom_blocks(y, b), _blocks(values, _ATOM_BLOCK, 0.0))

    def block(xb: Points) -> tuple[Array, Array]:
        def body(carry: Any, atom: Any) -> Any:
            highest, total, sums = carry
            yb, bb, vb = atom
            scores = _scores(xb, yb, bb, kappa)
            new = jnp.maximum(highest, jnp.max(scores, axis=0))
            weights = jnp.exp(scores - new)
            shrink = jnp.exp(highest - new)
            total = total * shrink + jnp.sum(weights, axis=0)
            return (new, total, sums * shrink + _matmul(vb.T, weights)), None

        rows, dtype = xb.shape[0], xb.dtype
        start = (jnp.full(rows, _ABSENT, dtype), jnp.zeros(rows, dtype), jnp.zeros((values.shape[1], rows), dtype))
        highest, total, sums = jax.lax.scan(body, start, atoms)[0]
        return highest + jnp.log(total), (sums / total).T

    result: tuple[Array, Array] = _over_queries(block, x)
    return result


@_gibbs.defjvp
def _gibbs_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> Any:
    x, y, b, kappa, values = primals
    dx, dy, db, dkappa, dvalues = tangents
    lse, average = _gibbs(x, y, b, kappa, values)
    atoms = (*_atom_blocks(y, b), _blocks(values, _ATOM_BLOCK, 0.0))
    atom_tangents = tuple(_blocks(a, _ATOM_BLOCK, 0.0) for a in (dy, db, dvalues))

    def block(xb: Points, dxb: Points, lb: Array, ab: Array) -> tuple[Array, Array]:
        @partial(jax.checkpoint, prevent_cse=False)
        def body(carry: Any, atom: Any) -> Any:
            (yb, bb, vb), (dyb, dbb, dvb) = atom
            scores, dscores = jax.jvp(_scores, (xb, yb, bb, kappa), (dxb, dyb, dbb, dkappa))
            weights = jnp.exp(scores - lb)
            weighted = weights * dscores
            dlse, dsums = carry
            dsums = dsums + _matmul(dvb.T, weights) + _matmul(vb.T, weighted)
            return (dlse + jnp.sum(weighted, axis=0), dsums), None

        start = (jnp.zeros_like(lb), jnp.zeros_like(ab.T))
        dlse, dsums = jax.lax.scan(body, start, (atoms, atom_tangents))[0]
        return dlse, dsums.T - ab * dlse[:, None]

    return (lse, average), _over_queries(block, x, dx, lse, average)


def _scores(x: Points, y: Points, b: Array, kappa: Scalar) -> Float[Array, "n m"]:
    if x.shape[1] <= _DIRECT_DIMENSIONS:
        squares = jnp.zeros((y.shape[0], x.shape[0]), x.dtype)
        for k in range(x.shape[1]):
            squares = squares + (x[None, :, k] - y[:, k, None]) ** 2
        return b[:, None] - kappa * squares
    inner = _matmul(y, x.T)
    return b[:, None] - kappa * (jnp.sum(x * x, axis=1) - 2 * inner + jnp.sum(y * y, axis=1)[:, None])


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _atom_blocks(y: Points, b: Array) -> tuple[Array, Array]:
    return _blocks(y, _ATOM_BLOCK, 0.0), _blocks(b, _ATOM_BLOCK, _ABSENT)


def _blocks(array: Array, size: int, fill: float) -> Array:
    """`[n, ...]` cut into `[n/size, size, ...]`, padded with `fill`; a short array is one block of its own length."""
    n = array.shape[0]
    size = min(size, n)
    count = -(-n // size)
    padded = jnp.pad(array, [(0, count * size - n)] + [(0, 0)] * (array.ndim - 1), constant_values=fill)
    return padded.reshape(count, size, *array.shape[1:])


def _over_queries(block: Any, *arrays: Array) -> Any:
    """`block` over blocks of rows of `arrays`, the results joined and cut to the number of rows."""
    m = arrays[0].shape[0]
    if m <= _QUERY_BLOCK:
        return block(*arrays)
    # padding repeats the last row: a made-up query could overflow, and 0·inf in its cotangent is NaN
    rest = -m % _QUERY_BLOCK
    whole = (jnp.concatenate([a, jnp.broadcast_to(a[-1:], (rest, *a.shape[1:]))]) for a in arrays)
    results = jax.lax.map(lambda cut: block(*cut), tuple(_blocks(a, _QUERY_BLOCK, 0.0) for a in whole))
    return jax.tree.map(lambda r: r.reshape(r.shape[0] * r.shape[1], *r.shape[2:])[:m], results)
