"""Observed orders of convergence of the grid schemes, in Δx and in Δt, against exact solutions in 1, 2 and 3-D."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field

from hjsolve.study.config import RunConfig
from hjsolve.study.terminal import progress

FIGURES = ("orders", "orders_viscous")
BREAKING_TIME = 1 / np.pi**2
EPSILON = 0.1
ROUND_OFF = 1e-13
"""Of a mean error of u, which is of size 1: below it the rounding of up to thousands of steps hides the order."""

Inviscid = Literal["Upwind", "ENO2", "ENO3", "WENO3", "WENO5", "WENOZ"]
Viscous = Literal["viscous WENO5", "central 6", "Spectral"]
Scheme = Literal[Inviscid, Viscous, "Strang", "IMEX", "ETD-RK4"]
Counts = Annotated[tuple[Annotated[int, Field(ge=8, le=10_000)], ...], Field(min_length=1)]
PerDimension = Annotated[tuple[Counts, ...], Field(min_length=3, max_length=3)]


class Config(RunConfig):
    """Which schemes in which dimensions, on which grids; lists of lists hold one list for each of d = 1, 2, 3."""

    precision: Literal["float64"] = "float64"
    dimensions: tuple[Annotated[int, Field(ge=1, le=3)], ...] = Field(default=(1, 2, 3), min_length=1)
    schemes: tuple[Scheme, ...] = Field(default=get_args(Scheme), min_length=1)
    cells: PerDimension = ((20, 40, 80, 160, 320), (20, 40, 80, 160), (20, 40, 80))
    viscous_cells: PerDimension = ((20, 40, 80, 160, 320), (20, 40, 80, 160), (20, 40, 80))
    spectral_cells: PerDimension = ((16, 24, 32, 48, 64), (16, 24, 32, 48, 64), (16, 24, 32, 48))
    steps: Counts = Field(default=(30, 60, 120), description="time steps where Δt is refined")
    fine_cells: Counts = Field(default=(192, 128, 64), min_length=3, max_length=3, description="where Δt is refined")


@dataclass(frozen=True)
class Sweep:
    """One equation and a method for each of `counts`: so many cells an axis (refining Δx), or time steps (Δt)."""

    epsilon: float
    refined: Literal["Δx", "Δt"]
    theory: int | None
    problem: Any
    exact: Callable[[np.ndarray], np.ndarray]
    method: Callable[[int], Any]
    counts: Counts


def run(config, table):
    """Fill one row for each scheme, dimension and grid (or number of time steps)."""
    cases = [(d, scheme) for d in config.dimensions for scheme in config.schemes]
    waves = {d: _breaking_wave(d) for d in config.dimensions}
    with progress("orders", len(cases)) as reached:
        for number, (d, scheme) in enumerate(cases):
            if scheme in get_args(Inviscid):
                sweep = _before_kinks(scheme, *waves[d], config.cells[d - 1])
            elif scheme in get_args(Viscous):
                sweep = _in_space(scheme, d, config)
            else:
                sweep = _in_time(scheme, d, config)
            _refine(table, d, scheme, sweep)
            reached(number + 1)


def _refine(table, d, scheme, sweep):
    """Solve with every count; an order is that of the mean error between a row and the one before."""
    import hjsolve as hj

    coarser, orders = None, []
    for count in sweep.counts:
        with warnings.catch_warnings():
            # waves are under-resolved, and stiff viscosity taken in explicitly, on purpose
            warnings.simplefilter("ignore", hj.HJWarning)
            solution = hj.solve(sweep.problem, sweep.method(count), [sweep.problem.horizon])
        error = np.abs(np.asarray(solution.u[0]) - sweep.exact(np.asarray(solution.points)))
        mean, steps = float(error.mean()), int(solution.stats["steps"])
        size, order = 1 / (steps if sweep.refined == "Δt" else count), None
        if coarser is not None and mean > ROUND_OFF:
            order = np.log(coarser[1] / mean) / np.log(coarser[0] / size)
            orders.append(order)
        table.add(
            scheme=scheme,
            d=d,
            **{"ε": sweep.epsilon},
            refined=sweep.refined,
            cells=round(len(error) ** (1 / d)),
            steps=steps,
            **{"mean error": mean, "max error": error.max()},
            order=order,
            theory=sweep.theory,
            **{"run [s]": float(solution.stats["seconds"]), "compile [s]": float(solution.stats["compile_seconds"])},
        )
        coarser = size, mean
    theory = "exponential" if sweep.theory is None else sweep.theory
    observed = f"{orders[-1]:.2f}" if orders else "not measured"
    table.log(f"d = {d}, {scheme}: order {observed} in {sweep.refined} (theory {theory}), last error {mean:.1e}")


def _breaking_wave(d):
    """u_t + ½(Σ∂_i u + 1)² = 0 from −cos(πΣx_i/d) at half its breaking time: along z = Σx_i/d a 1-D problem.

    Returns the problem and its solution on nodes, by characteristics. Source: Osher & Shu 1991, doi:10.1137/0728049.
    """
    import jax
    import jax.numpy as jnp

    import hjsolve as hj

    def hamiltonian(t, x, p):
        return 0.5 * (jnp.sum(p, axis=0) + 1) ** 2

    def speeds(t, x, low, high):
        ends = jnp.abs(jnp.sum(low, axis=0) + 1), jnp.abs(jnp.sum(high, axis=0) + 1)
        return jnp.broadcast_to(jnp.maximum(*ends), low.shape)

    time, exact = BREAKING_TIME / 2, hj.exact.osher_shu_convex()
    data, torus = hj.initials.Cosine(-1.0, np.pi / d), hj.Torus([-float(d)] * d, [float(d)] * d)
    problem = hj.Problem(hj.hamiltonians.Custom(hamiltonian, bound=speeds), 0.0, data, torus, time)

    @functools.cache
    def along(cells):
        z = jnp.asarray(-d + 2 / cells * np.arange(cells))
        return np.asarray(jax.jit(jax.vmap(lambda z: exact(time, z[None])))(z))

    def on_nodes(points):
        cells = round(len(points) ** (1 / d))
        place = np.rint((points.mean(axis=1) + d) * cells / 2).astype(int)  # z takes `cells` values in a period
        return along(cells)[place % cells]

    return problem, on_nodes


def _before_kinks(scheme, problem, exact, cells):
    """One-sided derivatives with SSP-RK3, Δt ∝ Δx^max(1, order/3): the error in time is of the order in space."""
    import hjsolve as hj

    grid = hj.methods.grid
    derivative = getattr(grid.derivatives, scheme)()
    rule = grid.step_rules.PowerLaw(exponent=max(1.0, derivative.order / 3))

    def method(count):
        return grid.FiniteDifference(count, derivative=derivative, step_rule=rule)

    return Sweep(0.0, "Δx", derivative.order, problem, exact, method, cells)


def _waves(d, amplitude, time):
    """Waves of `u_t + |∇u|² = εΔu` along every axis and the diagonal of [−1, 1]^d, and their exact solution."""
    import jax
    import jax.numpy as jnp

    import hjsolve as hj

    vectors = np.pi * np.concatenate([np.eye(d), np.ones((1, d))])
    amplitudes, phases = [amplitude / d] * d + [amplitude], 0.2 + 0.5 * np.arange(d + 1)
    exact = hj.exact.Periodic(1.0, amplitudes, vectors, EPSILON, phases)
    values = jax.jit(jax.vmap(lambda x: exact(time, x)))
    return exact.problem(horizon=time), lambda points: np.asarray(values(jnp.asarray(points)))


def _in_space(scheme, d, config):
    """Steep waves by WENO5 and by Fourier modes; the heat equation by central differences of order 6.

    Diffusion keeps finite differences at Δt ∝ Δx², so that SSP-RK3 is of order 6 in Δx.
    """
    import hjsolve as hj

    grid, cells = hj.methods.grid, config.viscous_cells[d - 1]
    if scheme == "central 6":
        time = 0.2
        decay = np.exp(-EPSILON * d * np.pi**2 * time)
        still, torus = hj.hamiltonians.Linear(np.zeros(d)), hj.Torus([-1.0] * d, [1.0] * d)
        heat = hj.Problem(still, EPSILON, hj.initials.Cosine(1.0, np.pi), torus, time)

        def exact(points):
            return decay * np.cos(np.pi * points.sum(axis=1))

        return Sweep(EPSILON, "Δx", 6, heat, exact, grid.FiniteDifference, cells)
    time = 0.3
    waves = _waves(d, 0.4, time)
    if scheme == "viscous WENO5":
        return Sweep(EPSILON, "Δx", 5, *waves, grid.FiniteDifference, cells)
    return Sweep(EPSILON, "Δx", None, *waves, lambda n: grid.Spectral(n, dt=time / 200), config.spectral_cells[d - 1])


def _in_time(scheme, d, config):
    """Gentle waves on a grid so fine that its error is below that of time, in ever shorter steps."""
    import hjsolve as hj

    grid, time = hj.methods.grid, 1.0
    theory = {"Strang": 2, "IMEX": 3, "ETD-RK4": 4}[scheme]

    def method(steps):
        if scheme == "ETD-RK4":
            return grid.Spectral(config.spectral_cells[d - 1][-1], dt=time / steps)
        return grid.FiniteDifference(
            config.fine_cells[d - 1],
            derivative=grid.derivatives.WENOZ(),
            stepper=getattr(grid.steppers, scheme)(),
            step_rule=grid.step_rules.Fixed(time / steps),
        )

    return Sweep(EPSILON, "Δt", theory, *_waves(d, 0.2, time), method, config.steps)
