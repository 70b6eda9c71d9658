"""The deep-BSDE benchmarks in 100 dimensions: one value u(1, 0), by training and by sampling, against exact ones."""

import numpy as np
from pydantic import Field

from hjsolve.study.config import RunConfig
from hjsolve.study.terminal import progress

FIGURES = ("bsde",)


class Config(RunConfig):
    """One training for each equation; `steps` and `dimension` small make it a smoke test."""

    dimension: int = Field(default=100, ge=1, le=1000)
    steps: int = Field(default=800, ge=1, description="training steps")
    batch: int = Field(default=64, ge=1, description="paths a training step")
    time_steps: int = Field(default=40, ge=2, le=1000)
    samples: int = Field(default=16384, ge=64, description="of Feynman-Kac and Hopf-Cole: a power of two")


def run(config, table):
    """Fill one row for each equation and method that solves it."""
    cases = _cases(config.dimension)
    with progress("deep BSDE", len(cases)) as reached:
        for number, (name, exact, has_average) in enumerate(cases):
            expected = _exactly(exact)
            _train(config, table, name, exact.problem(), expected)
            if has_average:
                _average(config, table, name, exact.problem(), expected)
            reached(number + 1)


def _cases(d):
    """(name, exact solution, whether sampling solves it).

    The published code has σ = √2 and f = −λ|z|² with z = σᵀ∇u: written out, that is the equation with 2λ.
    """
    from hjsolve.problem import exact

    return [
        ("HJB, λ = 1", exact.DeepBSDE(d, 1.0), True),
        ("HJB, λ = 1 as coded: 2λ", exact.DeepBSDE(d, 2.0), True),
        ("HJB, λ = 10", exact.DeepBSDE(d, 10.0), True),
        ("HJB, λ = 10 as coded: 2λ", exact.DeepBSDE(d, 20.0), False),
        ("quadratic gradient, concave", exact.QuadraticGradient(d, 0.4), False),
        ("power 1.5 of the gradient", exact.PowerGradient(d, 1.5), False),
    ]


def _exactly(exact):
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        return float(exact(1.0, jnp.zeros(exact.dimension)))


def _train(config, table, name, problem, expected):
    import jax

    import hjsolve as hj

    start = np.zeros(config.dimension)
    method, history = hj.fit(
        problem,
        hj.methods.particle.DeepBSDE(start, steps=config.time_steps),
        hj.Recipe(steps=config.steps, batch=config.batch),
        key=jax.random.key(config.seed),
    )
    for step in range(0, len(history.losses), 10):
        table.metric(case=name, step=step, loss=float(history.losses[step]))
    _row(table, name, "DeepBSDE", hj.solve(problem, method, [1.0], points=start[None]), expected, history.seconds)


def _average(config, table, name, problem, expected):
    import hjsolve as hj

    particle = hj.methods.particle
    for method in (particle.FeynmanKac(config.samples), particle.HopfCole(rule=particle.rules.Sampled(config.samples))):
        solution = hj.solve(problem, method, [1.0], points=np.zeros((1, config.dimension)))
        _row(table, name, type(method).__name__, solution, expected, 0.0)


def _row(table, name, method, solution, expected, training):
    u = float(solution.u[0, 0])
    table.add(
        equation=name,
        method=method,
        **{
            "u(1, 0)": u,
            "exact": expected,
            "relative error": abs(u - expected) / abs(expected),
            "standard error": float(solution.stats["standard_error"][0, 0]),
            "training [s]": training,
            "solving [s]": float(solution.stats["seconds"]),
        },
    )
    table.log(f"{name}, {method}: {u:.6f}, exact {expected:.6f}, relative error {abs(u / expected - 1):.1e}")
