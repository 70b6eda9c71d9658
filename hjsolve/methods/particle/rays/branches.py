"""Which rays pass through given points: a fan that finds every branch, and Newton's method that hits the point."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....problem import Problem
from ....typing import Array, Float, Point, Points, Scalar
from ..starts import in_box, map_blocks
from .rays import Rays, Tracer

_ROUNDS = 3
_NEWTON_STEPS = 30
_SHORTEST = 1e-3
"""Of a Newton step: below it the search has stalled."""
_SAME = 1e-6
"""Starts of rays closer than this, relative to their size, are the same branch."""


class Root(NamedTuple):
    """The start of a ray, the ray at the nodes (the last is its end), its distance from x, and u carried on to x."""

    y: Point
    ray: Rays
    miss: Scalar
    value: Scalar
    converged: Array


def rays_through(
    tracer: Tracer, problem: Problem, nodes: Array, points: Points, places: Points, branches: int
) -> tuple[Root, Array, Array]:
    """The start of the lowest branch through each point, how many there are, and whether a lower one may be left."""
    lower = jnp.minimum(jnp.asarray(problem.domain.lower), jnp.min(points, axis=0))
    upper = jnp.maximum(jnp.asarray(problem.domain.upper), jnp.max(points, axis=0))
    table = _table(tracer, problem, nodes[-1], lower, upper, places)
    scale = 1 + jnp.max(jnp.abs(table.starts))

    def at(x: Point) -> tuple[Root, Array, Array]:
        starts, rest = _sheets(table, x, branches)
        roots = jax.vmap(lambda y: _newton(tracer, problem, nodes, x, y))(starts)
        values = jnp.where(roots.converged, roots.value, jnp.inf)
        apart = jnp.max(jnp.abs(roots.y[:, None] - roots.y[None]), axis=2) > _SAME * scale
        earlier = np.tri(branches, k=-1, dtype=bool)
        repeated = jnp.any(~apart & earlier & roots.converged[None, :], axis=1)
        best = jnp.argmin(values)
        return jax.tree.map(lambda a: a[best], roots), jnp.sum(roots.converged & ~repeated), rest < values[best]

    return map_blocks(jax.vmap(at), points, 8 * branches)


class _Table(NamedTuple):
    """Starts `[n, d]` of rays, their ends, the inverses of ∂x/∂y (NaN where there is none), the spacing of starts."""

    starts: Points
    ends: Rays
    inverses: Float[Array, "n d d"]
    spacing: Scalar


def _table(tracer: Tracer, problem: Problem, t: Scalar, lower: Array, upper: Array, places: Points) -> _Table:
    """Rays that start around [lower, upper], as far as rays travel by time t.

    Each round widens the box by the largest displacement per axis that the one before saw.
    """

    def trace(y: Point) -> tuple[Rays, Array]:
        return tracer.to(problem, y, t)

    def widen(_: int, carry: tuple[_Table, Array]) -> tuple[_Table, Array]:
        reach = carry[1]
        starts = in_box(places, lower - reach, upper + reach)
        ends, reached = jax.vmap(trace)(starts)
        inverses = jnp.where(reached[:, None, None], jnp.linalg.inv(ends.jacobian), jnp.nan)
        moved = jnp.where(reached[:, None] & jnp.isfinite(ends.x), jnp.abs(ends.x - starts), 0.0)
        spacing = jnp.max(upper - lower + 2 * reach) / len(places) ** (1 / places.shape[1])
        return _Table(starts, ends, inverses, spacing), jnp.max(moved, axis=0)

    n, d = places.shape
    matrices = jnp.zeros((n, d, d), places.dtype)
    ends = Rays(places, places, jnp.zeros(n, places.dtype), matrices, matrices)
    nothing = _Table(places, ends, matrices, jnp.ones((), lower.dtype))
    return jax.lax.fori_loop(0, _ROUNDS, widen, (nothing, jnp.zeros_like(lower)))[0]


def _sheets(table: _Table, x: Point, branches: int) -> tuple[Points, Scalar]:
    """Starts `[branches, d]` of rays that end near x, one for each sheet of rays over x as long as there are any.

    Each ray of the table predicts where the ray through x starts, to first order, and u there, to second. Of those that
    predict a start within two spacings of their own, the one of the lowest u is taken, those that predict the same
    start (within the spacing) are struck out, and so on; then the others, the nearest first. Also returned: the lowest
    u predicted by those within two spacings that were not taken.
    """
    away = x - table.ends.x
    steps = jnp.einsum("nij,nj->ni", table.inverses, away)
    length = jnp.max(jnp.abs(steps), axis=1)
    length = jnp.where(jnp.isfinite(length), length, jnp.inf)
    predicted = table.starts + steps
    u = (
        table.ends.u
        + jnp.sum(table.ends.p * away, axis=1)
        + jnp.einsum("ni,nij,nj->n", away, table.ends.bend, steps) / 2
    )
    u = jnp.where((length <= 2 * table.spacing) & jnp.isfinite(u), u, jnp.inf)

    def take(left: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Point]:
        u, length = left
        best = jnp.where(jnp.any(u < jnp.inf), jnp.argmin(u), jnp.argmin(length))
        same = jnp.max(jnp.abs(predicted - predicted[best]), axis=1) <= table.spacing
        return (jnp.where(same, jnp.inf, u), jnp.where(same, jnp.inf, length)), table.starts[best]

    (u, _), starts = jax.lax.scan(take, (u, length), None, length=branches)
    return starts, jnp.min(u)


def _newton(tracer: Tracer, problem: Problem, nodes: Array, x: Point, start: Point) -> Root:
    """The ray through x at the last of the times `nodes` that starts near `start`.

    Newton steps of the start, shortened until the ray ends nearer to x.
    """
    tolerance = 100 * tracer.atol * (1 + jnp.max(jnp.abs(x)))

    def unfinished(carry: tuple[Point, Rays, Point, Scalar, Scalar, Array]) -> Array:
        _, _, _, miss, fraction, count = carry
        return (miss > tolerance) & (fraction > _SHORTEST) & (count < _NEWTON_STEPS)

    def body(
        carry: tuple[Point, Rays, Point, Scalar, Scalar, Array],
    ) -> tuple[Point, Rays, Point, Scalar, Scalar, Array]:
        y, ray, step, miss, fraction, count = carry
        trial = y + fraction * step
        new_ray, reached = tracer.along(problem, trial, nodes)
        new_miss = jnp.max(jnp.abs(new_ray.x[-1] - x))
        nearer = reached & (new_miss < miss)
        kept = (trial, new_ray, _step(new_ray, x), new_miss)
        kept = jax.tree.map(lambda new, old: jnp.where(nearer, new, old), kept, (y, ray, step, miss))
        return *kept, jnp.where(nearer, 1.0, fraction / 4), count + 1

    one, d, count = jnp.ones((), x.dtype), x.shape[0], len(nodes)

    def zeros(*shape: int) -> Array:
        return jnp.zeros((count, *shape), x.dtype)

    nothing = Rays(zeros(d), zeros(d), zeros(), zeros(d, d), zeros(d, d))
    carry = (start, nothing, jnp.zeros_like(start), one * jnp.inf, one, jnp.zeros((), int))
    y, ray, _, miss, _, _ = jax.lax.while_loop(unfinished, body, carry)
    value = ray.u[-1] + jnp.sum(ray.p[-1] * (x - ray.x[-1]))
    return Root(y, ray, miss, value, miss <= tolerance)


def _step(ray: Rays, x: Point) -> Point:
    """The Newton step −(∂x/∂y)⁻¹(X − x); zero where the Jacobian is singular."""
    step = jnp.linalg.solve(ray.jacobian[-1], x - ray.x[-1])
    return jnp.where(jnp.all(jnp.isfinite(step)), step, 0.0)
