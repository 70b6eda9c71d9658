"""The exact weights of each family of networks for an equation that the Hopf-Cole transform linearises."""

import equinox as eqx
import jax.numpy as jnp

from ..checks import check_range, concrete, counts, require
from ..methods.network import LSE, SSM
from ..methods.network.fourier_grid import FourierGrid
from ..methods.particle import HopfCole, rules
from ..problem import Problem
from ..problem.hopf_cole import Parts, parameters, parts, require_hopf_cole
from ..problem.initials import Atoms
from ..typing import Array, Scalar


def lse_network(problem: Problem, t: Scalar) -> LSE:
    """W_j = y_j/2t and b_j = −cg_j − |y_j|²/4t + ε log ω_j of atoms or quadrature nodes y_j."""
    require_hopf_cole(problem, "An LSE network", "No layer solves this equation exactly.")
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 the layer is max-plus and has no temperature.")
    rule = rules.Trapezoid()
    HopfCole(rule=rule).check(problem)
    cloud = rules.given(problem.initial) if isinstance(problem.initial, Atoms) else rule.prepare(problem)
    bias = -c * cloud.g - jnp.sum(cloud.y**2, axis=1) / (4 * t) + epsilon * cloud.log_weights
    if not isinstance(problem.initial, Atoms):
        bias = bias - problem.dimension * epsilon / 2 * jnp.log(4 * jnp.pi * epsilon * t)
    return LSE(cloud.y / (2 * t), bias, epsilon, time=t)


def ssm_network(problem: Problem, t: Scalar, cells: int | tuple[int, ...], layers: int) -> SSM:
    """A_k = −ε|κ_k|² − i b·κ_k, temperature ε/c, gate cV/ε."""
    d = problem.dimension
    require_hopf_cole(problem, "An SSM", "No diagonal model solves this equation exactly.", drift=True, potential=True)
    found = parts(problem.hamiltonian)
    assert found is not None
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 there is no w = exp(−cu/ε).")
    given = counts("cells", cells)
    shape = (given,) * d if isinstance(given, int) else given
    require(len(shape) == d, f"`cells` must be one number or one per axis ({d}); got {cells!r}.")
    grid = FourierGrid(problem.domain, shape)
    squared = grid.laplacian
    decay = epsilon * jnp.where(squared > 0, squared, 1.0)
    frequency = None
    if found.drifts:
        drift = _constant(found, grid, t)
        frequency = -sum(b * k for b, k in zip(drift, grid.wavenumbers, strict=True)) + 0 * squared
    gate = c / epsilon * eqx.filter_vmap(found.potential)(grid.points).reshape(shape) if found.potentials else None
    network = SSM(shape, decay, epsilon / c, frequency=frequency, gate=gate, time=t, layers=layers)
    network.check(problem)
    return network


def _constant(found: Parts, grid: FourierGrid, t: Scalar) -> Array:
    """The drift b `[d]`, which must be the same at every node, at 0 and at t."""
    x = grid.points.T
    values = jnp.stack([found.drift(time, x) for time in (jnp.zeros_like(t), t)])
    b = values[0, :, 0]
    known = concrete(values - b[:, None])
    require(
        None if known is None else not known.any(),
        "The drift of `hamiltonian` must be constant for family='ssm', whose frequencies are. Use FiniteDifference.",
    )
    return b
