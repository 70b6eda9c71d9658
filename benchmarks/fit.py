"""Training throughput: `fit` beside a hand-written `lax.scan` loop and a plain Python loop that is not compiled.

The same network, data, batches and optimiser; steps a second once everything is compiled. And the two ways to evaluate
a linear recurrence, all at once by an associative scan or one step after the other. `--smoke` runs tiny sizes once.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import hjsolve as hj
from hjsolve.kernels.recurrence import linear_recurrence

RATE = 1e-3
BATCH = 64


def cases(smoke):
    """(name, network, inputs, targets)."""
    rng, n = np.random.default_rng(0), 256 if smoke else 2048
    x = rng.normal(size=(n, 8)).astype(np.float32)
    cells = 16 if smoke else 64
    fields = np.cumsum(rng.normal(size=(n, cells)), axis=1).astype(np.float32) / cells
    torus, key = hj.Torus([0.0], [1.0]), jax.random.key(0)
    network = hj.methods.network
    return [
        ("LSE", network.LSE.random(64, 8, temperature=0.5, key=key), x, np.sum(x**2, axis=1)),
        ("ResidualFlow", network.ResidualFlow.random(8, layers=8, key=key), x, np.sin(x[:, 0])),
        ("ResidualStepper", network.ResidualStepper.random(torus, cells, layers=8, key=key), fields, 0.9 * fields),
        ("SSM", network.SSM.random(cells, temperature=1.0, key=key), fields, 0.9 * fields),
    ]


def parts(network):
    """The arrays to train, and the rest."""
    trained = jax.tree.map(eqx.is_inexact_array, jax.tree.map(jnp.asarray, network))
    trained = eqx.tree_at(lambda n: n.held(), trained, (False,) * len(network.held()))
    return eqx.partition(jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), network), trained)


def loss(arrays, static, x, y):
    return jnp.mean((jax.vmap(eqx.combine(arrays, static))(x) - y) ** 2)


def by_scan(network, x, y, steps):
    """Seconds of one compiled scan over all steps, drawing batches as `fit` does."""
    arrays, static = parts(network)
    optimiser, x, y = optax.adam(RATE), jnp.asarray(x), jnp.asarray(y)

    @jax.jit
    def train(arrays, moments, key):
        def step(state, key):
            arrays, moments = state
            rows = jax.random.randint(key, (BATCH,), 0, len(x))
            value, slope = jax.value_and_grad(loss)(arrays, static, x[rows], y[rows])
            updates, moments = optimiser.update(slope, moments, arrays)
            return (optax.apply_updates(arrays, updates), moments), value

        return jax.lax.scan(step, (arrays, moments), jax.random.split(key, steps))

    moments = optimiser.init(arrays)
    jax.block_until_ready(train(arrays, moments, jax.random.key(0)))
    began = time.perf_counter()
    jax.block_until_ready(train(arrays, moments, jax.random.key(1)))
    return time.perf_counter() - began


def by_python(network, x, y, steps):
    """Seconds of a loop in Python whose operations are dispatched one by one."""
    arrays, static = parts(network)
    optimiser, rng, x, y = optax.adam(RATE), np.random.default_rng(0), jnp.asarray(x), jnp.asarray(y)
    moments = optimiser.init(arrays)

    def step(arrays, moments):
        rows = rng.choice(len(x), BATCH, replace=False)
        _, slope = jax.value_and_grad(loss)(arrays, static, x[rows], y[rows])
        updates, moments = optimiser.update(slope, moments, arrays)
        return optax.apply_updates(arrays, updates), moments

    arrays, moments = step(arrays, moments)
    began = time.perf_counter()
    for _ in range(steps):
        arrays, moments = step(arrays, moments)
    jax.block_until_ready(arrays)
    return time.perf_counter() - began


def by_fit(network, x, y, steps):
    """Seconds of `fit`, compiled before."""
    recipe = hj.Recipe(steps=steps, batch=BATCH, optimiser=optax.adam(RATE))
    data = hj.Data(x, y)
    hj.fit(data, network, recipe, key=jax.random.key(0))
    return hj.fit(data, network, recipe, key=jax.random.key(1))[1].seconds


def training(smoke):
    steps, few = (100, 2) if smoke else (2000, 10)
    print(f"training, batches of {BATCH}, float32: steps a second, and how many times as fast as the peer fit is")
    print(f"  {'':16} {'fit':>9} {'lax.scan':>9} {'Python':>9}   fit/scan  fit/Python")
    for name, network, x, y in cases(smoke)[: 2 if smoke else None]:
        # the better of two, taken in turn
        runs = [(by_fit(network, x, y, steps), by_scan(network, x, y, steps)) for _ in range(1 if smoke else 2)]
        fit, scan = (steps / min(column) for column in zip(*runs, strict=True))
        plain = few / by_python(network, x, y, few)
        print(f"  {name:16} {fit:9.0f} {scan:9.0f} {plain:9.1f}   {fit / scan:8.2f}  {fit / plain:10.0f}")


def recurrence(smoke):
    print("h_k = a_k h_(k-1) + b_k, 32 complex states: ms at once, one after the other, and their ratio")
    for length in (64,) if smoke else (256, 1024, 4096, 16384):
        rng = np.random.default_rng(0)
        decay = jnp.asarray(np.exp(-rng.uniform(size=(length, 32)) + 1j * rng.normal(size=(length, 32))), jnp.complex64)
        drive = jnp.asarray(rng.normal(size=(length, 32)), jnp.complex64)
        seconds = []
        for parallel in (True, False):
            run = jax.jit(lambda a, b, parallel=parallel: linear_recurrence(a, b, parallel=parallel))
            jax.block_until_ready(run(decay, drive))
            times = []
            for _ in range(2 if smoke else 20):
                began = time.perf_counter()
                jax.block_until_ready(run(decay, drive))
                times.append(time.perf_counter() - began)
            seconds.append(min(times))
        at_once, marched = seconds
        print(f"  length {length:6d}: {1e3 * at_once:8.3f} {1e3 * marched:8.3f}  {marched / at_once:6.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    smoke = parser.parse_args().smoke
    training(smoke)
    recurrence(smoke)
