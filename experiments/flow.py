"""Residual and recurrent networks trained on handwritten digits are transport equations: train, read, solve."""

from typing import Literal, get_args

import numpy as np
from pydantic import Field

from hjsolve.study.config import RunConfig
from hjsolve.study.terminal import progress

from . import digits

FIGURES = ("flow", "flow_orders")
Cell = Literal["residual", "recurrent", "lstm"]
TIME = 1.0
MARGIN = 1.0
EXACT = 1024
"""Steps a layer of what stands for the equation's own characteristics."""
BLOCK = 256
SAMPLES = 64
"""Particles from a point; without viscosity they stay together."""


class Config(RunConfig):
    """One flow in the plane of the first two PCA coordinates for each kind of cell, with ten affine readouts."""

    kinds: tuple[Cell, ...] = Field(default=get_args(Cell), min_length=1)
    layers: int = Field(default=8, ge=2, le=100)
    hidden: int = Field(default=24, ge=1, le=1000)
    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    splits: tuple[int, ...] = Field(default=(1, 2, 4, 8, 16), min_length=2, description="steps within a layer")
    cells: tuple[int, ...] = Field(default=(30, 60, 120), min_length=2, description="grid cells per axis")
    path_steps: tuple[int, ...] = Field(default=(64, 256), min_length=1, description="of particles, over all layers")
    points: int = Field(default=13, ge=2, le=100, description="comparison points per axis")
    shown_class: int = Field(default=3, ge=0, le=9, description="the digit whose equation is solved and drawn")


def run(config, table):
    """Train a flow of each kind; solve the equation of one of its outputs by the network, a grid and particles."""
    with progress("flow", len(config.kinds)) as reached:
        for done, kind in enumerate(config.kinds):
            network, data = _train(config, table, kind)
            _compare(config, table, kind, network.output(config.shown_class), data)
            reached(done + 1)


def _train(config, table, kind):
    import jax
    import optax

    import hjsolve as hj

    data = digits.load(2, config.seed)
    start_key, fit_key = jax.random.split(jax.random.key(config.seed))
    start = hj.methods.network.ResidualFlow.random(
        2, layers=config.layers, cell=kind, hidden=config.hidden, outputs=10, time=TIME, key=start_key
    )
    recipe = hj.Recipe(
        loss=hj.losses.CrossEntropy(),
        optimiser=optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.steps)),
        steps=config.steps,
        batch=config.batch,
    )
    network, history = hj.fit(hj.Data(data.train, data.train_labels), start, recipe, key=fit_key)
    wrong = float(np.mean(np.argmax(jax.vmap(network)(data.test), axis=1) != data.test_labels))
    table.metric(network=kind, test_error=wrong, final_loss=float(history.losses[-20:].mean()))
    table.log(f"{kind}: test error {wrong:.1%} in the plane, {history.seconds:.1f} s of training")
    return network, data


def _compare(config, table, kind, network, data):
    """Errors against the equation's own characteristics, relative to the range of u.

    The grid's are those of layers of u thinner than its cells: shorter steps do not change them.
    """
    import jax
    import jax.numpy as jnp

    import hjsolve as hj

    low, high = data.train.min(axis=0), data.train.max(axis=0)
    axes = [np.linspace(a, b, config.points) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    states = np.asarray(jax.vmap(network.refined(4).states)(jnp.asarray(points)))
    box = hj.Box(states.min(axis=(0, 1)) - MARGIN, states.max(axis=(0, 1)) + MARGIN)
    problem = hj.theory.as_problem(network, domain=box)

    def solved(method):
        return np.asarray(hj.solve(problem, method, [TIME], points=points).u[0])

    exact = np.asarray(jax.lax.map(network.refined(EXACT), jnp.asarray(points), batch_size=BLOCK))
    span = np.ptp(exact)

    def record(method, size, u):
        wrong = np.abs(u - exact) / span
        table.add(cell=kind, method=method, size=size, **{"mean error": wrong.mean(), "largest error": wrong.max()})

    for count in config.splits:
        record("network, steps a layer", count, solved(network.refined(count)))
    for count in config.cells:
        record("WENO5, cells an axis", count, solved(hj.methods.grid.FiniteDifference(count)))
    for count in config.path_steps:
        record("particles, steps", count, solved(hj.methods.particle.FeynmanKac(SAMPLES, steps=count, batches=2)))
    _fields(config, table, kind, network, points, low, high)


def _fields(config, table, kind, network, points, low, high):
    """What is drawn: u at the end of the network and at its start, and paths of some points."""
    import jax
    import jax.numpy as jnp

    axes = [np.linspace(a, b, 81) for a, b in zip(low, high, strict=True)]
    lattice = jnp.asarray(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2))
    u = np.asarray(jax.vmap(network)(lattice)).reshape(81, 81)
    chosen = jnp.asarray(points[:: max(1, len(points) // 40)])
    paths = np.asarray(jax.vmap(network.refined(8).states)(chosen))
    table.field(f"u_{kind}", u, dims=("x1", "x2"), low=list(map(float, low)), high=list(map(float, high)))
    table.field(f"paths_{kind}", paths, dims=("path", "step", "axis"))
