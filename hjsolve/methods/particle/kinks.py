"""Minima at kinks, where gradients do not vanish: search without them, and certify by a hull of those nearby."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Point, Scalar
from .control import Control

MOST_CONTROLS = 6
"""The search looks along 2n directions a round, and its rounds grow with n."""
_ROUNDS = 240
_HULL = 24
"""Gradients per dimension."""
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


def hull_certificate(
    control: Control, data: Callable[[Point], tuple[Scalar, Point]], x: Point, t: Scalar, z: Array, cost: Scalar
) -> tuple[Point, Scalar]:
    """A subgradient p at y = x − tBz from the gradients around y, and the gap it certifies for u, over t.

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
    radius = 8 * eps * (1 + jnp.max(jnp.abs(x)) + t * jnp.max(jnp.abs(v)))
    places = y + radius * around
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
        return (spread > eps * (1 + jnp.abs(cost))) & (count < _HULL_ITERATIONS)

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
    gap = cost + control.conjugate(pull(p)[0]) - jnp.sum(p * v) + jnp.sum(weights * drops)
    return p, gap
