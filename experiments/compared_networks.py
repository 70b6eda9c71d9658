"""The networks of the comparison: from random weights by the same budget, measured, and carried to other equations.

This module runs nothing itself.
"""

import functools
from typing import Literal

import numpy as np

Name = Literal["ResidualStepper", "Attention", "SSM"]
RATES = {"ResidualStepper": 0.03, "Attention": 0.1, "SSM": 0.002}
"""Adam's largest rate; chosen, like the batches and the warm-up, on problems that were learnt from."""
WARMING = 0.1
"""The part of the steps in which the rate rises; it then falls to 0 along a cosine.

Begun at the largest, half of the residual networks of |p| lose all their rectified units within 50 steps, for good.
"""
CLIPPED = 1.0
"""The largest norm of a gradient: without it some residual networks leave a good fit for one that grows."""
BATCHES = {"ResidualStepper": 8, "Attention": 8, "SSM": 32}
FORGETTING = 0.95
"""Of Adam's second moments: with the usual 0.999 the losses end a hundred to a million times higher."""
HEADS = 4
SAMPLED = 100
"""Steps that tell how many the budget is for."""


def affordable(config, equation, name, learnt):
    """The steps of training within the budget, once compiled."""
    trained(config, equation, name, 0, learnt, SAMPLED)  # compiles
    _, record, _ = trained(config, equation, name, 0, learnt, SAMPLED)
    return max(SAMPLED, 50 * round(config.seconds / record["training [s]"] * SAMPLED / 50))


def trained(config, equation, name, seed, learnt, steps):
    """(network, a record of its training, its mean loss by chunk of 50 steps); the first seed compiles as well."""
    import jax

    import hjsolve as hj

    first, second = jax.random.split(jax.random.key(1000 * config.seed + seed))
    network = random(config, equation, name, learnt.start, first)
    fixed = sum(np.size(leaf) for leaf in network.held())
    weights = sum(np.size(leaf) for leaf in jax.tree.leaves(network)) - fixed
    recipe = hj.Recipe(steps=steps, batch=BATCHES[name], optimiser=_optimiser(name, steps))
    network, history = hj.fit(hj.Data(learnt.start, learnt.u), network, recipe, key=second)
    losses = history.losses[: len(history.losses) // 50 * 50].reshape(-1, 50).mean(axis=1)
    record = {
        "weights": int(weights),
        "training steps": len(history.losses),
        "training [s]": history.seconds,
        "last loss": float(history.losses[-50:].mean()),
    }
    return network, record, losses


@functools.cache
def _optimiser(name, steps):
    """The same object for all seeds, as it is part of what is compiled."""
    import optax

    rate = optax.warmup_cosine_decay_schedule(0.0, RATES[name], int(WARMING * steps), steps)
    return optax.chain(optax.clip_by_global_norm(CLIPPED), optax.adam(rate, b2=FORGETTING))


def random(config, equation, name, start, key):
    """The largest network of its family within the budget of weights; a residual one of layers that can be stable."""
    import hjsolve as hj

    d, most, network = equation.d, config.parameters, hj.methods.network
    torus, shared = _torus(d), {"time": config.horizon, "key": key}
    if name == "SSM":
        return network.SSM.random((config.cells,) * d, temperature=0.5, **shared)
    if name == "Attention":
        width = max(1, (most // HEADS - 2) // (2 * d + 4))
        return network.Attention.random(torus, config.cells, scale=1.0, heads=HEADS, width=width, **shared)
    channels = 2 * d
    layers = stable_layers(config, equation, start)
    hidden = max(4, (most - (channels + 1) * 3**d) // (channels + 2))
    return network.ResidualStepper.random(
        torus, config.cells, layers=layers, channels=channels, hidden=hidden, **shared
    )


def stable_layers(config, equation, start):
    """T Σ_i (2ε/h² + α_i/h): fewer steps of three nodes an axis cannot be monotone, and what is rough would grow.

    The speeds α are those of the data's steepest slopes.
    """
    import jax.numpy as jnp

    d, h = equation.d, 2 * np.pi / config.cells
    fields = start.reshape(-1, *(config.cells,) * d)
    steepest = [np.abs(np.roll(fields, -1, axis) - fields).max() / h for axis in range(1, d + 1)]
    slopes = jnp.array(steepest)[:, None]
    speeds = equation.hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros((d, 1)), -slopes, slopes)
    return int(np.ceil(config.horizon * float(jnp.sum(2 * equation.epsilon / h**2 + speeds / h))))


def measured(config, network, samples):
    """The equation of one step, of an SSM from the horizon on; None where a step is not finite everywhere.

    What short waves of an SSM do is not learnt: by the horizon they are gone.
    """
    import hjsolve as hj

    options = {"time": config.horizon}
    if isinstance(network, hj.methods.network.ResidualStepper):
        options = {}
    elif isinstance(network, hj.methods.network.SSM):
        options |= {"dt": config.horizon / 16}
    else:
        options |= {"dt": config.horizon / 64, "cells": config.cells}
    try:
        return hj.theory.measure_equation(network, samples, **options)
    except ValueError as error:
        if "not finite" not in str(error):
            raise
        return None


def viscosity_read(network, equation):
    """ε as the weights say it, without running the network: of a stepper at slope 0."""
    import jax.numpy as jnp

    import hjsolve as hj

    data = hj.initials.Custom(lambda x: 0.3 * jnp.sum(jnp.cos(x)))
    problem = hj.Problem(equation.hamiltonian, equation.epsilon, data, _torus(equation.d), network.time)
    carried = network.equation(problem).viscosity
    if isinstance(network, hj.methods.network.ResidualStepper):
        nowhere = jnp.zeros((equation.d, 1))
        matrix = carried.matrix(jnp.zeros(()), nowhere, nowhere)[..., 0]
        return float(jnp.trace(matrix)) / equation.d
    return float(carried.epsilon)


def rebuilt(network, equation, *, cells=None, factor=1.0):
    """The network on another grid, or with its viscosity changed by a factor, through the equation read off it."""
    import equinox as eqx

    import hjsolve as hj

    torus = _torus(equation.d)
    if isinstance(network, hj.methods.network.ResidualStepper):
        finer = 1 if cells is None else cells // network.cells[0]
        layers = network.layers * (finer**2 * int(np.ceil(factor)) if network.shared else 1)
        carried = network.on_grid(torus, finer * network.cells[0], layers=layers)
        missing = factor * viscosity_read(network, equation) - viscosity_read(carried, equation)
        added = missing * _laplacian(equation.d)
        return eqx.tree_at(lambda n: n.block.linear, carried, carried.block.linear + added)
    problem = hj.Problem(equation.hamiltonian, equation.epsilon, hj.initials.Cosine(1.0, 1.0), torus, network.time)
    carried = network.equation(problem)
    carried = eqx.tree_at(lambda p: p.viscosity.epsilon, carried, factor * carried.viscosity.epsilon)
    family = "ssm" if isinstance(network, hj.methods.network.SSM) else "attention"
    if family == "attention":  # whose u is f over the problem's c
        carried = eqx.tree_at(lambda p: p.hamiltonian, carried, equation.hamiltonian)
    own = network.cells[0] if family == "ssm" else round(len(network.places) ** (1 / equation.d))
    return hj.theory.as_network(carried, family=family, cells=own if cells is None else cells)


def _torus(d):
    import hjsolve as hj

    return hj.Torus([-np.pi] * d, [np.pi] * d)


def _laplacian(d):
    """Σ_i δ_i² as taps."""
    taps = np.zeros((3,) * d)
    for axis in range(d):
        line = [1] * d
        line[axis] = slice(None)
        taps[tuple(line)] += np.array([1.0, -2.0, 1.0])
    return taps
