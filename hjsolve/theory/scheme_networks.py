"""Monotone finite-difference schemes as residual networks: a step of the scheme is a block of convolutions."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import concrete, counts, require
from ..kernels.compensated import Compensated
from ..methods.grid import FiniteDifference
from ..methods.grid.derivatives import Upwind
from ..methods.grid.fluxes import AbstractFlux, EngquistOsher, GlobalLaxFriedrichs
from ..methods.grid.step_rules import CFL, Fixed
from ..methods.grid.steppers import ForwardEuler
from ..methods.network import ResidualStepper
from ..methods.network.readouts import AbstractReadout, Known, Rectified
from ..methods.network.residual import Block
from ..problem import Problem
from ..problem.hamiltonians import Norm, Quadratic
from ..problem.probe import depends_on
from ..problem.viscosities import Constant
from ..typing import Array, Scalar

_SHARE = 0.9
"""Of the longest stable step, when the number of layers is chosen."""


def residual_network(
    problem: Problem, t: Scalar, cells: int | tuple[int, ...], layers: int | None, flux: AbstractFlux
) -> ResidualStepper:
    """`layers` steps of Upwind, `flux` and ForwardEuler, as blocks with 3 taps an axis.

    Lax-Friedrichs: filters are central differences, the readout is H, and L = Σ_i (ε + α_iΔx_i/2) δ_i². Where the
    speeds α_i depend on slopes, every layer has those of its step from the problem's data; else one block serves all.
    Engquist-Osher for |p|_1 and c|p|²: two rectified filters an axis, to the power 1 or 2, and L = ε Σ_i δ_i².
    """
    d = problem.dimension
    _check(problem, flux)
    scheme = FiniteDifference(cells, derivative=Upwind(), flux=flux, stepper=ForwardEuler(), step_rule=CFL(1.0))
    scheme.check(problem)
    fewest = _fewest_layers(problem, scheme, t, flux)
    steps = math.ceil(fewest / _SHARE) if layers is None else layers
    require(
        steps >= fewest,
        f"`layers` must be >= {fewest} for a stable scheme on {cells} cells; got {steps}. None chooses.",
    )
    marching = FiniteDifference(
        cells, derivative=Upwind(), flux=flux, stepper=ForwardEuler(), step_rule=Fixed(t / steps)
    )
    spacing = scheme.mesh(problem).spacing
    h = jnp.min(spacing)
    scaled = h / spacing
    assert isinstance(problem.viscosity, Constant)
    viscous = jnp.broadcast_to(jnp.asarray(problem.viscosity.epsilon), (d,))
    if isinstance(flux, EngquistOsher):
        one_sided = jnp.stack([row for k in range(d) for row in _rectified_filters(d, k, scaled[k])])
        blocks = Block(_laplacian(viscous * scaled**2)[None], one_sided[None], _stacked(_rectified(problem)))
    else:
        speeds = _speeds(problem, marching, t, steps)
        linear = jnp.stack([_laplacian((viscous + alpha * spacing / 2) * scaled**2) for alpha in speeds])
        central = jnp.stack([_along(d, k, scaled[k] * np.array([-0.5, 0.0, 0.5])) for k in range(d)])
        filters = jnp.broadcast_to(central, (len(speeds), *central.shape))
        readout = jax.tree.map(
            lambda a: jnp.broadcast_to(a, (len(speeds), *np.shape(a))) if isinstance(a, jax.Array | np.ndarray) else a,
            Known(problem.hamiltonian),
        )
        blocks = Block(linear, filters, readout)
    return ResidualStepper(blocks, problem.domain, counts("cells", cells), layers=steps, time=t)


def _check(problem: Problem, flux: AbstractFlux) -> None:
    require(
        all(problem.domain.periodic),
        "`domain` must be a torus for family='residual': filters wrap around. Use hj.Torus.",
    )
    require(
        isinstance(problem.viscosity, Constant),
        "`viscosity` must be a number for family='residual', whose filters are the same everywhere.",
    )
    require(
        problem.ceiling is None and problem.floor is None, "family='residual' knows no obstacles. Use FiniteDifference."
    )
    require(
        isinstance(flux, GlobalLaxFriedrichs | EngquistOsher),
        "`flux` must be hj.methods.grid.fluxes.GlobalLaxFriedrichs() or EngquistOsher() for family='residual'; got "
        f"{flux!r}.",
    )
    if isinstance(flux, EngquistOsher):
        require(
            _rectifiable(problem),
            "`flux` EngquistOsher is a block of rectified filters for Quadratic and for Norm of order 1 (|p| in 1-D); "
            f"got {type(problem.hamiltonian).__name__}. Use GlobalLaxFriedrichs().",
        )
        return
    hamiltonian, zero, one = problem.hamiltonian, jnp.zeros(()), jnp.ones((problem.dimension, 1))
    require(
        not (
            depends_on(hamiltonian, 1, zero, one, one) and depends_on(hamiltonian.speed_bound, 1, zero, one, one, one)
        ),
        "`hamiltonian` must have the same speeds everywhere for family='residual': its filters do. Use "
        "FiniteDifference.",
    )


def _rectifiable(problem: Problem) -> bool:
    hamiltonian = problem.hamiltonian
    return isinstance(hamiltonian, Quadratic) or (isinstance(hamiltonian, Norm) and hamiltonian.order == 1)


def _rectified(problem: Problem) -> Rectified:
    """a_c of the channels (p_i⁻, −p_i⁺) for each axis i."""
    hamiltonian, d = problem.hamiltonian, problem.dimension
    if isinstance(hamiltonian, Quadratic):
        return Rectified(jnp.broadcast_to(jnp.asarray(hamiltonian.c), (2 * d,)), 2)
    assert isinstance(hamiltonian, Norm)
    return Rectified(jnp.repeat(jnp.broadcast_to(hamiltonian.c * jnp.asarray(hamiltonian.weights), (d,)), 2))


def _fewest_layers(problem: Problem, scheme: FiniteDifference, t: Scalar, flux: AbstractFlux) -> int:
    state = scheme.init(problem)
    limit = concrete(scheme.stable_dt(problem, jnp.zeros_like(t), state))
    require(limit is not None, "family='residual' needs concrete numbers in the problem: its depth depends on them.")
    assert limit is not None
    # at a peak Engquist and Osher add both one-sided parts, where Lax-Friedrichs has one speed
    share = 0.5 if isinstance(flux, EngquistOsher) else 1.0
    return max(1, math.ceil(float(t) / (share * float(limit)) * (1 - 1e-6)))


def _speeds(problem: Problem, scheme: FiniteDifference, t: Scalar, steps: int) -> Array:
    """α `[steps, d]` of every step from the problem's data; `[1, d]` where they do not depend on slopes."""
    mesh, x = scheme.mesh(problem), jnp.asarray(problem.domain.lower)
    dt = t / steps

    def speed(time: Scalar, low: Array, high: Array) -> Array:
        return problem.hamiltonian.speed_bound(time, x, low, high)

    state, zero = scheme.init(problem), jnp.zeros_like(t)
    if not depends_on(speed, 1, zero, x, x) and not depends_on(speed, 0, zero, x, x):
        return speed(zero, x, x)[None]

    def advance(state: Compensated, index: Array) -> tuple[Compensated, Array]:
        alpha = speed(index * dt, *mesh.slopes(state.value))
        return scheme.step(problem, index * dt, dt, state)[0], alpha

    return jax.jit(lambda: jax.lax.scan(advance, state, jnp.arange(steps)))()[1]


def _along(d: int, axis: int, taps: Array) -> Array:
    """A filter `[3, ..., 3]` with these three taps on the line through the middle along `axis`."""
    index: list[int | slice] = [1] * d
    index[axis] = slice(None)
    return jnp.zeros((3,) * d).at[tuple(index)].set(taps)


def _rectified_filters(d: int, axis: int, scaled: Scalar) -> tuple[Array, Array]:
    """p⁻ and −p⁺ of an axis."""
    backward = _along(d, axis, scaled * np.array([-1.0, 1.0, 0.0]))
    return backward, _along(d, axis, scaled * np.array([0.0, 1.0, -1.0]))


def _laplacian(coefficients: Array) -> Array:
    """Σ_i coefficient_i δ_i²."""
    d = len(coefficients)
    rows = [_along(d, k, coefficients[k] * np.array([1.0, -2.0, 1.0])) for k in range(d)]
    return sum(rows[1:], start=rows[0])


def _stacked(readout: Rectified) -> AbstractReadout:
    return jax.tree.map(lambda a: jnp.asarray(a)[None], readout)
