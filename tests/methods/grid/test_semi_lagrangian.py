"""Observed orders and exact solutions of the semi-Lagrangian method, at steps of many cells.

Programs take longer to compile than to run: on a torus a coarse grid is as many cells for twice the period.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.optimize import brentq

import hjsolve as hj

B, H = hj.boundaries, hj.hamiltonians
SL, FD = hj.methods.grid.SemiLagrangian, hj.methods.grid.FiniteDifference
SEGMENT = hj.Box([-1.0], [1.0])
CONE = hj.initials.Norm(1)


def blend(shares, x):
    return shares @ jnp.stack([jnp.abs(x[0]), 0.5 * x[0] ** 2])


KINK, BOWL = (hj.initials.Custom(eqx.Partial(blend, row)) for row in np.eye(2))
"""Data of one type, for one program."""


def error(problem: hj.Problem, method, exact, t: float):
    """|u − exact| at the nodes, and the solution."""
    solution = hj.solve(problem, method, [t])
    found = np.abs(np.asarray(solution.u[0]) - exact(np.asarray(solution.points)))
    print(type(method).__name__, method.cells, found.mean(), found.max(), int(solution.stats["steps"]))
    return found, solution


def wave(t: float, x: np.ndarray) -> np.ndarray:
    """−cos πx under H = ½p² before it breaks at t = 1/π²: along characteristics."""
    slope = lambda y: np.pi * np.sin(np.pi * y)
    feet = [brentq(lambda y, z=z: y + t * slope(y) - z, z - 2, z + 2, xtol=1e-15) for z in x[:, 0]]
    return np.array([-np.cos(np.pi * y) + t * slope(y) ** 2 / 2 for y in feet])


def test_order_before_kinks_at_steps_of_five_cells() -> None:
    """Four in the mean; the limiter makes it three next to inflections. FD(40) takes five steps, this one."""
    t = 0.5 / np.pi**2
    data, method = hj.initials.Cosine(-1.0, np.pi), SL(160, courant=5.0)
    problems = [hj.Problem(H.Quadratic(0.5), 0.0, data, hj.Torus([-half], [half]), t) for half in (2.0, 1.0)]
    found = [error(problem, method, lambda x: wave(t, x), t) for problem in problems]
    assert [int(solution.stats["steps"]) for _, solution in found] == [2, 3]
    # 3.1 was measured: 4 less the growth of the number of steps
    assert orders([e.mean() for e, _ in found]).min() > 2.7
    assert found[-1][0].max() < 2e-5
    assert found[-1][0].mean() < 5e-7


@pytest.mark.slow
def test_parabolas_in_the_plane_are_followed_to_round_off() -> None:
    """Cubics are exact on them, and so is one step in time; faces are 0.25 beyond what is looked at."""
    exact = hj.exact.Quadratic([[1.0, 0.3], [0.3, 0.5]], 0.7)
    problem = exact.problem(hj.Box([-1.0] * 2, [1.0] * 2), 0.3)
    solution = hj.solve(problem, SL(24, dt=0.1, refinements=8), [0.3])
    inside = np.abs(np.asarray(solution.points)).max(1) < 0.75
    expected = jax.vmap(lambda x: exact(0.3, x))(solution.points)
    # secant steps converge like those of Newton's method in one dimension, and by a factor of about 5 each in two
    np.testing.assert_allclose(solution.u[0][inside], expected[inside], rtol=0, atol=1e-7)


def test_linear_transport_needs_no_search() -> None:
    """Steps of 6 cells on a torus; the path of a rotation is second order in Δt by Heun's rule."""
    velocity, torus = np.array([0.7, -1.1]), hj.Torus([-1.0] * 2, [1.0] * 2)
    problem = hj.Problem(H.Linear(velocity), 0.0, hj.initials.Cosine(1.0, [np.pi, np.pi]), torus, 1.0)
    found, solution = error(problem, SL(64, dt=1 / 6), lambda x: np.cos(np.pi * (x - velocity).sum(1)), 1.0)
    assert solution.stats["steps"] == 6
    # each of 6 steps errs by (πΔx)⁴·3/128 = 2.2e-6 an axis at most, next to inflections by (πΔx)³/24 = 4e-5
    assert found.max() < 6 * 2 * 4e-5
    assert found.mean() < 1e-4
    turn = H.Linear(lambda t, x: jnp.stack([-x[1], x[0]]))
    well = hj.initials.Custom(lambda x: (x[0] - 0.3) ** 2 + x[1] ** 2)
    rotated = hj.Problem(turn, 0.0, well, hj.Box([-1.0] * 2, [1.0] * 2), 1.0)
    centre, errors = 0.3 * np.array([np.cos(1.0), np.sin(1.0)]), []
    for dt in (0.2, 0.1):
        found, solution = error(rotated, SL(16, dt=dt), lambda x: ((x - centre) ** 2).sum(1), 1.0)
        errors.append(found[np.linalg.norm(solution.points, axis=1) < 0.5].max())
    assert 1.8 < orders(errors)[0] < 2.3


def test_the_fan_of_a_cone_against_finite_differences() -> None:
    """u_t + p² = 0 from |x|: the wave fills |x| < 2t. A tenth of the steps, a tenth of the error."""
    exact = lambda x: np.where(np.abs(x) > 0.4, np.abs(x) - 0.2, x**2 / 0.8)[:, 0]
    problem = hj.Problem(H.Quadratic(), 0.0, KINK, SEGMENT, 0.2)
    coarse, _ = error(problem, SL(80, dt=0.025), exact, 0.2)  # of two cells
    found, solution = error(problem, SL(80, dt=0.1), exact, 0.2)
    peer, other = error(problem, FD(80), exact, 0.2)
    assert 10 * solution.stats["steps"] <= other.stats["steps"]
    assert found.mean() < peer.mean() / 5
    assert coarse.mean() < peer.mean() / 30


@pytest.mark.slow
def test_merging_discs_in_two_steps() -> None:
    """Kinks at the centres and where the fronts meet; a step of 6.7 cells, where FD takes 10 to 20."""
    centres, radii, t = np.array([[-0.5, 0.0], [0.6, 0.2]]), np.array([0.3, 0.2]), 0.25
    distance = lambda x: jnp.min(jnp.linalg.norm(x - centres, axis=1) - radii)
    problem = hj.Problem(H.Eikonal(), 0.0, hj.initials.Custom(distance), hj.Box([-1.5] * 2, [1.5] * 2), t)
    exact = lambda x: (np.maximum(np.linalg.norm(x[:, None] - centres, axis=2) - t, 0) - radii).min(1)
    found, solution = error(problem, SL(80, dt=t / 2), exact, t)
    peer, _ = error(problem, FD(80), exact, t)
    assert solution.stats["steps"] == 2
    assert found.mean() < 1.3 * peer.mean()
    # what a cell of 0.0375 misses of the tips of the cones, 0.7 of its half diagonal
    assert found.max() < 0.02


@pytest.mark.slow
def test_a_double_integrator_with_linear_data() -> None:
    """u = k₁(x₁ + t x₂) + k₂x₂ − a∫_0^t |k₁s + k₂| ds: one switch, off which Heun's rule is exact."""
    k, a, t = np.array([1.0, -0.4]), 0.8, 1.0
    problem = hj.Problem(
        H.DoubleIntegrator(a), 0.0, hj.initials.Custom(lambda x: x @ k), hj.Box([-1.0] * 2, [1.0] * 2), t
    )
    cost = (0.4**2 + 0.6**2) / 2
    exact = lambda x: x @ k + t * k[0] * x[:, 1] - a * cost
    errors = [error(problem, SL(10, dt=dt), exact, t)[0].max() for dt in (0.25, 0.125)]
    # the step that holds the switch at s = 0.4 errs by its square, and lines are continued beyond the faces
    assert errors[0] < 0.25**2 / 4
    assert errors[1] < 0.125**2 / 4


@pytest.mark.slow
def test_a_regulator_at_long_steps() -> None:
    """Second order in Δt, for dynamics in x and a running cost."""
    lq = H.LQ([[0.0, 1.0], [-0.5, 0.1]], [[0.0], [1.0]], np.diag([1.0, 0.5]), [[0.7]])
    final = np.diag([0.6, 0.4])
    exact = hj.exact.LinearQuadratic.of(lq, final)
    problem = hj.Problem(lq, 0.0, hj.initials.Quadratic(final), hj.Box([-1.5] * 2, [1.5] * 2), 0.8)
    places = np.random.default_rng(0).uniform(-0.5, 0.5, size=(50, 2))
    expected = jax.vmap(lambda x: exact(0.8, x))(jnp.asarray(places))
    errors = []
    for dt in (0.2, 0.1, 0.05):
        solution = hj.solve(problem, SL(20, dt=dt), [0.8], points=places)
        errors.append(np.abs(solution.u[0] - expected).max())
    print(errors, orders(errors))
    assert orders(errors)[-1] > 1.7
    assert errors[-1] < 2e-3


def test_viscosity_is_first_order_in_time() -> None:
    """From ½x² under H = ½p²: ½x²/(1 + t) + ε log(1 + t)."""
    problem = hj.Problem(H.Quadratic(0.5), 0.1, BOWL, hj.Box([-3.0], [3.0]), 0.5)
    exact, errors = lambda x: x[:, 0] ** 2 / 3 + 0.1 * np.log(1.5), []
    for dt in (0.1, 0.05):
        found, solution = error(problem, SL(80, dt=dt), exact, 0.5)
        errors.append(found[np.abs(solution.points[:, 0]) <= 1].max())
    assert 0.8 < orders(errors)[0] < 1.3
    assert errors[1] < 2e-3


def test_a_game_in_which_speeds_subtract() -> None:
    """ẋ = a + b with |a| <= 1, |b| <= ½ moves like |p|/2: from |x|, max(|x| − t/2, 0).

    The control, which moves first in every step, cannot hold the middle against an answer worth Δt/2.
    """
    game = H.Isaacs(lambda t, x: (0.0,), [[1.0]], H.inputs.Box(-1.0, 1.0), [[1.0]], H.inputs.Box(-0.5, 0.5))
    problem = hj.Problem(game, 0.0, CONE, SEGMENT, 0.8)
    for dt in (0.2, 0.1):
        found, solution = error(problem, SL(40, dt=dt), lambda x: np.maximum(np.abs(x[:, 0]) - 0.4, 0), 0.8)
        beyond = np.abs(solution.points[:, 0]) >= 0.4 + dt / 2
        assert found[beyond].max() < 1e-12
        np.testing.assert_allclose(found.max(), dt / 2, rtol=1e-12)


@pytest.mark.slow
def test_a_control_system_against_finite_differences() -> None:
    """Two inputs in a ball, dynamics and a cost of x: second order in Δt. The slope never vanishes: no kinks."""
    steered = H.ControlAffine(
        lambda t, x: (0.0, x[0]), np.eye(2), H.inputs.Ball(0.7, size=2), cost=lambda t, x: x[1] ** 2
    )
    data = hj.initials.Custom(lambda x: x[0] + 0.3 * jnp.sin(2 * x[1]))
    problem = hj.Problem(steered, 0.0, data, hj.Box([-1.5] * 2, [1.5] * 2), 0.4)
    places = np.random.default_rng(0).uniform(-0.5, 0.5, size=(200, 2))
    peer = hj.solve(problem, FD(40), [0.4], points=places).u[0]
    errors = [np.abs(hj.solve(problem, SL(30, dt=dt), [0.4], points=places).u[0] - peer).mean() for dt in (0.4, 0.2)]
    print(errors)
    assert orders(errors)[0] > 1.6
    assert errors[1] < 2e-3


def test_obstacles_act_at_the_ends_of_steps() -> None:
    """One player runs to the right, x + t, the other stops for 0.3."""
    avoid = H.ControlAffine(lambda t, x: (0.0,), [[1.0]], H.inputs.Box(-1.0, 1.0), maximise=True)
    line = hj.initials.Custom(lambda x: x[0])
    problem = hj.Problem(avoid, 0.0, line, SEGMENT, 0.4, ceiling=lambda t, x: 0.3 + 0 * x[0])
    found, solution = error(problem, SL(40, dt=0.1), lambda x: np.minimum(x[:, 0] + 0.4, 0.3), 0.4)
    assert solution.u.max() <= 0.3
    assert found.max() < 1e-12  # steps of two cells: the kink falls on nodes


@pytest.mark.slow
def test_faces_each_against_the_solution_that_it_alone_gives() -> None:
    one = lambda x: jnp.ones_like(x[0])
    # u = distance to the faces after the time to the middle: leaving costs 0, staying 1 a unit of time
    box = hj.Box([-1.0], [2.0], boundary=B.Dirichlet(0.0))
    problem = hj.Problem(H.WithPotential(H.Eikonal(), one), 0.0, hj.initials.Custom(lambda x: 10 + 0 * x[0]), box, 2.0)
    found, _ = error(problem, SL(60, dt=0.2), lambda x: np.minimum(x[:, 0] + 1, 2 - x[:, 0]), 2.0)
    assert found.max() < 0.03  # half a cell at the kink in the middle
    assert np.median(found) < 1e-10
    # the control moves right, up to the wall at 1
    wall = hj.Box([-1.0], [1.0], boundary=[(B.Extrapolation(), B.StateConstraint())])
    problem = hj.Problem(H.Eikonal(), 0.0, hj.initials.Custom(lambda x: -x[0]), wall, 0.75)
    found, _ = error(problem, SL(40, dt=0.25), lambda x: np.maximum(-x[:, 0] - 0.75, -1.0), 0.75)
    assert found.max() < 1e-12
    # reflecting walls are the even periodic extension
    data, t = hj.initials.Cosine(1.0, np.pi), 0.1
    wall = hj.Problem(H.Quadratic(), 0.0, data, hj.Box([0.0], [1.0], boundary=B.Neumann()), t)
    unfolded = hj.Problem(H.Quadratic(), 0.0, data, hj.Torus([-1.0], [1.0]), t)
    reflected, other = (hj.solve(p, SL(n, courant=30.0), [t]) for p, n in ((wall, 80), (unfolded, 160)))
    assert reflected.stats["steps"] == other.stats["steps"] == 2
    np.testing.assert_allclose(reflected.u[0, :80], other.u[0, 80:], rtol=0, atol=1e-9)  # the minimum is found to 1e-5


@pytest.mark.slow
def test_gradients_pass_through_the_minimum() -> None:
    """Two steps, by a parameter of the cost of the input, of its range and of the data; envelope theorem."""
    steered = lambda theta: H.ControlAffine(lambda t, x: (0.2 * x[0],), [[1.0]], H.inputs.Box(-theta, theta))
    method, dt = SL(20, refinements=8), jnp.asarray(0.1)
    for hamiltonian in (H.Quadratic, steered):

        def mean(theta, hamiltonian=hamiltonian):
            data = hj.initials.Custom(lambda x: theta * jnp.sin(2 * x[0]))
            problem = hj.Problem(hamiltonian(theta), 0.0, data, SEGMENT, 0.4)
            u = method.init(problem)
            for k in range(2):
                u, _ = method.step(problem, k * dt, dt, u)
            return jnp.mean(u)

        both = jax.jit(jax.value_and_grad(mean))
        difference = (both(0.601)[0] - both(0.599)[0]) / 2e-3
        # places of the limiter's switches move with θ: what they add is small, not smooth
        np.testing.assert_allclose(both(0.6)[1], difference, rtol=2e-2)


@pytest.mark.parametrize(
    "hamiltonian",
    [
        H.Quadratic(0.3),
        pytest.param(H.ControlAffine(lambda t, x: [0.2], [[1.0]], H.inputs.Box(-0.5, 0.5)), marks=pytest.mark.slow),
    ],
)
def test_the_derivative_in_time_is_that_of_the_solution(hamiltonian) -> None:
    """∂u/∂T in reverse mode against differences: the path's part is not counted twice."""

    def value(T):
        data = hj.initials.Custom(lambda x: 0.5 * jnp.sin(jnp.pi * x[0]))
        problem = hj.Problem(hamiltonian, 0.0, data, hj.Torus([-1.0], [1.0]), 1.0)
        return hj.solve(problem, SL(24), jnp.stack([T]), points=jnp.array([[0.13]]), checkpoints=16).u[-1, 0]

    both = jax.jit(jax.value_and_grad(value))
    difference = (both(0.3018)[0] - both(0.3016)[0]) / 2e-4
    np.testing.assert_allclose(both(0.3017)[1], difference, rtol=1e-5)


@pytest.mark.slow
def test_the_derivative_of_an_exit_is_that_of_the_time_it_takes() -> None:
    """min_s (b − x)²/s + V s = 2√V (b − x): 0 in the horizon, 2 in b, (b − x)/√V in V."""

    def value(numbers):
        b, potential, T = numbers
        box = hj.Box([0.0], [b], boundary=[(B.StateConstraint(), B.Dirichlet(0.0))])
        hamiltonian = H.WithPotential(H.Quadratic(0.25), lambda x: potential + 0 * x[0])
        problem = hj.Problem(hamiltonian, 0.0, hj.initials.Custom(lambda x: 5.0 + 0 * x[0]), box, T)
        return hj.solve(problem, SL(40), jnp.stack([T]), points=jnp.array([[0.6]]), checkpoints=16).u[-1, 0]

    u, slope = jax.jit(jax.value_and_grad(value))(jnp.array([1.0, 1.0, 1.013]))
    np.testing.assert_allclose(u, 0.8, atol=1e-6)
    np.testing.assert_allclose(slope, [2.0, 0.4, 0.0], atol=0.01)  # the minimum over s is found to 1e-5 in u


def test_float32() -> None:
    problem = hj.Problem(H.Quadratic(), 0.0, hj.initials.Cosine(1.0, np.pi), hj.Torus([-2.0], [2.0]), 0.05)
    with jax.enable_x64(False):
        single = hj.solve(problem, SL(160), [0.05]).u
    assert single.dtype == jnp.float32
    # the search ends at places apart by the root of round-off, which the minimum hides; slopes of 4 are interpolated
    np.testing.assert_allclose(single, hj.solve(problem, SL(160), [0.05]).u, rtol=0, atol=2e-5)


def test_refusals() -> None:
    solve = lambda hamiltonian, viscosity=0.0, box=SEGMENT, **options: hj.solve(
        hj.Problem(hamiltonian, viscosity, CONE, box, 0.2), SL(20, **options), [0.2]
    )
    with pytest.raises(ValueError, match=r"minimum over velocities.*got Custom\. Use hj\.methods\.grid\.FiniteDiff"):
        solve(H.WithPotential(H.Custom(lambda t, x, p: jnp.cos(p[0])), lambda x: x[0]))
    with pytest.raises(ValueError, match=r"got Freezing"):
        solve(H.Freezing(H.Eikonal()))
    with pytest.raises(ValueError, match=r"constant `viscosity`; got Varying"):
        solve(H.Quadratic(), hj.viscosities.Varying(lambda t, x: 0.1 + 0 * x[0]))
    with pytest.raises(ValueError, match=r"`boundary` must not be Dirichlet .* with viscosity; got 0\.1"):
        solve(H.Quadratic(), 0.1, hj.Box([-1.0], [1.0], boundary=B.Dirichlet()))
    with pytest.raises(ValueError, match=r"`order` must be 1 or 3; got 2"):
        SL(20, order=2)
    with pytest.raises(ValueError, match=r"`cells` must be >= 4; got 3"):
        SL(3)
    with pytest.raises(ValueError, match=r"`dt` must be > 0; got 0\.0"):
        SL(20, dt=0.0)
    with pytest.raises(ValueError, match=r"`cells` must have one entry per axis \(1\); got \(20, 20\)"):
        hj.solve(hj.Problem(H.Eikonal(), 0.0, CONE, SEGMENT, 0.2), SL((20, 20)), [0.2])
