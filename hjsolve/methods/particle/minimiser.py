"""Minimisers of the Hopf-Lax energy E(y) = g(y) + |x−y|²/(4ct): starts from nodes, Newton's method, compass search."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...kernels.small import factorise, solve
from ...problem import Problem
from ...problem.hopf_cole import on_domain, parameters
from ...typing import Array, Float, Function, Point, Points, Scalar

_NEWTON_STEPS = 40
_FULL_COMPASS = 3
"""Largest dimension in which compass search tries all 3^d neighbours; beyond it the 2d along the axes."""


class Local(NamedTuple):
    """The energy, the size of what it is rounded from, its gradient and its Hessian at points `[..., d]`."""

    value: Float[Array, "..."]
    size: Float[Array, "..."]
    gradient: Float[Array, "... d"]
    hessian: Float[Array, "... d d"]


def quadratic_model(g: Callable[[Point], Scalar], x: Points, y: Points, scale: Scalar) -> Local:
    """E, ∇E and D²E at y `[n, d]` for queries x `[n, d]`; `scale` is 1/(4ct). Without derivatives of its own.

    A second derivative of g that is not finite, as at a kink, counts as 0.
    """
    gradient = jax.grad(g)
    value, distance = jax.vmap(g)(y), scale * jnp.sum((x - y) ** 2, axis=1)
    slope = jax.vmap(gradient)(y) + 2 * scale * (y - x)
    curvature = jax.vmap(jax.jacfwd(gradient))(y)
    curvature = jnp.where(jnp.isfinite(curvature), curvature, 0.0) + 2 * scale * jnp.eye(y.shape[1], dtype=y.dtype)
    size = rounding_size(value, distance, x, y, scale)
    local: Local = jax.lax.stop_gradient(Local(value + distance, size, slope, curvature))
    return local


def rounding_size(value: Array, distance: Array, x: Points, y: Points, scale: Scalar) -> Float[Array, "n"]:
    """What an ulp of the energy is an ulp of: both terms, and the change of g as y moves by its own relative size."""
    return jnp.abs(value) + distance + 2 * scale * jnp.sum(jnp.abs((x - y) * y), axis=1)


def newton(g: Callable[[Point], Scalar], x: Points, y: Points, scale: Scalar) -> tuple[Points, Local]:
    """Local minimisers of E from starts y `[n, d]`, and the quadratic model there.

    Levenberg-Marquardt damping: a step that does not descend, or a Hessian that is not positive, raises it. Converges
    quadratically at smooth minima; at kinks it stalls where the damped steps do.
    """
    x, y, scale = jax.lax.stop_gradient((x, y, scale))
    ulp = jnp.finfo(y.dtype).eps
    identity = jnp.eye(y.shape[1], dtype=y.dtype)

    def unfinished(carry: tuple[Points, Local, Array, Array, Array]) -> Array:
        return jnp.any(carry[3]) & (carry[4] < _NEWTON_STEPS)

    def improve(carry: tuple[Points, Local, Array, Array, Array]) -> tuple[Points, Local, Array, Array, Array]:
        y, local, damping, active, count = carry
        factor, positive = factorise(local.hessian + damping[:, None, None] * identity)
        move = jnp.where(positive[:, None], -solve(factor, local.gradient), 0.0)
        trial = quadratic_model(g, x, y + move, scale)
        descends = positive & (trial.value <= local.value + 8 * ulp * local.size)
        taken = descends & active
        size = ulp * jnp.max(jnp.abs(y) + jnp.abs(x), axis=1)
        active = active & ~(positive & (count > 0) & (jnp.max(jnp.abs(move), axis=1) <= 4 * size))
        y, local = jax.tree.map(
            lambda new, old: jnp.where(taken.reshape((-1,) + (1,) * (old.ndim - 1)), new, old),
            (y + move, trial),
            (y, local),
        )
        relaxed = jnp.where(damping > 0.01 * scale, damping / 8, 0.0)
        return y, local, jnp.where(descends, relaxed, jnp.maximum(4 * damping, scale)), active, count + 1

    n = y.shape[0]
    zero = jnp.zeros(n, y.dtype)
    # the first round takes a step of 0 from nowhere, so that the model is compiled once
    nowhere = Local(zero + jnp.inf, zero, jnp.zeros_like(y), jnp.broadcast_to(identity, (n, *identity.shape)))
    start = (y, nowhere, zero, jnp.ones(n, bool), jnp.zeros((), int))
    y, local, *_ = jax.lax.while_loop(unfinished, improve, start)
    return y, local


def refine_minimum(energy: Function, y: Points, spacing: Array, rounds: int = 90) -> Points:
    """Minimisers near `y` `[m, d]` of `energy(y [m, d]) -> [m]`, from a search radius of `spacing` `[d]` or `[m, d]`.

    Compass search over the 3^d neighbours (the 2d along the axes beyond d = 3), without derivatives, so right at
    kinks: move to the best, halve the radius when the centre is best.
    """
    d = y.shape[1]
    if d <= _FULL_COMPASS:
        moves = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=d)))
    else:
        moves = np.concatenate([np.eye(d), -np.eye(d)])
    offsets = jnp.asarray(moves, y.dtype)

    def improve(_: int, carry: tuple[Points, Array, Array]) -> tuple[Points, Array, Array]:
        centre, best, radius = carry

        def look(k: Array, carry: tuple[Points, Array]) -> tuple[Points, Array]:
            found, lowest = carry
            trial = centre + radius[:, None] * offsets[k] * spacing
            value = energy(trial)
            better = value < lowest
            return jnp.where(better[:, None], trial, found), jnp.where(better, value, lowest)

        found, lowest = jax.lax.fori_loop(0, len(offsets), look, (centre, best))
        return found, lowest, jnp.where(lowest < best, radius, radius / 2)

    start = (y, energy(y), jnp.ones(y.shape[0], y.dtype))
    return jax.lax.stop_gradient(jax.lax.fori_loop(0, rounds, improve, start)[0])


def lowest_entries(values: Float[Array, "m n"], allowed: Array, count: int) -> tuple[Array, Array]:
    """Indices `[m, count]` of the lowest allowed values of each row, in order, and whether there were so many."""

    def take(left: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        index = jnp.argmin(left, axis=1)
        found = jnp.isfinite(jnp.take_along_axis(left, index[:, None], axis=1)[:, 0])
        return left.at[jnp.arange(left.shape[0]), index].set(jnp.inf), (index, found)

    _, (index, found) = jax.lax.scan(take, jnp.where(allowed, values, jnp.inf), None, length=count)
    return index.T, found.T


def lowest_dip(values: Float[Array, "*m n"]) -> Array:
    """Index `[*m]` of the lowest local minimum along the last axis other than the middle; 1 where there is none."""
    inner = values[..., 1:-1]
    others = jnp.arange(1, values.shape[-1] - 1) != values.shape[-1] // 2
    dips = (inner <= values[..., :-2]) & (inner <= values[..., 2:]) & others
    return jnp.argmin(jnp.where(dips, inner, jnp.inf), axis=-1) + 1


def hopf_lax(
    problem: Problem, t: Scalar, x: Points, found: Float[Array, "m k d"], spacing: Array
) -> tuple[Float[Array, "m"], Float[Array, "m d"]]:
    """u = min_y E and ∇u = (x − y)/(2ct) at ε = 0, from the minima `found` by `newton`; `spacing` `[d]` or `[m k, d]`.

    Compass search from each, a `spacing` far at first, for kinks, where Newton's method stalls: u to round-off, ∇u too
    where the minimiser is a smooth one or a corner; to the square root of that where a kink is flat along itself.
    """
    c, _ = parameters(problem)
    g = on_domain(problem.initial, problem.domain)  # type: ignore[arg-type]
    m, k, d = found.shape
    queries = jax.lax.stop_gradient(jnp.repeat(x, k, axis=0))
    scale = jax.lax.stop_gradient(1 / (4 * c * t))

    def energy(y: Points) -> tuple[Array, Array]:
        value, distance = jax.lax.stop_gradient(jax.vmap(g)(y)), scale * jnp.sum((queries - y) ** 2, axis=1)
        return value + distance, rounding_size(value, distance, queries, y, scale)

    smooth = jax.lax.stop_gradient(found.reshape(m * k, d))
    searched = refine_minimum(lambda y: energy(y)[0], smooth, jax.lax.stop_gradient(spacing))
    (before, size), (after, _) = energy(smooth), energy(searched)

    def best(y: Points, energies: Array) -> tuple[Points, Array, Array]:
        index = jnp.argmin(energies.reshape(m, k), axis=1)
        chosen = k * jnp.arange(m) + index
        return y[chosen], energies[chosen], size[chosen]

    (y, lowest, magnitude), (other, lower, _) = best(smooth, before), best(searched, after)
    # among so many trials some are lower by luck: the threshold is well above an ulp
    better = lower < lowest - 64 * jnp.finfo(x.dtype).eps * magnitude
    y = jax.lax.stop_gradient(jnp.where(better[:, None], other, y))
    return jax.vmap(g)(y) + jnp.sum((x - y) ** 2, axis=1) / (4 * c * t), (x - y) / (2 * c * t)


def polished(
    problem: Problem, t: Scalar, x: Points, starts: Float[Array, "m k d"]
) -> tuple[Float[Array, "m k d"], Local]:
    """Local minimisers of E by Newton's method from `starts`, and the quadratic model `[m k, ...]` there."""
    m, k, d = starts.shape
    c, _ = parameters(problem)
    g = on_domain(problem.initial, problem.domain)  # type: ignore[arg-type]
    y, local = newton(g, jnp.repeat(x, k, axis=0), starts.reshape(m * k, d), 1 / (4 * c * t))
    return y.reshape(m, k, d), local
