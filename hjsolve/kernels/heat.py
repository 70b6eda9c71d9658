"""One axis of the heat equation for v = log w, accurate for every width of the kernel against the spacing.

Where the nodes resolve the integrand, the plain sum over them (`separable`) is spectrally accurate. Elsewhere the
piecewise-linear interpolant is transformed exactly, with Gauss-Legendre nodes in every cell (`gauss_cells`) or, where
it is steep or the kernel narrower than a cell, by Gaussian tails (`product`): over the whole time where the kernel is
narrower than three cells, else over the first part of it, by which kinks are smoothed to a width of two cells, so that
plain sums are accurate for the rest.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float
from .gauss_cells import NARROWEST, STEEPEST, gauss_transform
from .interpolate import interpolate
from .product import transform
from .separable import heat_kernel, sum_over_nodes

_LANES = 512
_SMOOTHED = 2.0
"""Cells that a kink is smoothed over before plain sums take over: their error is then 2exp(−2π²·2) = 1e-17."""
_LARGEST_CHANGE = 0.02
"""Of w on leaving out every second node: 2q for a Gaussian integrand, whose error with all nodes is 2q⁴, here 2e-8."""

_BENT = 1e-3
"""Change of slope times the spacing that makes a kink."""


class Axis(NamedTuple):
    """One axis: uniform target nodes x and source nodes y; with a `period` x is y or every k-th node of it.

    The masks of targets, sources and `[L]` lines say which of them decide how the data are integrated. `rows` `[n]`
    says which row of the data lies at which (unrefined) source; lines that are not `wanted` `[L]` may be left out: 0.
    """

    x: Float[Array, "m"]
    y: Float[Array, "n"]
    period: Array | None
    targets: Array
    sources: Array
    lines: Array
    rows: Array
    wanted: Array


class Heat(NamedTuple):
    """`value` `[L, n_t]` after the time, `averages` `[L, n_t]` of each field and then the slope of `value`.

    `change` is the largest relative change of w on leaving out every second node, 1 where data are straight lines with
    kinks on nodes, which are interpolated in any case; `interpolated` is the fraction of lines whose data were
    interpolated because of it, and `bound` is about the error that this makes in v.
    """

    value: Float[Array, "L n"]
    averages: tuple[Float[Array, "L n"], ...]
    change: Array
    interpolated: Array
    bound: Array


def heat_axis(v: Float[Array, "n L"], fields: tuple[Array, ...], axis: Axis, spread: Array, refine: int = 1) -> Heat:
    """`log ∫ exp(v(y) − |x−y|²/4s) dy / √(4πs)` along the leading axis, s = `spread` = εt > 0, which becomes the last.

    With `refine` > 1 the data are on every `refine`-th node of y, and quintics fill in the others: for smooth data that
    are coarser than the kernel. Blocks of lines are done one after the other, so that no table is larger than that;
    reverse mode recomputes them.
    """
    lanes, rest = _blocks(v.shape[1])
    # the last lines are copied: made-up values could overflow
    padded = tuple(jnp.pad(a, ((0, 0), (0, rest)), mode="edge") if rest else a for a in (v, *fields))
    lines, wanted = jnp.pad(axis.lines & axis.wanted, (0, rest)), jnp.pad(axis.wanted, (0, rest))
    f = len(fields)

    @jax.checkpoint
    def block(start: Array) -> Any:
        own, *columns = (jax.lax.dynamic_slice_in_dim(a, start, lanes, 1)[axis.rows] for a in padded)
        if refine > 1:
            own, *columns = (_refined(a, axis, refine) for a in (own, *columns))
        stacked = jnp.stack(columns) if columns else jnp.zeros((0, *own.shape), own.dtype)
        here = axis._replace(lines=jax.lax.dynamic_slice_in_dim(lines, start, lanes))
        value, averages, change, resolved, cost = _heat_lines(own, stacked, here, spread)
        return value.T, tuple(a.T for a in averages), change, 1.0 - resolved, jnp.where(resolved, 0.0, cost)

    def left_out(start: Array) -> Any:
        zero, nothing = jnp.zeros((lanes, axis.x.shape[0]), v.dtype), jnp.zeros((), v.dtype)
        return zero, (zero,) * (f + 1), nothing, nothing, nothing

    def at(start: Array) -> Any:
        any_wanted = jnp.any(jax.lax.dynamic_slice_in_dim(wanted, start, lanes))
        return jax.lax.cond(any_wanted, block, left_out, start)

    value, averages, change, interpolated, bound = jax.lax.map(at, lanes * jnp.arange((v.shape[1] + rest) // lanes))
    value, averages = jax.tree.map(lambda a: a.reshape(v.shape[1] + rest, -1)[: v.shape[1]], (value, averages))
    return Heat(value, averages, jnp.max(change), jnp.mean(interpolated), jnp.max(bound))


def _blocks(lines: int) -> tuple[int, int]:
    """Lines in a block and how many to add: none where a divisor is near, as padding copies everything."""
    if lines <= _LANES:
        return lines, 0
    divisors = [k for k in range(_LANES // 2, _LANES + _LANES // 4) if lines % k == 0]
    if divisors:
        return divisors[-1], 0
    count = -(-lines // _LANES)
    lanes = -(-lines // count)
    return lanes, count * lanes - lines


def _heat_lines(v: Array, fields: Array, axis: Axis, spread: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Value, averages, coarsening change, whether nodes resolved the data, and what interpolating these costs.

    Two attempts at plain sums, in one loop so that they are compiled once: on the data, and where nodes do not resolve
    these well enough against the `cost` of interpolation, on the interpolant smoothed over two cells, unless that is
    propagated to the end already. Straight lines with kinks on nodes, whose interpolant is exact, skip the first.
    """
    n, m = axis.y.shape[0], axis.x.shape[0]
    h = (axis.y[-1] - axis.y[0]) / (n - 1)
    lanes, f = v.shape[1], fields.shape[0]
    cost, bend = jax.lax.stop_gradient(_interpolation_error(v, axis))
    floor = 16 * jnp.finfo(v.dtype).eps * (1 + jnp.max(v) - jnp.min(v))
    straight = (cost <= floor) & (bend > _BENT + floor)

    def attempt(carry: Any, second: Array) -> Any:
        v, fields, spread, _, _, change, resolved = carry
        kappa = 1 / (4 * spread)
        kernel = heat_kernel(axis.x, axis.y, kappa, axis.period)

        def summed() -> Any:
            plain = sum_over_nodes(v, fields, kernel, (axis.targets, axis.lines))
            good = jnp.where(second, resolved, _resolved(plain.coarsening, cost, floor))
            value = plain.lse + jnp.log(h) + 0.5 * jnp.log(kappa / np.pi)
            return value, plain.averages, jnp.where(second, change, plain.coarsening[0]), good

        skipped = (*blank, jnp.ones((), v.dtype), jnp.asarray(False))
        value, averages, change, resolved = jax.lax.cond(straight & ~second, lambda: skipped, summed)

        def interpolated() -> Any:
            after, averages, remaining = _interpolate(v, fields, axis, spread, h)
            more = remaining > 0
            spread_left = jnp.where(more, remaining, spread)
            return (after[:n], averages[:-1, :n], spread_left, after[:m], averages[:, :m], change, resolved), ~more

        finished = (v, fields, spread, value, averages, change, resolved), jnp.asarray(True)
        return jax.lax.cond(second | resolved, lambda: finished, interpolated)

    def body(carry: Any, second: Array) -> Any:
        state, done = carry
        return jax.lax.cond(done, lambda: carry, lambda: attempt(state, second)), None

    blank = (jnp.zeros((m, lanes), v.dtype), jnp.zeros((f + 1, m, lanes), v.dtype))
    start = (v, fields, spread, *blank, jnp.zeros((), v.dtype), jnp.asarray(True))
    carry = (start, jnp.asarray(False))
    ((_, _, _, value, averages, change, resolved), _), _ = jax.lax.scan(body, carry, jnp.asarray([False, True]))
    return value, averages, change, resolved, cost


def _interpolate(v: Array, fields: Array, axis: Axis, spread: Array, h: Array) -> tuple[Array, Array, Array]:
    """The piecewise-linear interpolant, propagated to x; or to nodes y for the time that smooths it, and what is left.

    Both in one call, so that it is compiled once: the longer list of nodes decides the shape.
    """
    first = (_SMOOTHED * h) ** 2 / 2
    wide = spread >= 2 * first
    longest = max(axis.x.shape[0], axis.y.shape[0])
    targets = jnp.where(wide, _lengthened(axis.y, longest), _lengthened(axis.x, longest))
    now = jnp.where(wide, first, spread)
    kappa = 1 / (4 * now)
    steepest = jnp.max(jnp.where(axis.lines, jnp.max(jnp.abs(jnp.diff(v, axis=0)), axis=0), 0.0))
    gentle = (steepest <= STEEPEST) & (jnp.sqrt(2 * now) >= NARROWEST * h)
    value, averages, _ = jax.lax.cond(
        gentle,
        lambda: gauss_transform(v, fields, targets, axis.y, kappa, axis.period, ~wide),
        lambda: transform(v, fields, targets, axis.y, kappa, axis.period),
    )
    return value, averages, jnp.where(wide, spread - first, 0.0)


def _resolved(coarsening: Array, cost: Array, floor: Array) -> Array:
    """Whether plain sums are accurate, and more so than the interpolant, whose error is at most about `cost`."""
    half, quarter = coarsening
    # a Gaussian integrand has half = 2q and quarter = 2q^¼; kinks alias like h², half = quarter/8, which is above
    # quarter² wherever half is small
    error = jnp.where(half < quarter**2, half**4, half)
    return (half < _LARGEST_CHANGE) & (error <= jnp.maximum(cost, floor))


def _interpolation_error(v: Array, axis: Axis) -> tuple[Array, Array]:
    """The largest h²|v''|/8 on the marked nodes and lines: a cell counts if v bends at both ends of it.

    So a kink that lies on a node counts for nothing, as its interpolant has no error. And the largest bend.
    """
    padded = jnp.pad(v, ((1, 1), (0, 0)), mode="edge" if axis.period is None else "wrap")
    bend = jnp.abs(padded[:-2] - 2 * v + padded[2:])
    if axis.period is None:
        bend = bend.at[0].set(bend[1]).at[-1].set(bend[-2])
    mask = axis.sources[:, None] & axis.lines
    cell = jnp.minimum(bend, jnp.roll(bend, 1, axis=0))
    return jnp.max(jnp.where(mask, cell, 0.0)) / 8, jnp.max(jnp.where(mask, bend, 0.0))


def _refined(values: Array, axis: Axis, refine: int) -> Array:
    h = (axis.y[-1] - axis.y[0]) / (axis.y.shape[0] - 1)
    periodic = (axis.period is not None,)
    return interpolate(values, axis.y[:1], refine * h[None], periodic, axis.y[:, None], order=5)


def _lengthened(nodes: Array, count: int) -> Array:
    h = (nodes[-1] - nodes[0]) / (nodes.shape[0] - 1)
    return nodes[0] + h * jnp.arange(count)
