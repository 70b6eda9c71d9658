"""Obstacles: solutions kept below a ceiling and above a floor, against games that are solved by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

H = hj.hamiltonians
grid = hj.methods.grid
STILL = lambda t, x: (0.0,)
AVOID = H.ControlAffine(STILL, [[1.0]], H.inputs.Box(-1.0, 1.0), maximise=True)


def solved(problem, ts, cells=100, **options):
    return hj.solve(problem, grid.FiniteDifference(cells, **options), ts)


def test_stopping_for_a_constant_cost() -> None:
    """u_t − |u_x| = 0, g = x: one player runs to the right, x + t, the other stops for 0.3."""
    problem = hj.Problem(
        AVOID, 0.0, hj.initials.Custom(lambda x: x[0]), hj.Box([-1.0], [1.0]), 0.5, ceiling=lambda t, x: 0.3 + 0 * x[0]
    )
    solution = solved(problem, [0.0, 0.25, 0.5])
    x = np.asarray(solution.points[:, 0])
    for k, t in enumerate((0.0, 0.25, 0.5)):
        error = np.abs(solution.u[k] - np.minimum(x + t, 0.3))
        assert error.max() < 0.02  # h, at the kink
        assert error.mean() < 3e-4
        assert solution.u[k].max() <= 0.3


def test_obstacles_may_move() -> None:
    """Nothing moves but the ceiling 1 − 2t and the floor −1 + t: u is what they have pushed g to."""
    problem = hj.Problem(
        H.Linear([0.0]), 0.0, hj.initials.Custom(lambda x: 2 * x[0]), hj.Box([-1.0], [1.0]), 0.4,
        ceiling=lambda t, x: 1 - 2 * t + 0 * x[0], floor=lambda t, x: -1 + t + 0 * x[0],
    )  # fmt: skip
    method = grid.FiniteDifference(50, step_rule=grid.step_rules.Fixed(0.01))
    solution = hj.solve(problem, method, [0.2, 0.4])
    x = np.asarray(solution.points[:, 0])
    for u, t in zip(solution.u, (0.2, 0.4), strict=True):
        np.testing.assert_allclose(u, np.clip(2 * x, -1 + t, 1 - 2 * t), rtol=0, atol=1e-14)


@pytest.mark.slow
def test_reach_avoid_round_a_hill() -> None:
    """u_t + |u_x| = 0, g = |x| − 0.2, a hill 1 − 10 dist(x, [.5, .6]) in the way: who starts beyond it cannot pass.

    From x >= .6545 the path goes left to y at the price max(y − .2, hill(y)), lowest at y = .6545: .4545.
    """
    hill = lambda t, x: 1 - 10 * jnp.maximum(jnp.abs(x[0] - 0.55) - 0.05, 0.0)
    problem = hj.Problem(
        H.Eikonal(), 0.0, hj.initials.Custom(lambda x: jnp.abs(x[0]) - 0.2), hj.Box([-1.0], [1.5]), 0.8, floor=hill
    )
    solution = solved(problem, [0.8], 500)
    x = np.asarray(solution.points[:, 0])
    beyond = (x > 0.67) & (x < 1.4)
    best = 7.2 / 11 - 0.2
    error = np.abs(solution.u[0] - np.maximum(x - 1.0, best))[beyond]
    assert error.max() < 0.01  # 2h, where the hill's foot is sampled
    expected = np.maximum(np.maximum(np.abs(x) - 1.0, -0.2), 1 - 10 * np.maximum(np.abs(x - 0.55) - 0.05, 0))
    before = (x > -0.4) & (x < 0.44)
    np.testing.assert_allclose(solution.u[0][before], expected[before], rtol=0, atol=2e-3)


@pytest.mark.slow
def test_a_ceiling_of_the_data_is_the_frozen_hamiltonian() -> None:
    """Two ways to a reachable tube, which agree to the error of the grid: max(H, 0), and stopping for g."""
    g = hj.initials.Custom(lambda x: jnp.sqrt(x[0] ** 2 + x[1] ** 2) - 0.4)
    box = hj.Box([-1.5, -1.5], [1.5, 1.5], boundary=hj.boundaries.AwayFromZero())
    gaps = []
    for cells in (40, 80):
        frozen = hj.Problem(H.Freezing(H.DoubleIntegrator()), 0.0, g, box, 0.5)
        stopped = hj.Problem(H.DoubleIntegrator(), 0.0, g, box, 0.5, ceiling=g)
        plain = hj.Problem(H.DoubleIntegrator(), 0.0, g, box, 0.5)
        one, other, free = (solved(problem, [0.5], cells).u[0] for problem in (frozen, stopped, plain))
        gaps.append(np.abs(one - other).mean())
        assert np.all(one <= stopped.confined(0.0, solved(plain, [0.0], cells).points.T, one) + 1e-12)
    assert gaps[1] < 0.6 * gaps[0]
    assert gaps[1] < 2e-3
    assert np.abs(free - other).max() > 0.1  # the tube is more than the set reached at t = 0.5


@pytest.mark.slow
def test_gradients_pass_where_the_solution_is_free() -> None:
    def mean(height):
        problem = hj.Problem(
            AVOID, 0.0, hj.initials.Custom(lambda x: x[0]), hj.Box([-1.0], [1.0]), 0.25,
            ceiling=lambda t, x: height + 0 * x[0],
        )  # fmt: skip
        return jnp.mean(solved(problem, [0.25], 20).u)

    step = 1e-4
    difference = (mean(0.31 + step) - mean(0.31 - step)) / (2 * step)
    np.testing.assert_allclose(jax.grad(mean)(0.31), difference, rtol=1e-5)
    assert 0.2 < difference < 0.6  # the share of the box above the ceiling


def test_bad_obstacles_are_refused() -> None:
    build = lambda **obstacles: hj.Problem(
        H.Eikonal(), 0.0, hj.initials.Norm(), hj.Box([-1.0], [1.0]), 1.0, **obstacles
    )
    with pytest.raises(TypeError, match=r"`ceiling` must be a function of \(t, x\).*0\.3"):
        build(ceiling=0.3)
    with pytest.raises(ValueError, match=r"`floor` must map t and x \[1, 3, 5\] to \(3, 5\); got \(1, 3, 5\)"):
        build(floor=lambda t, x: x)
    with pytest.raises(ValueError, match=r"`ceiling` and `floor` must be None for HopfLax"):
        hj.solve(build(floor=hj.initials.Norm()), hj.methods.particle.HopfLax(), [0.5], points=[[0.0]])
