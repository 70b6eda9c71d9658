"""The forward paths of a backward equation: dX = σ(T−s, X) dW, and what Y gains along them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_range, concrete, require
from ...problem import Problem
from ...problem.hopf_cole import check_periodic_data, on_domain
from ...problem.initials import Atoms
from ...problem.viscosities import Constant, Numerical
from ...typing import Array, Float, Points, PRNGKeyArray


class ForwardPaths(NamedTuple):
    """Places `[steps + 1, b, d]`, the noise σΔW `[steps, b, d]`, g at the ends `[b]`, and ∇g at all places."""

    places: Array
    noise: Array
    data: Array
    slopes: Array


def check_forward(problem: Problem, method: str) -> None:
    """Raise `ValueError` for problems without paths or without data at their ends."""
    require(
        not isinstance(problem.initial, Atoms),
        f"{method} needs `initial` to be a function; got Atoms, which are singular at t = 0. Use HopfCole.",
    )
    require(
        not isinstance(problem.viscosity, Numerical),
        "`viscosity` depends on ∇u and has no particle noise. Use the problem's own.",
    )
    if isinstance(problem.viscosity, Constant):
        check_range(
            "viscosity", problem.viscosity.epsilon, above=0.0, remedy="Paths without noise learn nothing. Use HopfLax."
        )
    check_periodic_data(problem, method)


def require_trained(method: Any, problem: Problem, horizon: Array | None) -> None:
    """Raise `ValueError` for a method without weights, or with weights for another horizon."""
    name = type(method).__name__
    require(
        horizon is not None,
        f"{name} is not trained. Use `method, history = hj.fit(problem, method, hj.Recipe(...), key=key)` first.",
    )
    trained, wanted = concrete(horizon), concrete(problem.horizon)
    if trained is not None and wanted is not None:
        require(
            abs(trained - wanted) <= 1e-5 * abs(trained),
            f"`horizon` must be {trained:g}, which this {name} was trained for; got {wanted:g}. Train another one.",
        )


def at_zero(network: eqx.nn.MLP) -> eqx.nn.MLP:
    """The network with its last layer at zero: it starts from the output 0."""
    last = network.layers[-1]
    return eqx.tree_at(
        lambda m: (m.layers[-1].weight, m.layers[-1].bias),
        network,
        jax.tree.map(jnp.zeros_like, (last.weight, last.bias)),
    )


def forward_paths(problem: Problem, start: Points, steps: int, key: PRNGKeyArray) -> ForwardPaths:
    """Euler-Maruyama paths from `start` `[b, d]` (exact for constant viscosity), with the data at their ends."""
    assert not isinstance(problem.initial, Atoms)
    viscosity, domain = problem.viscosity, problem.domain
    horizon = jnp.asarray(problem.horizon)
    dt = horizon / steps
    shape = eqx.filter_eval_shape(viscosity.root, horizon, start[0]).shape
    normals = jax.random.normal(key, (steps, start.shape[0], shape[1]), start.dtype)

    def move(x: Points, inputs: tuple[Array, Array]) -> tuple[Points, tuple[Points, Points]]:
        n, xi = inputs
        noise = jnp.sqrt(dt) * jax.vmap(lambda x, z: viscosity.root(horizon - n * dt, x) @ z)(domain.wrap(x), xi)
        return x + noise, (x + noise, noise)

    _, (later, noise) = jax.lax.scan(move, start, (jnp.arange(steps).astype(start.dtype), normals))
    places = jnp.concatenate([start[None], later])
    g = on_domain(problem.initial, domain)
    return ForwardPaths(places, noise, jax.vmap(g)(places[-1]), jax.vmap(jax.vmap(jax.grad(g)))(places))


def gains(problem: Problem, paths: ForwardPaths, z: Float[Array, "n b d"]) -> Float[Array, "steps b"]:
    """∫H ds + ∫Z·σ dW over each step, from ∇u at all places `[steps + 1, b, d]`: trapezoid rule for H."""
    steps = paths.noise.shape[0]
    horizon = jnp.asarray(problem.horizon)
    dt = horizon / steps
    times = horizon * (1 - jnp.arange(steps + 1).astype(z.dtype) / steps)
    inside = problem.domain.wrap(paths.places)
    rates = jax.vmap(problem.hamiltonian)(times, jnp.swapaxes(inside, 1, 2), jnp.swapaxes(z, 1, 2))
    return dt / 2 * (rates[:-1] + rates[1:]) + jnp.sum(z[:-1] * paths.noise, axis=2)
