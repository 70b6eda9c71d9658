"""A log-sum-exp layer is a Hopf-Cole solution: the identity, the equation, the semigroup and the tropical limit."""

from typing import Annotated

import numpy as np
from pydantic import Field

from hjsolve.study.config import RunConfig
from hjsolve.study.terminal import progress

from . import reference

FIGURES = ("identity",)
TIME = 0.7


class Config(RunConfig):
    """Random layers W, b ~ N(0, 1) in every dimension and at every viscosity."""

    dimensions: tuple[Annotated[int, Field(ge=1, le=8)], ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    viscosities: tuple[Annotated[float, Field(ge=0.01, le=10)], ...] = (0.01, 0.1, 1.0, 10.0)
    layers: int = Field(default=20, ge=1, le=1000)
    units: int = Field(default=32, ge=2, le=1000)
    points: int = Field(default=50, ge=1, le=10_000)
    tropical: tuple[Annotated[float, Field(gt=0, le=10)], ...] = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


def run(config, table):
    """Fill one row for each dimension and viscosity, and the tropical errors by dimension."""
    rng = np.random.default_rng(config.seed)
    compiled, tropical = _compiled_checks(), []
    cases = [(d, epsilon) for d in config.dimensions for epsilon in config.viscosities]
    with progress("identity", len(cases)) as reached:
        for number, (d, epsilon) in enumerate(cases):
            weights = rng.standard_normal((config.layers, config.units, d))
            bias = rng.standard_normal((config.layers, config.units))
            points = 2 * rng.standard_normal((config.points, d))
            table.add(d=d, **{"ε": epsilon}, **_errors(compiled, weights, bias, epsilon, points))
            if epsilon == config.viscosities[-1]:
                tropical.append(_tropical(weights, bias, config.tropical, rng))
            reached(number + 1)
    table.field("tropical_error", np.array(tropical), dims=("d", "epsilon"))
    epsilons, errors = np.array(config.tropical), np.array(tropical)
    for label, part in (("all ε", epsilons > 0), ("ε <= 0.01", epsilons <= 0.01)):
        if part.sum() < 2:
            continue
        slopes = [np.polyfit(np.log(epsilons[part]), np.log(row[part]), 1)[0] for row in errors]
        table.field(f"tropical_slope_{'all' if part.all() else 'small'}", slopes, dims=("d",))
        table.log(f"tropical limit, {label}: max |f_ε − f_0| has slope {min(slopes):.3f} to {max(slopes):.3f} in ε")
    worst = float((errors / (epsilons * np.log(config.units))).max())
    table.log(f"tropical limit: max |f_ε − f_0| / (ε log N) = {worst:.3f} at most (bound 1)")
    identity = max(table.column("identity"))
    table.log(f"identity: {identity:.1e} at most, over {config.layers} layers for each of {len(cases)} cases")


def _compiled_checks():
    """For every layer of a batch: f, u, both PDE residuals at the points, and the atoms read off the weights."""
    import equinox as eqx
    import jax

    import hjsolve as hj

    def checks(W, b, epsilon, points):
        layer = hj.methods.network.LSE(W, b, epsilon, time=TIME)
        problem = hj.theory.as_problem(layer)
        solution = hj.solve(problem, hj.methods.particle.HopfCole(), [TIME], points=points)

        def residuals(x):
            return solution.equation.residual(solution, TIME, x), problem.residual(solution, TIME, x)

        atoms = problem.initial
        return jax.vmap(layer)(points), solution.u[0], *jax.vmap(residuals)(points), atoms.y, atoms.g

    return eqx.filter_jit(eqx.filter_vmap(checks, in_axes=(0, 0, None, None)))


def _errors(compiled, weights, bias, epsilon, points):
    """Each check's largest error over the layers and points."""
    results = compiled(weights, bias, np.float64(epsilon), points)
    f, u, residual, bare, y, g = (np.asarray(a) for a in results)
    starts = [share * TIME for share in (0.25, 0.5, 0.75)]
    independent = np.array(
        [[reference.propagated(y[k], g[k], epsilon, TIME, s, points) for k in range(len(y))] for s in starts]
    )
    paraboloid = (points**2).sum(1) / (4 * TIME)
    return {
        "identity": np.abs(f + independent[1] - paraboloid).max(),
        "semigroup": np.abs(u - independent).max(),
        "residual": np.abs(residual).max(),
        "bare residual": np.abs(bare).max(),
        "dε/2t": points.shape[1] * epsilon / (2 * TIME),
    }


def _tropical(weights, bias, epsilons, rng):
    """max |f_ε − f_0| over every layer's cell boundaries, found by bisection between points of different top units."""
    import equinox as eqx
    import jax

    import hjsolve as hj

    @eqx.filter_jit
    def layer(W, b, epsilon, x):
        return jax.vmap(hj.methods.network.LSE(W, b, epsilon))(x)

    worst = np.zeros(len(epsilons))
    for W, b in zip(weights, bias, strict=True):
        ties = _cell_boundaries(W, b, 3 * rng.standard_normal((2, 200, W.shape[1])))
        exact = (ties @ W.T + b).max(1)
        for k, epsilon in enumerate(epsilons):
            f = np.asarray(layer(W, b, np.float64(epsilon), ties))
            worst[k] = max(worst[k], np.abs(f - exact).max())
    return worst


def _cell_boundaries(W, b, ends):
    """Points where two affine pieces tie for the maximum; without them the error decays like e^{−Δ/ε}."""
    left, right = ends
    top = (left @ W.T + b).argmax(1)
    for _ in range(60):
        middle = (left + right) / 2
        same = ((middle @ W.T + b).argmax(1) == top)[:, None]
        left, right = np.where(same, middle, left), np.where(same, right, middle)
    return left  # a pair in one cell ends at its right point: harmless, one more ordinary test point
