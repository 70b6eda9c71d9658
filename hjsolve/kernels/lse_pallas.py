"""The log-sum-exp sweeps as Pallas kernels: Triton on GPU, Mosaic on TPU. A block of scores stays in registers.

A program of the GPU grid owns a block of queries and loops over all atoms. On TPU the atoms are the second, sequential
axis of the grid, and the running sums stay in the output's block, which the same queries keep revisiting. Both absorb a
tile of atoms x queries in the same way. Up to 8 dimensions and 32 columns; wider sums are products of matrices, which
`lse_blocked` leaves to the vendor's library, as it does what is no sum (the heaviest atoms, entropies).
"""

from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as mosaic
from jax.experimental.pallas import triton

from ..typing import Array, Float, Points, Scalar
from . import lse_blocked
from .lse_plan import DIRECT_DIMENSIONS, Plan
from .lse_steps import ABSENT, LOG2E, Sums, summary

_WIDEST = 32
_GPU_TILE, _TPU_TILE = (128, 64), (512, 512)
"""Queries and atoms of a tile. Triton wants powers of two, a TPU multiples of 128."""
heaviest = lse_blocked.heaviest


class State(NamedTuple):
    """Rows `[1, Q]`: the highest score, the sum of weights, and one weighted sum per column of values."""

    highest: Array
    total: Array
    sums: tuple[Array, ...]


def online(
    x: Points, y: Points, b: Array, kappa: Scalar, values: Array, *, plan: Plan, form: str, entropy: bool
) -> tuple[Array, Array, Array]:
    """Log Σ_j exp(s_ij) `[m]` and the averages `[m, k]`; with `entropy` the sweep is `lse_blocked`'s."""
    if entropy or not _fits(x, values):
        return lse_blocked.online(x, y, b, kappa, values, plan=plan, form=form, entropy=entropy)
    highest, total, sums = _sweep(
        x, jnp.full(x.shape[0], ABSENT, x.dtype), y, b, kappa, values, plan, form, online=True
    )
    log_sum, average, _ = summary(Sums(highest, jnp.concatenate([total[None], sums])))
    return log_sum, average, jnp.zeros(0, x.dtype)


def weighted_sum(
    x: Points, alpha: Array, y: Points, beta: Array, kappa: Scalar, values: Array, *, plan: Plan, form: str
) -> Float[Array, "m k"]:
    """Σ_j exp(min(0, α_i + s_ij)) values_j."""
    if not _fits(x, values):
        return lse_blocked.weighted_sum(x, alpha, y, beta, kappa, values, plan=plan, form=form)
    return _sweep(x, -LOG2E * alpha, y, beta, kappa, values, plan, form, online=False)[2].T


def _fits(x: Points, values: Array) -> bool:
    return x.shape[1] <= DIRECT_DIMENSIONS and values.shape[1] <= _WIDEST


def _sweep(
    x: Points, highest: Array, y: Points, b: Array, kappa: Scalar, values: Array, plan: Plan, form: str, *, online: bool
) -> tuple[Array, Array, Array]:
    """The final `State` for every query: `[m]`, `[m]` and `[k, m]`."""
    tpu = plan.platform == "tpu"
    queries, atoms = _TPU_TILE if tpu else _GPU_TILE
    queries, atoms = plan.queries or queries, plan.atoms or atoms
    m, k = x.shape[0], values.shape[1]
    places, positions = lse_blocked.scaled(x, y, kappa, form)
    fill = partial(_filled, multiple=queries)
    arrays = (
        fill(places.T, None),
        fill(highest[None], None),
        _filled(positions.T, 0.0, multiple=atoms),
        _filled((b * LOG2E)[None], ABSENT, multiple=atoms),
        _filled(values.T, 0.0, multiple=atoms) if k else jnp.zeros((1, -(-y.shape[0] // atoms) * atoms), values.dtype),
    )
    rows = arrays[0].shape[1]
    shape = jax.ShapeDtypeStruct((2 + k, rows), x.dtype)
    absorb = partial(_absorb, form=form, online=online)
    call = _on_tpu if tpu else _on_gpu
    state = call(arrays, shape, absorb, queries, atoms, plan.interpret)[:, :m]
    return state[0], state[1], state[2:]


def _absorb(
    state: State, x: list[Array], y: list[Array], b: Array, values: list[Array], *, form: str, online: bool
) -> State:
    """The state after one more tile: queries are rows `[1, Q]`, atoms columns `[A, 1]`."""
    bias = b if online else b - state.highest
    if form == "product":
        scores = reduce(lambda s, p: s + p[0] * p[1], zip(x, y, strict=True), bias)
    else:
        scores = reduce(lambda s, p: s - (p[0] - p[1]) ** 2, zip(x, y, strict=True), bias)

    def row(table: Array) -> Array:
        return jnp.sum(table, axis=0, keepdims=True)

    if not online:
        weights = jnp.exp2(jnp.minimum(scores, 0.0))
        return state._replace(sums=tuple(s + row(weights * v) for s, v in zip(state.sums, values, strict=True)))
    highest = jnp.maximum(state.highest, jnp.max(scores, axis=0, keepdims=True))
    weights, shrink = jnp.exp2(jnp.minimum(scores - highest, 0.0)), jnp.exp2(state.highest - highest)
    sums = tuple(s * shrink + row(weights * v) for s, v in zip(state.sums, values, strict=True))
    return State(highest, state.total * shrink + row(weights), sums)


def _on_gpu(arrays: Any, shape: Any, absorb: Any, queries: int, atoms: int, interpret: bool) -> Array:
    d, n = arrays[2].shape
    k = shape.shape[0] - 2

    def kernel(x_ref: Any, highest_ref: Any, y_ref: Any, b_ref: Any, v_ref: Any, out_ref: Any) -> None:
        x = [x_ref[i, :][None] for i in range(d)]
        nothing = jnp.zeros((1, queries), shape.dtype)

        def body(step: Array, state: State) -> State:
            here = pl.ds(step * atoms, atoms)
            y = [y_ref[i, here][:, None] for i in range(d)]
            values = [v_ref[i, here][:, None] for i in range(k)]
            return absorb(state, x, y, b_ref[0, here][:, None], values)

        state = jax.lax.fori_loop(0, n // atoms, body, State(highest_ref[0, :][None], nothing, (nothing,) * k))
        for i, row in enumerate((state.highest, state.total, *state.sums)):
            out_ref[i, :] = row[0]

    def block(rows: int) -> pl.BlockSpec:
        return pl.BlockSpec((rows, queries), lambda i: (0, i))

    whole = pl.BlockSpec(memory_space=pl.ANY)
    result: Array = pl.pallas_call(
        kernel,
        out_shape=shape,
        grid=(shape.shape[1] // queries,),
        in_specs=[block(d), block(1), whole, whole, whole],
        out_specs=block(2 + k),
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=2),
        interpret=interpret,
        name="log_sum_exp",
    )(*arrays)
    return result


def _on_tpu(arrays: Any, shape: Any, absorb: Any, queries: int, atoms: int, interpret: bool) -> Array:
    d, n = arrays[2].shape
    k = shape.shape[0] - 2

    def kernel(x_ref: Any, highest_ref: Any, y_ref: Any, b_ref: Any, v_ref: Any, out_ref: Any) -> None:
        @pl.when(pl.program_id(1) == 0)
        def _() -> None:
            out_ref[...] = jnp.zeros(out_ref.shape, shape.dtype)
            out_ref[0:1, :] = highest_ref[...]

        state = State(out_ref[0:1, :], out_ref[1:2, :], tuple(out_ref[i + 2 : i + 3, :] for i in range(k)))
        x = [x_ref[i : i + 1, :] for i in range(d)]
        y = [y_ref[:, i : i + 1] for i in range(d)]
        values = [v_ref[:, i : i + 1] for i in range(k)]
        state = absorb(state, x, y, b_ref[...], values)
        for i, row in enumerate((state.highest, state.total, *state.sums)):
            out_ref[i : i + 1, :] = row

    def of_queries(rows: int) -> pl.BlockSpec:
        return pl.BlockSpec((rows, queries), lambda i, j: (0, i))

    def of_atoms(columns: int) -> pl.BlockSpec:
        return pl.BlockSpec((atoms, columns), lambda i, j: (j, 0))

    x, highest, y, b, values = arrays
    result: Array = pl.pallas_call(
        kernel,
        out_shape=shape,
        grid=(shape.shape[1] // queries, n // atoms),
        in_specs=[of_queries(d), of_queries(1), of_atoms(d), of_atoms(1), of_atoms(values.shape[0])],
        out_specs=of_queries(2 + k),
        compiler_params=mosaic.CompilerParams(dimension_semantics=("parallel", "arbitrary")),
        interpret=interpret,
        name="log_sum_exp",
    )(x, highest, y.T, b.T, values.T)
    return result


def _filled(array: Array, fill: float | None, *, multiple: int) -> Array:
    """`[rows, n]` with n raised to a multiple, by `fill` or by repeating the last column."""
    widths = ((0, 0), (0, -array.shape[1] % multiple))
    return jnp.pad(array, widths, mode="edge") if fill is None else jnp.pad(array, widths, constant_values=fill)
