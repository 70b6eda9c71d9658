"""The linear-quadratic regulator against algebraic and differential Riccati equations solved by SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_continuous_are

import hjsolve as hj
from hjsolve.problem.hamiltonians.controlled import Controlled

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(3, 3)) / 2, RNG.normal(size=(3, 2))
HALF_Q, HALF_R, HALF_S = RNG.normal(size=(3, 3)), RNG.normal(size=(2, 2)), RNG.normal(size=(3, 3))
Q, R, S0 = HALF_Q @ HALF_Q.T, HALF_R @ HALF_R.T + 0.5 * np.eye(2), HALF_S @ HALF_S.T
X, P = RNG.normal(size=(2, 3, 7))  # float64, whatever JAX's precision is on import
REGULATOR = hj.hamiltonians.LQ(A, B, Q, R)


def test_the_hamiltonian_is_minus_the_least_over_controls() -> None:
    optimal = REGULATOR.control(0.0, X, P)

    def rate(a):
        moving = REGULATOR.dynamics(0.0, X, a, REGULATOR.disturbance(0.0, X, P))
        return np.asarray(jnp.sum(P * moving, axis=0) + REGULATOR.cost(0.0, X, a))

    np.testing.assert_allclose(REGULATOR(0.0, X, P), -rate(optimal), rtol=1e-12)
    for _ in range(20):
        assert np.all(rate(optimal + RNG.normal(size=optimal.shape)) > rate(optimal))
    assert isinstance(REGULATOR, Controlled)


def test_velocity_and_speed_bound_are_exact() -> None:
    gradient = jax.grad(lambda p: jnp.sum(REGULATOR(0.0, X, p)))(P)
    np.testing.assert_allclose(REGULATOR.velocity(0.0, X, P), gradient, rtol=1e-12, atol=1e-12)
    low, high = P, P + 0.7
    corners = np.stack(np.meshgrid(*[[0.0, 0.7]] * 3)).reshape(3, -1)
    speeds = [np.abs(REGULATOR.velocity(0.0, X, low + corner[:, None])) for corner in corners.T]
    np.testing.assert_allclose(REGULATOR.speed_bound(0.0, X, low, high), np.max(speeds, axis=0), rtol=1e-12)


def test_the_lagrangian_is_dual_and_infinite_off_the_range_of_b() -> None:
    v = REGULATOR.velocity(0.0, X, P)
    dual = jnp.sum(P * v, axis=0) - REGULATOR(0.0, X, P)
    np.testing.assert_allclose(REGULATOR.lagrangian(0.0, X, v), dual, rtol=1e-10)
    off = np.linalg.svd(B.T)[2][-1]
    assert np.all(np.isinf(REGULATOR.lagrangian(0.0, X, v + 1e-6 * off[:, None])))


@pytest.mark.slow
@pytest.mark.parametrize("stiff", [1.0, 1e6])
def test_the_exact_solution_against_adaptive_integration(stiff: float) -> None:
    epsilon, x = 0.3, np.array([1.0, -0.5, 0.7])
    M = B @ np.linalg.solve(R, B.T)

    def rate(_, z):
        S = z[:-1].reshape(3, 3)
        return np.append((S @ A + A.T @ S - S @ M @ S + Q).ravel(), epsilon * np.trace(S))

    method = {"method": "DOP853" if stiff == 1.0 else "Radau", "rtol": 1e-12, "atol": 1e-13}
    z = solve_ivp(rate, (0, 1), np.append(stiff * S0.ravel(), 0.0), **method).y[:, -1]
    exact = hj.exact.LinearQuadratic.of(REGULATOR, stiff * S0, epsilon)
    # the reference's own tolerance, times its few hundred steps
    np.testing.assert_allclose(exact(1.0, jnp.asarray(x)), x @ z[:-1].reshape(3, 3) @ x / 2 + z[-1], rtol=1e-9)


def test_the_long_time_limit_is_the_algebraic_equation() -> None:
    """(|F| + √(2|Q||P|))t <= 32 leaves time enough where A − BK decays at rates of order one."""
    A, B, Q, R = np.array([[0.0, 1.0], [0.3, -0.2]]), np.array([[0.0], [1.0]]), np.diag([1.0, 0.8]), np.array([[0.5]])
    exact = hj.exact.LinearQuadratic.of(hj.hamiltonians.LQ(A, B, Q, R), np.zeros((2, 2)))
    limit = solve_continuous_are(A, B, Q, R)
    t = 12.0
    rate = -2 * np.linalg.eigvals(A - B @ np.linalg.solve(R, B.T @ limit)).real.max()
    hessian = jax.hessian(lambda x: exact(t, x))(jnp.zeros(2))
    # what is left of the start, times the square of a condition number of modes that are not orthogonal
    np.testing.assert_allclose(hessian, limit, rtol=0, atol=30 * np.exp(-rate * t))
    assert np.exp(-rate * t) < 1e-11


@pytest.mark.slow
def test_the_exact_solution_solves_the_regulators_equation() -> None:
    final, x = np.eye(3), jnp.array([0.2, -0.4, 0.9])
    exact = hj.exact.LinearQuadratic.of(REGULATOR, final, 0.2)
    domain = hj.Box([-1.0] * 3, [1.0] * 3)
    for problem in (hj.Problem(REGULATOR, 0.2, hj.initials.Quadratic(final), domain, 1.0), exact.problem(domain)):
        # a residual of terms of order ten that cancel to round-off
        assert abs(problem.residual(exact, 0.4, x)) < 1e-10


def test_bad_matrices_are_refused() -> None:
    build = hj.hamiltonians.LQ
    one, two = [[1.0]], np.eye(2)
    with pytest.raises(ValueError, match=r"`B` must have shape \[d, k\]; got \(1,\)"):
        build(one, [1.0], one, one)
    with pytest.raises(ValueError, match=r"`A` must have shape \[2, 2\], as `B` is \[2, 1\]; got \(1, 1\)"):
        build(one, [[0.0], [1.0]], two, one)
    with pytest.raises(ValueError, match=r"`R` must be positive definite; its smallest eigenvalue is 0\.0"):
        build(one, one, one, [[0.0]])
    with pytest.raises(ValueError, match=r"`Q` must be symmetric"):
        build(two, two, [[1.0, 1.0], [0.0, 1.0]], two)
    with pytest.raises(ValueError, match=r"`P` must be positive semidefinite"):
        hj.exact.LinearQuadratic(one, one, one, 0.0, [[-1.0]])
