"""The exact solution of `u_t + c|∇u|² = εΔu` from the nodes of one tensor grid to those of another, axis by axis.

All axes but the last are done slab by slab of the last one, so that a fine grid of sources never exists as a whole.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ...kernels.envelope import lower_envelope
from ...kernels.heat import Axis, heat_axis
from ...problem import AbstractDomain
from ...typing import Array, Scalar, Values
from .sources import Loader, Nodes

_SLAB = 4096
"""Lines of the first axis at a time."""


class Flow(NamedTuple):
    """U and the components of ∇u, each `[n_1, ..., n_d]`, on the target nodes, and how accurate the passes were.

    `change` is the largest relative change of e^{−cu/ε} on leaving out every second node of an axis, `interpolated`
    the largest fraction of lines of an axis that had to be interpolated, and `error` a bound on what that costs in u.
    """

    u: Values
    gradient: tuple[Values, ...]
    change: Scalar
    interpolated: Scalar
    error: Scalar


class _Marks(NamedTuple):
    """Of the lines of an axis `[L]`: which decide how data are integrated, and which are wanted at all."""

    inside: Array
    wanted: Array


def slabs_of(u: Values) -> Loader:
    """Slabs of an array."""

    def load(first: Array, count: int) -> Values:
        index = jnp.minimum(first + jnp.arange(count), u.shape[-1] - 1)
        return u if count == u.shape[-1] else u[..., index]

    return load


def viscous(
    load: Loader,
    level: Scalar,
    sources: Nodes,
    targets: Nodes,
    domain: AbstractDomain,
    c: Scalar,
    epsilon: Scalar,
    t: Scalar,
    *,
    gradient: bool = True,
    whole: bool = True,
    refine: int = 1,
) -> Flow:
    """The Hopf-Cole solution at time t > 0 from node values at time 0, ε > 0.

    `level`: some value of the data, about which rounding is smallest. Without `gradient`, `Flow.gradient` has no
    components. `whole`: all nodes decide how the data are integrated, not only those inside the domain (beyond it a
    march knows u less and less well). `refine`: nodes per spacing that quintics fill in along each axis, for smooth u.
    """
    temperature = epsilon / c
    level = jax.lax.stop_gradient(level)

    def one(k: int, fields: tuple[Array, ...], marks: _Marks) -> tuple[tuple[Array, ...], Array]:
        x, y = targets.axis(k), sources.axis(k, refine, domain.periodic[k])
        period = domain.extent[k] if domain.periodic[k] else None
        here, there = (_inside(nodes, domain, k, whole) for nodes in (x, y))
        axis = Axis(x, y, period, here, there, marks.inside, sources.rows(k), marks.wanted)
        step = heat_axis(fields[0], fields[1:], axis, epsilon * t, refine)
        averages = step.averages if gradient else ()
        return (step.value, *averages), jnp.stack([step.change, step.interpolated, step.bound])

    inside = [
        tuple(_inside(nodes.axis(k), domain, k, whole) for k in range(domain.dimension)) for nodes in (sources, targets)
    ]

    def scaled(first: Array, count: int) -> Values:
        return (level - load(first, count)) / temperature

    (v, *slopes), stats = _all_axes(one, scaled, sources, targets, inside)
    change, interpolated, error = jnp.max(stats[:, 0]), jnp.max(stats[:, 1]), jnp.sum(stats[:, 2])
    return Flow(
        level - temperature * v, tuple(-temperature * s for s in slopes), change, interpolated, temperature * error
    )


def inviscid(load: Loader, sources: Nodes, targets: Nodes, domain: AbstractDomain, c: Scalar, t: Scalar) -> Flow:
    """The Hopf-Lax solution at time t > 0, with the minimum over the source nodes: a distance transform of them."""
    scale = 1 / (4 * c * t)

    def one(k: int, fields: tuple[Array, ...], marks: _Marks) -> tuple[tuple[Array, ...], Array]:
        y = sources.axis(k)
        index = sources.rows(k)
        if domain.periodic[k]:
            y = jnp.concatenate([y - domain.extent[k], y, y + domain.extent[k]])
            index = jnp.concatenate([index, index, index])
        value, averages = lower_envelope(fields[0], fields[1:], targets.axis(k), y, scale, index, marks.wanted)
        return (value, *averages), jnp.zeros(0, value.dtype)

    everywhere = [tuple(jnp.ones(n, bool) for n in nodes.shape) for nodes in (sources, targets)]
    (u, *slopes), _ = _all_axes(one, load, sources, targets, everywhere)
    nothing = jnp.zeros((), u.dtype)
    return Flow(u, tuple(slopes), nothing, nothing, nothing)


def _all_axes(
    one: Callable[[int, tuple[Array, ...], _Marks], tuple[tuple[Array, ...], Array]],
    load: Loader,
    sources: Nodes,
    targets: Nodes,
    inside: list[tuple[Array, ...]],
) -> tuple[tuple[Array, ...], Array]:
    """Fields `[m_1, ..., m_d]` after `one` pass per axis, `(k, [n_k or more, L] fields) -> ([L, m_k] fields, stats)`.

    And the statistics of each axis `[d, s]`: the largest over slabs.
    """
    d, n = len(sources.shape), sources.shape[-1]
    used = [
        (jnp.arange(m) >= sources.used[k, 0]) & (jnp.arange(m) <= sources.used[k, 1])
        for k, m in enumerate(sources.shape)
    ]
    after = [jnp.ones(m, bool) for m in targets.shape]

    def marks(k: int, last: Array) -> _Marks:
        """Of lines of axis k: sources of the axes to come, `last` of the last one, targets of those done."""
        taken = [source[k + 1 :] for source in (inside[0], used)]
        if k < d - 1:
            taken = [[*mask[:-1], mask[-1][last]] for mask in taken]
        return _Marks(*(_product([*mask, *done[:k]]) for mask, done in zip(taken, (inside[1], after), strict=True)))

    if d == 1:
        fields, stats = one(0, (load(jnp.zeros((), int), n)[:, None],), marks(0, jnp.zeros(0, int)))
        return tuple(field[0] for field in fields), stats[None]

    count = -(-n // max(1, n * math.prod(sources.shape[1:-1]) // _SLAB))
    count = -(-n // -(-n // count))

    def slab(first: Array) -> tuple[tuple[Array, ...], Array]:
        last = jnp.minimum(first + jnp.arange(count), n - 1)
        fields: tuple[Array, ...] = (load(first, count),)
        stats = []
        for k in range(d - 1):
            rest = fields[0].shape[1:]
            flat = tuple(f.reshape(f.shape[0], -1) for f in fields)
            fields, found = one(k, flat, marks(k, last))
            fields = tuple(f.reshape(*rest, -1) for f in fields)
            stats.append(found)
        return fields, jnp.stack(stats)

    fields, stats = jax.lax.map(slab, count * jnp.arange(-(-n // count)))
    fields = tuple(f.reshape(-1, math.prod(targets.shape[:-1])) for f in fields)
    fields, found = one(d - 1, fields, marks(d - 1, jnp.zeros(0, int)))
    return tuple(f.reshape(targets.shape) for f in fields), jnp.concatenate([jnp.max(stats, axis=0), found[None]])


def _product(masks: Any) -> Array:
    return functools.reduce(lambda a, b: (a[:, None] & b).reshape(-1), masks, jnp.ones(1, bool))


def _inside(x: Array, domain: AbstractDomain, k: int, whole: bool) -> Array:
    slack = 1e-3 * (x[1] - x[0])
    return ((x >= domain.lower[k] - slack) & (x <= domain.upper[k] + slack)) | whole | domain.periodic[k]
