"""Families of random initial data on the torus [0, 2π]^d, as problems that differ in numbers alone.

This module runs nothing itself.
"""

from typing import Literal, get_args

import numpy as np

Family = Literal["waves", "kinks", "shocks"]
FAMILIES = get_args(Family)
MODES, KNOTS, WELLS = 4, 6, 3
RANGE = 0.8
"""Of u at 0: every profile is scaled to it, so that osc(u)/ε is within what e^{−u/ε} can hold."""


def draw(family, d, count, rng):
    """`count` sets of numbers, stacked: random Fourier series, piecewise-linear profiles, or the lowest of wells."""
    if family == "waves":
        vectors = _wave_vectors(d)
        size = 1 / np.linalg.norm(vectors, axis=1) ** 1.5
        shares = size * rng.normal(size=(count, len(vectors)))
        numbers = {"shares": shares, "phases": rng.uniform(0, 2 * np.pi, size=shares.shape)}
    elif family == "kinks":
        numbers = {"heights": rng.normal(size=(count, d, KNOTS)), "places": rng.uniform(0, 2 * np.pi, size=(count, d))}
    else:
        depths, centres = 0.5 * rng.normal(size=(count, WELLS)), rng.uniform(0, 2 * np.pi, size=(count, WELLS, d))
        numbers = {"depths": depths, "centres": centres}
    return {**numbers, "scale": RANGE / _ranges(family, d, numbers)}


def _ranges(family, d, numbers):
    """The largest less the smallest value of each, on a grid."""
    import jax
    import jax.numpy as jnp

    axis = np.linspace(0, 2 * np.pi, 65)[:-1]
    points = jnp.asarray(np.stack(np.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d))
    raw = function(family, d)
    unit = {**numbers, "scale": np.ones(len(next(iter(numbers.values()))))}
    values = jax.jit(jax.vmap(lambda n: jax.vmap(lambda x: raw(n, x))(points)))(unit)
    return np.ptp(np.asarray(values), axis=1)


def function(family, d):
    """`(numbers, x [d]) -> u(0, x)`, periodic; `kinks` bend at KNOTS places an axis, `shocks` where wells meet."""
    import jax.numpy as jnp

    if family == "waves":
        vectors = _wave_vectors(d)
        return lambda numbers, x: (
            numbers["scale"] * jnp.sum(numbers["shares"] * jnp.cos(vectors @ x + numbers["phases"]))
        )
    if family == "kinks":

        def profile(numbers, x):
            place = jnp.mod(x - numbers["places"], 2 * jnp.pi) * KNOTS / (2 * jnp.pi)
            cell = jnp.floor(place).astype(int)
            axes = jnp.arange(d)
            low, high = (jnp.asarray(numbers["heights"])[axes, (cell + k) % KNOTS] for k in (0, 1))
            return numbers["scale"] * jnp.sum(low + (place - cell) * (high - low))

        return profile

    def lowest(numbers, x):
        wells = numbers["depths"] + jnp.sum(1 - jnp.cos(x - numbers["centres"]), axis=1)
        return numbers["scale"] * jnp.min(wells)

    return lowest


def problems(family, hamiltonian, viscosity, d, horizon, numbers):
    """One problem for each set of numbers."""
    import equinox as eqx
    import jax

    import hjsolve as hj

    torus, profile = hj.Torus([-np.pi] * d, [np.pi] * d), function(family, d)
    count = len(next(iter(numbers.values())))
    return [
        hj.Problem(
            hamiltonian,
            viscosity,
            hj.initials.Custom(eqx.Partial(profile, jax.tree.map(lambda a, k=k: a[k], numbers))),
            torus,
            horizon,
        )
        for k in range(count)
    ]


def _wave_vectors(d):
    """Whole vectors of length at most MODES, one of each pair ±k."""
    axes = np.meshgrid(*[np.arange(-MODES, MODES + 1)] * d, indexing="ij")
    vectors = np.stack(axes, axis=-1).reshape(-1, d)
    first = np.array([next((k for k in v if k), 0) for v in vectors])
    return vectors[(first > 0) & (np.linalg.norm(vectors, axis=1) <= MODES)].astype(float)
