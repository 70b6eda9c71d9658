"""Families of random initial data on the torus [−π, π]^d, as problems that differ in numbers alone.

One function for all families, so that what is compiled for one serves the others. This module runs nothing itself.
"""

import functools
from typing import Literal, get_args

import numpy as np

Family = Literal["waves", "kinks", "shocks"]
FAMILIES = get_args(Family)
MODES, KNOTS, WELLS = 4, 6, 3
RANGE = 0.8
"""Of u at 0: every profile is scaled to it, so that osc(u)/ε is within what e^{−u/ε} can hold."""


def draw(family, d, count, rng):
    """`count` sets of numbers, stacked: random Fourier series, piecewise-linear profiles, or the lowest of wells."""
    vectors = wave_vectors(d)
    numbers = {
        "shares": np.zeros((count, len(vectors))),
        "phases": np.zeros((count, len(vectors))),
        "heights": np.zeros((count, d, KNOTS)),
        "places": np.zeros((count, d)),
        "depths": np.zeros((count, WELLS)),
        "centres": np.zeros((count, WELLS, d)),
        "pick": np.tile([float(family == name) for name in FAMILIES], (count, 1)),
    }
    around = 2 * np.pi
    if family == "waves":
        numbers["shares"] = rng.normal(size=numbers["shares"].shape) / np.linalg.norm(vectors, axis=1) ** 1.5
        numbers["phases"] = rng.uniform(0, around, size=numbers["phases"].shape)
    elif family == "kinks":
        numbers["heights"] = rng.normal(size=numbers["heights"].shape)
        numbers["places"] = rng.uniform(0, around, size=numbers["places"].shape)
    else:
        numbers["depths"] = 0.5 * rng.normal(size=numbers["depths"].shape)
        numbers["centres"] = rng.uniform(0, around, size=numbers["centres"].shape)
    return {**numbers, "scale": RANGE / _ranges(d, {**numbers, "scale": np.ones(count)})}


@functools.cache
def profile(d):
    """`(numbers, x [d]) -> u(0, x)`: waves, kinks at KNOTS places an axis, or shocks where wells meet."""
    import jax.numpy as jnp

    vectors = wave_vectors(d)

    def value(numbers, x):
        n = {name: jnp.asarray(array) for name, array in numbers.items()}
        waves = jnp.sum(n["shares"] * jnp.cos(jnp.asarray(vectors) @ x + n["phases"]))
        place = jnp.mod(x - n["places"], 2 * jnp.pi) * KNOTS / (2 * jnp.pi)
        cell = jnp.floor(place).astype(int)
        low, high = (jnp.take_along_axis(n["heights"], ((cell + k) % KNOTS)[:, None], axis=1)[:, 0] for k in (0, 1))
        kinks = jnp.sum(low + (place - cell) * (high - low))
        shocks = jnp.min(n["depths"] + jnp.sum(1 - jnp.cos(x - n["centres"]), axis=1))
        return n["scale"] * (n["pick"] @ jnp.stack([waves, kinks, shocks]))

    return value


def problems(hamiltonian, viscosity, d, horizon, numbers):
    """One problem for each set of numbers."""
    import equinox as eqx
    import jax

    import hjsolve as hj

    torus, function = hj.Torus([-np.pi] * d, [np.pi] * d), profile(d)
    return [
        hj.Problem(
            hamiltonian,
            viscosity,
            hj.initials.Custom(eqx.Partial(function, jax.tree.map(lambda a, k=k: a[k], numbers))),
            torus,
            horizon,
        )
        for k in range(len(numbers["scale"]))
    ]


def wave_vectors(d):
    """Whole vectors of length at most MODES, one of each pair ±k."""
    axes = np.meshgrid(*[np.arange(-MODES, MODES + 1)] * d, indexing="ij")
    vectors = np.stack(axes, axis=-1).reshape(-1, d)
    first = np.array([next((k for k in v if k), 0) for v in vectors])
    return vectors[(first > 0) & (np.linalg.norm(vectors, axis=1) <= MODES)].astype(float)


def _ranges(d, numbers):
    """The largest less the smallest value of each, on a grid."""
    import jax
    import jax.numpy as jnp

    axis = np.linspace(-np.pi, np.pi, 65)[:-1]
    points = jnp.asarray(np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d))
    values = jax.jit(jax.vmap(lambda n: jax.vmap(lambda x: profile(d)(n, x))(points)))(numbers)
    return np.ptp(np.asarray(values), axis=1)
