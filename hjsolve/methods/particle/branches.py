"""Which rays pass through given points: a fan that finds every branch, and Newton's method that hits the point."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...problem import Problem
from ...typing import Array, Point, Points, Scalar
from .rays import Rays, Tracer
from .starts import in_box, map_blocks

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
) -> tuple[Root, Array]:
    """The start of the lowest branch through each point, and the number of branches."""
    lower = jnp.minimum(jnp.asarray(problem.domain.lower), jnp.min(points, axis=0))
    upper = jnp.maximum(jnp.asarray(problem.domain.upper), jnp.max(points, axis=0))
    starts, ends = _table(tracer, problem, nodes[-1], lower, upper, places)
    scale = 1 + jnp.max(jnp.abs(starts))

    def at(x: Point) -> tuple[Root, Array]:
        distance = jnp.sum((ends - x) ** 2, axis=1)
        distance = jnp.where(jnp.isfinite(distance), distance, jnp.inf)
        nearest = jax.lax.top_k(-distance, branches)[1]
        roots = jax.vmap(lambda y: _newton(tracer, problem, nodes, x, y))(starts[nearest])
        values = jnp.where(roots.converged, roots.value, jnp.inf)
        apart = jnp.max(jnp.abs(roots.y[:, None] - roots.y[None]), axis=2) > _SAME * scale
        earlier = np.tri(branches, k=-1, dtype=bool)
        repeated = jnp.any(~apart & earlier & roots.converged[None, :], axis=1)
        best = jnp.argmin(values)
        return jax.tree.map(lambda a: a[best], roots), jnp.sum(roots.converged & ~repeated)

    return map_blocks(jax.vmap(at), points, 8 * branches)


def _table(
    tracer: Tracer, problem: Problem, t: Scalar, lower: Array, upper: Array, places: Points
) -> tuple[Points, Points]:
    """Starts of rays around [lower, upper], as far as rays travel by time t, and their ends (inf where there is none).

    Each round widens the box by the largest displacement per axis that the one before saw.
    """

    def trace(y: Point) -> tuple[Rays, Array]:
        return tracer.to(problem, y, t)

    def widen(_: int, carry: tuple[Points, Points, Array]) -> tuple[Points, Points, Array]:
        starts = in_box(places, lower - carry[2], upper + carry[2])
        ends, reached = jax.vmap(trace)(starts)
        sound = reached[:, None] & jnp.isfinite(ends.x)
        reach = jnp.max(jnp.where(sound, jnp.abs(ends.x - starts), 0.0), axis=0)
        return starts, jnp.where(sound, ends.x, jnp.inf), reach

    carry = (places, places, jnp.zeros_like(lower))
    return jax.lax.fori_loop(0, _ROUNDS, widen, carry)[:2]


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
