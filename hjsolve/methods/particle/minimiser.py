"""Refinement of a minimum found on nodes, without derivatives: exact at kinks and in smooth valleys alike."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Function, Points

_ROUNDS = 60


def refine_minimum(energy: Function, y: Points, spacing: Array) -> Points:
    """Minimisers near `y` `[m, d]` of `energy(y [m, d]) -> [m]`, from a search radius of `spacing` `[d]`.

    Compass search over the 3^d neighbours: move to the best, halve the radius when the centre is best.
    """
    d = y.shape[1]
    offsets = jnp.asarray(np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=d))), y.dtype)

    def improve(_: int, carry: tuple[Points, Array, Array]) -> tuple[Points, Array, Array]:
        centre, best, radius = carry
        found, moved = centre, jnp.zeros(centre.shape[0], bool)
        for offset in offsets:
            trial = centre + radius[:, None] * offset * spacing
            value = energy(trial)
            better = value < best
            found = jnp.where(better[:, None], trial, found)
            best = jnp.where(better, value, best)
            moved = moved | better
        return found, best, jnp.where(moved, radius, radius / 2)

    start = (y, energy(y), jnp.ones(y.shape[0], y.dtype))
    return jax.lax.stop_gradient(jax.lax.fori_loop(0, _ROUNDS, improve, start)[0])
