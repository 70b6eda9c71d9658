"""The closed loop: lines to the minimiser, costs that add up to u (verification), inputs of control problems."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

import hjsolve as hj
from hjsolve.problem.hamiltonians import AbstractHamiltonian
from hjsolve.problem.hamiltonians.controlled import Controlled
from hjsolve.trajectories import Trajectory, closed_loop

FD = hj.methods.grid.FiniteDifference
T, C = 0.5, 0.7
BOWL = hj.exact.Quadratic(2.0 * np.eye(1), C)
SHRINK = 1 / (1 + 2 * C * T * 2.0)  # the minimiser of Hopf-Lax is y = (I + 2ctA)⁻¹x
STARTS = np.linspace(-0.9, 0.9, 19)[:, None]


@functools.cache
def bowl(saved: int) -> hj.Solution:
    return hj.solve(BOWL.problem(hj.Box([-1.5], [1.5]), T), FD(40), np.linspace(0.0, T, saved + 1))


def total(exact: hj.exact.Quadratic, path: Trajectory) -> np.ndarray:
    """What the paths cost: ∫ ℓ ds + g where they end."""
    return np.asarray(path.cost[:, -1] + jax.vmap(lambda x: exact(0.0, x))(path.x[:, -1]))


def test_the_gap_falls_with_the_distance_of_saved_times() -> None:
    """The cost is never below u, and above it by the square of the error of ∇u."""
    value = np.asarray(jax.vmap(lambda x: BOWL(T, x))(STARTS))
    off, gaps = [], []
    for saved in (5, 10, 20):
        path = bowl(saved).trajectory(STARTS)
        lines = STARTS[:, None] * (1 + np.asarray(path.s)[:, None] / T * (SHRINK - 1))
        off.append(np.abs(path.x - lines).max())
        gaps.append((total(BOWL, path) - value).max())
        assert (total(BOWL, path) - value).min() > -1e-9  # what WENO5 leaves in ∇u
    print(off, orders(off), gaps, orders(gaps))
    assert orders(off)[-1] > 1.8  # ∇u is linear between saved times
    assert orders(gaps)[-1] > 3.6
    assert gaps[-1] < 1e-6


def test_paths_are_straight_lines_to_the_minimiser_and_cost_u() -> None:
    A = np.array([[1.0, 0.3], [0.3, 2.0]])
    exact = hj.exact.Quadratic(A, C)
    solution = hj.solve(exact.problem(hj.Box([-1.5, -1.5], [1.5, 1.5]), T), FD(40), np.linspace(0.0, T, 41))
    starts = np.random.default_rng(0).uniform(-1.2, 1.2, (50, 2))
    ends = np.linalg.solve(np.eye(2) + 2 * C * T * A, starts.T).T
    path = solution.trajectory(starts)
    share = np.asarray(path.s)[None, :, None] / T
    # (Δts)²/8 ∂_tt ∇u ~ 1e-4 a unit of time
    np.testing.assert_allclose(path.x, starts[:, None] + share * (ends - starts)[:, None], rtol=0, atol=1e-4)
    gap = total(exact, path) - np.asarray(jax.vmap(lambda x: exact(T, x))(starts))
    print("gap", gap.min(), gap.max())
    assert gap.min() > -1e-9 and gap.max() < 5e-8  # the square of 1e-4, times |A|
    assert path.result == hj.RESULTS.successful
    assert not path.left.any()


def test_a_representation_is_evaluated_on_the_way() -> None:
    """One atom at y: u = |x − y|²/(4ct) + g, whose paths go to y; they end at the first saved time."""
    atoms = hj.initials.Atoms([[0.5, -0.25]], [0.3])
    problem = hj.Problem(hj.hamiltonians.Quadratic(C), 0.1, atoms, hj.Box([-1.0, -1.0], [1.0, 1.0]), T)
    solution = hj.solve(problem, hj.methods.particle.HopfCole(), [0.1, T], points=np.zeros((1, 2)))
    x0 = np.array([3.0, 1.0])  # outside the box: a representation lives on R^d
    path = solution.trajectory(x0, dt=0.005)
    assert path.x.shape == (81, 2) and path.cost.shape == (81,) and path.inputs.velocity.shape == (81, 2)
    np.testing.assert_allclose(np.asarray(path.t)[[0, -1]], [T, 0.1], rtol=1e-15)
    straight = atoms.y[0] + np.asarray(path.t)[:, None] / T * (x0 - atoms.y[0])
    np.testing.assert_allclose(path.x, straight, rtol=0, atol=1e-8)  # (dt/t)^4 of Runge-Kutta at t = 0.1, over 120
    speed = np.linalg.norm(x0 - atoms.y[0]) / T
    np.testing.assert_allclose(path.cost[-1], 0.4 * speed**2 / (4 * C), rtol=1e-8)


def test_paths_are_of_order_four_in_dt() -> None:
    """Two atoms, whose ∇u is a closed form: only the integrator errs."""
    problem = hj.Problem(
        hj.hamiltonians.Quadratic(C), 0.1, hj.initials.Atoms([[0.0], [0.4]], [0.0, 0.1]), hj.Box([-1.0], [1.0]), 1.0
    )
    solution = hj.solve(problem, hj.methods.particle.HopfCole(), [0.4, 1.0], points=np.zeros((1, 1)))
    ends = [float(solution.trajectory([0.9], dt=dt).x[-1, 0]) for dt in (0.2, 0.1, 0.05, 0.6 / 400)]
    errors = np.abs(np.array(ends[:-1]) - ends[-1])
    print(errors, orders(errors))
    assert orders(errors)[-1] > 3.7


def test_noisy_paths_cost_u_on_average() -> None:
    exact = hj.exact.Quadratic(2.0 * np.eye(1), 1.0, 0.1)
    solution = hj.solve(exact.problem(hj.Box([-4.0], [4.0]), T), FD(100), np.linspace(0.0, T, 41))
    x0 = np.full((20_000, 1), 0.7)
    path = solution.trajectory(x0, dt=0.0125, key=jax.random.key(1))
    cost = total(exact, path)
    error, standard = cost.mean() - float(exact(T, x0[0])), cost.std() / np.sqrt(len(cost))
    print(error, standard)
    assert abs(error) < 3 * standard
    assert standard < 2e-3
    # dX = −4X/(1 + 4t) ds + √(2ε) dW is Gaussian; by the end, noise of time s has shrunk by 1/(1 + 4(T − s))
    ends = np.asarray(path.x[:, -1, 0])
    assert abs(ends.mean() - 0.7 / 3) < 4 * ends.std() / np.sqrt(len(ends))
    s = np.linspace(0.0, T, 2001)
    variance = 0.2 * np.trapezoid((1 / (1 + 4 * (T - s))) ** 2, s)
    np.testing.assert_allclose(ends.var(), variance, rtol=4 * np.sqrt(2 / len(ends)))  # four standard errors
    assert not np.array_equal(path.x[0], path.x[1])
    again = solution.trajectory(x0, dt=0.0125, key=jax.random.key(1))
    np.testing.assert_array_equal(path.x, again.x)
    drift = solution.trajectory(x0[0])
    np.testing.assert_allclose(drift.x[-1, 0], 0.7 / 3, rtol=0, atol=1e-4)  # without a key, the mean drift


class DoubleIntegrator(AbstractHamiltonian):
    """ẍ = a, |a| <= 1, to end where g is least: H = −p_0 x_1 + |p_1|."""

    def __call__(self, t, x, p):
        return -p[0] * x[1] + jnp.abs(p[1])

    def velocity(self, t, x, p):
        return jnp.stack([-x[1], jnp.sign(p[1])])

    def speed_bound(self, t, x, p_lo, p_hi):
        return jnp.stack([jnp.abs(x[1]), jnp.ones_like(x[1])])

    def control(self, t, x, p):
        return -jnp.sign(p[1:])

    def disturbance(self, t, x, p):
        return jnp.zeros((0, *p.shape[1:]))

    def dynamics(self, t, x, a, b):
        return jnp.stack([x[1], a[0]])


@functools.cache
def integrator() -> hj.Solution:
    """Data x_0 + 2x_1, for which p = (1, 2 + t): the control is −1 all the way, u exact."""
    data = hj.initials.Custom(lambda x: x[0] + 2 * x[1])
    problem = hj.Problem(DoubleIntegrator(), 0.0, data, hj.Box([-2.0, -2.0], [2.0, 2.0]), 1.0)
    return hj.solve(problem, FD(16), np.linspace(0.0, 1.0, 5))


def test_inputs_of_a_control_problem() -> None:
    assert isinstance(DoubleIntegrator(), Controlled)
    assert not isinstance(hj.hamiltonians.Quadratic(), Controlled)
    solution, x0 = integrator(), np.array([[0.5, 0.25], [0.0, 1.0]])
    done = solution.feedback(0.5, x0)
    np.testing.assert_array_equal(done.control, [[-1.0], [-1.0]])
    assert done.disturbance.shape == (2, 0)
    np.testing.assert_array_equal(done.velocity, np.stack([x0[:, 1], [-1.0, -1.0]], 1))
    one = solution.feedback(0.5, x0[0])
    assert one.control.shape == (1,) and one.velocity.shape == (2,)
    path = solution.trajectory(x0, dt=0.1)
    s = np.asarray(path.s)
    exact = np.stack([x0[:, :1] + x0[:, 1:] * s - s**2 / 2, x0[:, 1:] - s], -1)
    np.testing.assert_allclose(path.x, exact, rtol=0, atol=1e-12)  # a parabola: Runge-Kutta is exact
    np.testing.assert_array_equal(path.inputs.control, np.full((2, 11, 1), -1.0))
    # a cost at the end alone
    np.testing.assert_allclose(path.cost, 0.0, atol=1e-10)
    np.testing.assert_allclose(solution(1.0, x0), path.x[:, -1] @ np.array([1.0, 2.0]), rtol=0, atol=1e-9)


def test_a_potential_and_a_source_change_the_cost_alone() -> None:
    wrapped = hj.hamiltonians.WithSource(
        hj.hamiltonians.WithPotential(DoubleIntegrator(), lambda x: jnp.full(x.shape[1:], 0.5)), lambda t: 0.25 + 0 * t
    )
    solution = eqx.tree_at(lambda s: s.problem.hamiltonian, integrator(), wrapped)
    path = solution.trajectory([0.5, 0.25], dt=0.1)
    np.testing.assert_array_equal(path.inputs.control, np.full((11, 1), -1.0))
    np.testing.assert_allclose(path.cost, 0.25 * path.s, rtol=0, atol=1e-10)  # H − V + f: ℓ = V − f


def test_a_frozen_state_rests_where_moving_would_raise_its_value() -> None:
    """H = −x_1 + |2 + t|, so that states with x_1 > 2 + t would only rise."""
    x, p = jnp.array([[0.0, 0.0], [1.0, 9.0]]), jnp.array([[1.0, 1.0], [2.5, 2.5]])
    done = closed_loop(hj.hamiltonians.Freezing(DoubleIntegrator()), jnp.asarray(0.5), x, p)
    np.testing.assert_array_equal(done.velocity, [[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(done.control, [[-1.0, -1.0]])


def test_paths_stop_where_they_leave_and_go_round_a_torus() -> None:
    flow = hj.hamiltonians.Linear([1.0, 0.5])
    data = hj.initials.Custom(lambda x: jnp.cos(jnp.pi * x[0]))
    box = hj.Box([-1.0, -1.0], [1.0, 1.0], periodic=[True, False])
    solution = hj.solve(hj.Problem(flow, 0.0, data, box, 1.5), FD(16), [1.5])
    path = solution.trajectory([[0.0, 0.0], [-0.5, -0.6]], dt=0.1)
    np.testing.assert_array_equal(path.left, [False, True])
    # dx/ds = −(1, ½): the second reaches x_2 = −1 after 0.8 and stays; the first leaves through the periodic axis
    np.testing.assert_allclose(path.x[:, -1], [[-1.5, -0.75], [-1.3, -1.0]], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(path.x[1, 8:], path.x[1, 8:9].repeat(8, 0))


def test_gradient_with_respect_to_the_start() -> None:
    """x_T = (I + 2ctA)⁻¹ x0."""
    slope = jax.grad(lambda x: bowl(20).trajectory(x, dt=0.05).x[-1, 0])(jnp.array([0.3]))
    np.testing.assert_allclose(slope, SHRINK, rtol=0, atol=1e-3)  # (Δts)²


def test_single_precision() -> None:
    with jax.enable_x64(False):
        solution = hj.solve(BOWL.problem(hj.Box([-1.5], [1.5]), T), FD(40), np.linspace(0.0, T, 21))
        path = solution.trajectory(STARTS)
        assert path.x.dtype == jnp.float32
    np.testing.assert_allclose(path.x, bowl(20).trajectory(STARTS).x, rtol=0, atol=1e-4)  # ∇u to 1e-7/Δx over T


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"x0": [0.1, 0.2]}, r"`x0` must have shape \[1\] or \[m, 1\]; got \(2,\)"),
        ({"x0": [9.0]}, r"`x0` must lie in the domain for FiniteDifference.*Enlarge"),
        ({"t": 0.6}, r"`t` must be in \(0, 0\.5\], up to the last saved time of a grid; got 0\.6"),
        ({"t": 0.0}, r"`t` must be in \(0, 0\.5\].*got 0"),
        ({"dt": 0.0}, r"`dt` must be > 0; got 0"),
        ({"dt": [0.1, 0.2]}, r"`dt` must be a number"),
    ],
)
def test_bad_input_is_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bowl(20).trajectory(**{"x0": [0.1], **arguments})
