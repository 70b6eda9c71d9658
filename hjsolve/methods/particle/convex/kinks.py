"""Minima at kinks, where gradients do not vanish: searches without them, and along hulls of those nearby."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....typing import Array, Point, Scalar
from .control import Control

MOST_CONTROLS = 6
"""The search looks along 2n directions a round, and its rounds grow with n."""
_ROUNDS = 240
_HULL = 24
"""Gradients per dimension."""
_DESCENTS = 80
_FIRST_RADIUS = 1e-2
_SHRINKING = 10.0
_TRUSTED = 1e-8
"""Radii, relative to the size of x and y: gradients are first sampled within the first, and the last certify."""
_HULL_ITERATIONS = 2000


def compass(objective: Callable[[Array], Scalar], start: Array, radius: Scalar) -> Array:
    """A local minimiser of a continuous function of `[n]`, from `start`, to round-off.

    Each round tries ± the axes of a new random frame at the present radius, moves to the best and doubles the radius,
    or halves it where nothing is lower. The directions become dense, so that no kink can block every one.
    Source: Audet & Dennis 2006 (mesh adaptive direct search), doi:10.1137/040603371.
    """
    n = start.shape[0]
    gaussian = np.random.default_rng(0).normal(size=(_ROUNDS, n, n))
    axes = np.linalg.qr(gaussian)[0]
    frames = jnp.asarray(np.concatenate([axes, -axes], axis=1), start.dtype)

    def search(carry: tuple[Array, Scalar, Scalar], frame: Array) -> tuple[tuple[Array, Scalar, Scalar], None]:
        centre, best, radius = carry
        trials = centre + radius * frame
        values = jax.vmap(objective)(trials)
        lowest = jnp.argmin(values)
        lower = values[lowest] < best
        centre = jnp.where(lower, trials[lowest], centre)
        return (centre, jnp.where(lower, values[lowest], best), jnp.where(lower, 2 * radius, radius / 2)), None

    return jax.lax.scan(search, (start, objective(start), radius), frames)[0][0]


class Certified(NamedTuple):
    """The control z of the minimum, (f + ℓ)(z), a subgradient p of the data there, and the gap that p certifies."""

    z: Array
    value: Scalar
    p: Point
    gap: Scalar


def descend(
    control: Control,
    data: Callable[[Point], tuple[Scalar, Point]],
    x: Point,
    t: Scalar,
    start: Array,
    tolerance: Scalar,
) -> Certified:
    """Gradient sampling from a = `start`, z = prox(a), until gradients near y = x − tBz certify z within `tolerance`.

    Where they do not, they show the way down: with p the average of gradients within a radius of y that comes nearest
    to certifying z, prox(z + Bᵀp) lies lower, unless the radius is too large. It shrinks where nothing on the way is
    lower. Source: Burke, Lewis & Overton 2005, doi:10.1137/030601296.
    """
    one = jnp.ones((), x.dtype)
    eps = jnp.finfo(x.dtype).eps
    shares = jnp.asarray(0.5 ** np.arange(-2.0, 24.0), x.dtype)

    def height(a: Array) -> Scalar:
        z, cost = control.proximal(a, one)
        return data(x - t * control.steer(z))[0] / t + cost

    def unfinished(carry: tuple[Array, Point, Scalar, Scalar, Array]) -> Array:
        _, _, gap, radius, count = carry
        return ~((gap <= tolerance) & (radius <= _TRUSTED)) & (radius > eps / 8) & (count < _DESCENTS)

    def body(carry: tuple[Array, Point, Scalar, Scalar, Array]) -> tuple[Array, Point, Scalar, Scalar, Array]:
        a, _, _, radius, count = carry
        z, cost = control.proximal(a, one)
        p, eta, gap = _certificate(control, data, x, t, z, cost, jnp.where(count == 0, 8 * eps, radius))
        trials = a + shares[:, None] * (z + eta - a)
        heights = jax.vmap(height)(trials)
        best = jnp.argmin(heights)
        lower = (heights[best] < height(a)) & (count > 0)
        held = (gap <= tolerance) & (count == 0)
        a = jnp.where(lower, trials[best], a)
        radius = jnp.where(lower | (count == 0), radius, radius / _SHRINKING)
        return a, p, gap, jnp.where(held, 8 * eps, radius), count + 1

    first = jnp.asarray(_FIRST_RADIUS, x.dtype)
    carry = (start, jnp.zeros_like(x), one * jnp.inf, first, jnp.zeros((), int))
    a, p, gap, _, _ = jax.lax.while_loop(unfinished, body, carry)
    return Certified(control.proximal(a, one)[0], height(a), p, gap)


def _certificate(
    control: Control,
    data: Callable[[Point], tuple[Scalar, Point]],
    x: Point,
    t: Scalar,
    z: Array,
    cost: Scalar,
    radius: Scalar,
) -> tuple[Point, Array, Scalar]:
    """A subgradient p at y = x − tBz from the gradients around y, Bᵀp, and the gap it certifies for u, over t.

    The tangent planes g_i + p_i·(y' − y_i) of convex g bound it from below, hence so do their averages: with weights
    λ, u >= Σλ_i (g_i − p_i·y_i) + p·x − tH(p), p = Σλ_i p_i. The λ that lift that bound, with H smoothed, are found by
    shifting weight from the worst plane in use to the best (pairwise Frank-Wolfe, which converges linearly).
    Source: Lacoste-Julien & Jaggi 2015, arXiv 1511.05932.
    """
    d = x.shape[0]
    v = control.steer(z)
    y = x - t * v
    offsets = np.random.default_rng(0).normal(size=(_HULL * d, d))
    offsets = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    around = jnp.asarray(np.concatenate([offsets, np.eye(d), -np.eye(d)]), x.dtype)
    eps = jnp.finfo(x.dtype).eps
    places = y + radius * (1 + jnp.max(jnp.abs(x)) + t * jnp.max(jnp.abs(v))) * around
    heights, slopes = jax.vmap(data)(places)
    here = data(y)[0]
    # how far each plane lies below g at y, over t
    drops = (here - heights - jnp.sum(slopes * (y - places), axis=1)) / t
    pull = jax.linear_transpose(control.steer, z)

    one = jnp.ones((), x.dtype)

    def rise(weights: Array) -> Array:
        """The derivative in each weight of max_w η·(w − z) − ℓ(w) − |w − z|²/2 + Σ λ_i drop_i, η = BᵀΣ λ_i p_i."""
        w, _ = control.proximal(z + pull(weights @ slopes)[0], one)
        return slopes @ control.steer(w - z) + drops

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, spread, count = carry
        return (spread > eps**0.75 * (1 + jnp.abs(cost))) & (count < _HULL_ITERATIONS)

    def shift(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        weights, _, count = carry
        slope = rise(weights)
        up, down = jnp.argmin(slope), jnp.argmax(jnp.where(weights > 0, slope, -jnp.inf))
        spread = slope[down] - slope[up]
        bend = jnp.sum(pull(slopes[up] - slopes[down])[0] ** 2)
        amount = jnp.minimum(weights[down], spread / jnp.maximum(bend, jnp.finfo(x.dtype).tiny))
        return weights.at[up].add(amount).at[down].add(-amount), spread, count + 1

    count = around.shape[0]
    start = (jnp.full(count, 1 / count, x.dtype), one * jnp.inf, jnp.zeros((), int))
    weights = jax.lax.while_loop(unfinished, shift, start)[0]
    p = weights @ slopes
    eta = pull(p)[0]
    return p, eta, cost + control.conjugate(eta) - jnp.sum(p * v) + jnp.sum(weights * drops)
