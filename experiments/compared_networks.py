"""The networks of the comparison: from random weights by the same budget, measured, and carried to other equations.

This module runs nothing itself.
"""

import time
from typing import Literal

import numpy as np

Name = Literal["ResidualStepper", "Attention", "SSM"]
RATES = {"ResidualStepper": 0.03, "Attention": 0.1, "SSM": 0.02}
"""Where Adam's rate begins, to fall along a cosine; chosen, like the batches, on problems that were learnt from."""
BATCHES = {"ResidualStepper": 8, "Attention": 8, "SSM": 32}
FORGETTING = 0.95
"""Of Adam's second moments: with the usual 0.999 the losses end a hundred to a million times higher."""
HEADS = 4
SAMPLED = 100
"""Steps that tell how many the budget is for."""


def trained(config, equation, name, seed, learnt):
    """(network, a record of its training, its mean loss by chunk of 50 steps)."""
    import jax
    import optax

    import hjsolve as hj

    first, second = jax.random.split(jax.random.key(1000 * config.seed + seed))
    network = random(config, equation, name, first)
    fixed = sum(np.size(leaf) for leaf in network.held())
    weights = sum(np.size(leaf) for leaf in jax.tree.leaves(network)) - fixed
    source, began = hj.Data(learnt.start, learnt.u), time.perf_counter()

    def fit(steps, rate):
        recipe = hj.Recipe(steps=steps, batch=BATCHES[name], optimiser=optax.adam(rate, b2=FORGETTING))
        return hj.fit(source, network, recipe, key=second)

    fit(SAMPLED, RATES[name])
    seconds = fit(SAMPLED, RATES[name])[1].seconds
    steps = max(SAMPLED, 50 * round(config.seconds / seconds * SAMPLED / 50))
    network, history = fit(steps, optax.cosine_decay_schedule(RATES[name], steps))
    losses = history.losses[: len(history.losses) // 50 * 50].reshape(-1, 50).mean(axis=1)
    record = {
        "weights": int(weights),
        "training steps": len(history.losses),
        "training [s]": time.perf_counter() - began,
        "last loss": float(history.losses[-50:].mean()),
    }
    return network, record, losses


def random(config, equation, name, key):
    """The largest network of its family within the budget of weights."""
    import hjsolve as hj

    d, most, network = equation.d, config.parameters, hj.methods.network
    torus, shared = _torus(d), {"time": config.horizon, "key": key}
    if name == "SSM":
        return network.SSM.random((config.cells,) * d, temperature=0.5, **shared)
    if name == "Attention":
        width = max(1, (most // HEADS - 2) // (2 * d + 4))
        return network.Attention.random(torus, config.cells, scale=1.0, heads=HEADS, width=width, **shared)
    channels = 2 * d
    layers = 2 * max(1, round(config.cells * config.horizon / 8))
    hidden = max(4, (most - (channels + 1) * 3**d) // (channels + 2))
    return network.ResidualStepper.random(
        torus, config.cells, layers=layers, channels=channels, hidden=hidden, **shared
    )


def measured(config, network, samples):
    """The equation of one step (of the network's own, or of a part of the horizon); None where a step is not finite."""
    import hjsolve as hj

    if isinstance(network, hj.methods.network.Attention):
        options = {"time": config.horizon, "dt": config.horizon / 64, "cells": config.cells}
    else:
        options = {"dt": config.horizon / 4} if isinstance(network, hj.methods.network.SSM) else {}
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
        if cells is not None:
            return network.on_grid(torus, cells, layers=network.layers * (cells // network.cells[0]) ** 2)
        added = (factor - 1) * equation.epsilon * _laplacian(equation.d)
        return eqx.tree_at(lambda n: n.block.linear, network, network.block.linear + added)
    problem = hj.Problem(equation.hamiltonian, equation.epsilon, hj.initials.Cosine(1.0, 1.0), torus, network.time)
    carried = network.equation(problem)
    carried = eqx.tree_at(lambda p: p.viscosity.epsilon, carried, factor * carried.viscosity.epsilon)
    family = "ssm" if isinstance(network, hj.methods.network.SSM) else "attention"
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
