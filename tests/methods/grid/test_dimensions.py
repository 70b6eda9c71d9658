"""Many axes, each with cells, an extent and faces of its own: sums of 1-D solutions of the same scheme."""

import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

grid = hj.methods.grid
CELLS = (8, 7, 9, 6, 6, 7)
STEPS, TIME = 4, 0.1
FACES = (
    hj.boundaries.Neumann(),
    hj.boundaries.Extrapolation(1),
    hj.boundaries.Neumann(),
    hj.boundaries.Extrapolation(2),
    hj.boundaries.Neumann(),
    hj.boundaries.Extrapolation(1),
)
FIRST = {"derivative": grid.derivatives.Upwind(), "stepper": grid.steppers.ForwardEuler()}


def data(x):
    """Σ_i a bump that is different on every axis."""
    rank = jnp.arange(1, x.shape[0] + 1)
    return jnp.sum(jnp.cos(np.pi * x / (1 + rank / 4)) / rank)


def one(axis: int):
    return lambda x: jnp.cos(np.pi * x[0] / (1 + (axis + 1) / 4)) / (axis + 1)


def box(axes: range) -> hj.Box:
    sides = [1 + (axis + 1) / 4 for axis in axes]
    periodic = [axis == 2 for axis in axes]
    return hj.Box([-s for s in sides], sides, periodic=periodic, boundary=[(FACES[axis],) * 2 for axis in axes])


def solved(axes: range, initial, cells, **parts) -> np.ndarray:
    problem = hj.Problem(hj.hamiltonians.Quadratic(0.5), 0.02, hj.initials.Custom(initial), box(axes), TIME)
    method = grid.FiniteDifference(cells, step_rule=grid.step_rules.Fixed(TIME / STEPS), **parts)
    solution = hj.solve(problem, method, [TIME])
    assert solution.stats["steps"] == STEPS
    return np.asarray(solution.u[0])


@pytest.mark.parametrize(
    ("d", "parts"), [(4, {}), pytest.param(6, FIRST, marks=pytest.mark.slow)], ids=["WENO5 in 4", "first order in 6"]
)
def test_a_sum_over_the_axes_stays_one(d: int, parts: dict[str, object]) -> None:
    """H = ½Σp_i² and Δ act on each axis alone, and so does every part of the scheme."""
    u = solved(range(d), data, CELLS[:d], **parts)
    total = np.zeros(())
    for axis in range(d):
        along = solved(range(axis, axis + 1), one(axis), CELLS[axis], **parts)
        assert np.ptp(along) > 0.1 / (axis + 1)
        total = total[..., None] + along
    np.testing.assert_allclose(u, total.ravel(), rtol=0, atol=1e-13)
