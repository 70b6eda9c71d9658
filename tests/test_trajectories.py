"""The closed loop: lines to the minimiser, costs that add up to u (verification), inputs of control problems."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.integrate import solve_ivp

import hjsolve as hj
from hjsolve.problem.hamiltonians.controlled import Controlled
from hjsolve.trajectories import Trajectory, closed_loop, follow

FD, FastSweeping = hj.methods.grid.FiniteDifference, hj.methods.grid.FastSweeping
# in space, which is exact for u linear in x, and quick to compile
FIRST_ORDER = functools.partial(
    FD, derivative=hj.methods.grid.derivatives.Upwind(), stepper=hj.methods.grid.steppers.SSPRK2()
)
T, C = 0.5, 0.7
BOWL = hj.exact.Quadratic(2.0 * np.eye(1), C)
NOISY = hj.exact.Quadratic(2.0 * np.eye(1), 1.0, 0.1)
SHRINK = 1 / (1 + 2 * C * T * 2.0)  # the minimiser of Hopf-Lax is y = (I + 2ctA)⁻¹x
STARTS = np.linspace(-0.9, 0.9, 19)[:, None]
SAVED = 20


def bowl(saved: int, exact: hj.exact.Quadratic = BOWL, half: float = 1.5) -> hj.Solution:
    """Saved at `saved` intervals; each ends in as many tiny ones as give all of them one shape, and one program."""
    ts = np.linspace(0.0, T, saved + 1)[:, None] - 1e-6 * T * np.arange(SAVED // saved)[::-1]
    return cached(tuple(np.append(0.0, ts[1:])), exact is BOWL, half)


@functools.cache
def cached(ts: tuple[float, ...], plain: bool, half: float) -> hj.Solution:
    return hj.solve((BOWL if plain else NOISY).problem(hj.Box([-half], [half]), T), FD(100), ts)


@eqx.filter_jit
def on_all(exact: hj.exact.Quadratic, t: jax.Array, x: jax.Array) -> jax.Array:
    return jax.vmap(lambda x: exact(t, x))(x)


def total(exact: hj.exact.Quadratic, path: Trajectory) -> np.ndarray:
    """What the paths cost: ∫ ℓ ds + g where they end."""
    return np.asarray(path.cost)[:, -1] + np.asarray(on_all(exact, jnp.zeros(()), path.x[:, -1]))


@pytest.mark.slow
def test_the_gap_falls_with_the_distance_of_saved_times() -> None:
    """Lines to the minimiser; their cost is never below u, and above it by the square of the error of ∇u."""
    value = np.asarray(on_all(BOWL, jnp.asarray(T), jnp.asarray(STARTS)))
    off, gaps = [], []
    for saved in (5, 10, 20):
        path = bowl(saved).trajectory(STARTS)
        lines = STARTS[:, None] * (1 + np.asarray(path.s)[:, None] / T * (SHRINK - 1))
        off.append(np.abs(path.x - lines).max())
        gaps.append((total(BOWL, path) - value).max())
        assert (total(BOWL, path) - value).min() > -1e-9  # what WENO5 leaves in ∇u
        assert path.result == hj.RESULTS.successful
        assert not path.left.any() and not path.arrived.any()
        np.testing.assert_allclose(path.end, T, rtol=1e-15)
    print(off, orders(off), gaps, orders(gaps))
    assert orders(off)[-1] > 1.8  # ∇u is linear between saved times
    assert orders(gaps)[-1] > 3.6
    assert gaps[-1] < 1e-6


def two_atoms(g: float) -> hj.Solution:
    """u = −(ε/c) log Σ_j exp(−c E_j/ε) of atoms at (½, −¼) and (0, ½), the second with the height g."""
    atoms = hj.initials.Atoms([[0.5, -0.25], [0.0, 0.5]], [0.3, g])
    problem = hj.Problem(hj.hamiltonians.Quadratic(C), 0.1, atoms, hj.Box([-1.0, -1.0], [1.0, 1.0]), T)
    return hj.solve(problem, hj.methods.particle.HopfCole(), [0.1, T], points=np.zeros((1, 2)))


def test_a_representation_is_evaluated_on_the_way() -> None:
    """One atom that matters: u = |x − y|²/(4ct) + g, whose paths go to y; they end at the first saved time."""
    solution, y = two_atoms(1e3), np.array([0.5, -0.25])
    x0 = np.array([3.0, 1.0])  # outside the box: a representation lives on R^d
    path = solution.trajectory(x0, dt=0.01)
    assert path.x.shape == (41, 2) and path.cost.shape == (41,) and path.inputs.velocity.shape == (41, 2)
    assert path.left.shape == path.arrived.shape == path.end.shape == ()
    np.testing.assert_allclose(np.asarray(path.t)[[0, -1]], [T, 0.1], rtol=1e-15)
    straight = y + np.asarray(path.t)[:, None] / T * (x0 - y)
    np.testing.assert_allclose(path.x, straight, rtol=0, atol=1e-12)  # for a straight line Runge-Kutta is exact
    speed = np.linalg.norm(x0 - y) / T
    np.testing.assert_allclose(path.cost[-1], 0.4 * speed**2 / (4 * C), rtol=1e-12)
    done, one = solution.feedback(0.3, x0[None]), solution.feedback(0.3, x0)
    np.testing.assert_allclose(done.velocity, [(y - x0) / 0.3], rtol=1e-12)
    assert done.control is None and done.disturbance is None and one.velocity.shape == (2,)


def test_paths_of_a_representation_are_of_order_five_in_dt() -> None:
    """∇u is a closed form, so that only the integrator errs; SciPy integrates the same in NumPy."""
    solution, x0 = two_atoms(0.3), np.array([0.9, 0.7])
    y, g = np.asarray(solution.problem.initial.y), 0.3

    def velocity(s: float, x: np.ndarray) -> np.ndarray:
        t = T - s
        weights = np.exp(-C / 0.1 * (g + ((x - y) ** 2).sum(1) / (4 * C * t)))
        return (weights @ y / weights.sum() - x) / t

    end = solve_ivp(velocity, (0.0, 0.4), x0, rtol=1e-12, atol=1e-12).y[:, -1]
    errors = [np.abs(solution.trajectory(x0, dt=dt).x[-1] - end).max() for dt in (0.02, 0.01)]
    print(errors, orders(errors))
    assert orders(errors)[-1] > 4.7
    assert errors[-1] < 1e-7


@pytest.mark.slow
def test_noisy_paths_cost_u_on_average() -> None:
    solution = bowl(20, NOISY, 4.0)
    x0 = np.full((20_000, 1), 0.7)
    path = solution.trajectory(x0, dt=0.0125, key=jax.random.key(1))
    cost = total(NOISY, path)
    error, standard = cost.mean() - float(NOISY(T, x0[0])), cost.std() / np.sqrt(len(cost))
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
    drift = solution.trajectory(STARTS)
    np.testing.assert_allclose(drift.x[:, -1], STARTS / 3, rtol=0, atol=4e-4)  # without a key, the mean drift; (Δts)²


def line(half: float) -> hj.Box:
    return hj.Box([-half], [half])


def run(problem: hj.Problem, slope, x: jax.Array, steps: int, **more) -> Trajectory:
    """Paths along a ∇u that is given, from T on."""
    return eqx.filter_jit(follow)(
        problem,
        lambda t, x: (slope(problem, t, x), jnp.zeros_like(x[:, 0])),
        x,
        jnp.asarray([T, 0.0]),
        steps,
        **{"walls": False, "key": None, **more},
    )


def test_noise_is_of_weak_order_two_and_ito() -> None:
    """dX = −4X ds + √(2ε) dW in steps of h = 1/16."""
    x0, z = jnp.full((200_000, 1), 0.7), 4 * T / 8
    problem = hj.Problem(hj.hamiltonians.Quadratic(1.0), 0.05, hj.initials.Quadratic(), line(1.0), T)
    ends = np.asarray(run(problem, lambda _, t, x: 2 * x, x0, 8, key=jax.random.key(2)).x[:, -1, 0])
    # a step of a method of order 2 multiplies the mean by this, to sampling
    assert abs(ends.mean() - 0.7 * (1 - z + z**2 / 2) ** 8) < 4 * ends.std() / np.sqrt(len(ends))
    # and errs in the variance by (4h)²/6; a method of order 1 by 4h/2 = 0.125
    np.testing.assert_allclose(ends.var(), 0.05 / 4 * (1 - np.exp(-8 * T)), rtol=0.02)
    # without a drift X stays where it is on average; Stratonovich's would move it by T ∂ε/2 = 0.05
    varying = hj.problem.viscosities.Varying(lambda t, x: 0.1 * jnp.exp(x[0]))
    problem = hj.Problem(hj.hamiltonians.Quadratic(1.0), varying, hj.initials.Quadratic(), line(1.0), T)
    ends = np.asarray(run(problem, lambda _, t, x: 0 * x, x0, 8, key=jax.random.key(2)).x[:, -1, 0])
    assert abs(ends.mean() - 0.7) < 4 * ends.std() / np.sqrt(len(ends))


def priced() -> hj.Solution:
    """ẍ = a, |a| <= 1, at the price ½ − ¼, with data x_0 + 2x_1, for which p = (1, 2 + t): a = −1, u exact."""
    hamiltonian = hj.hamiltonians.WithSource(
        hj.hamiltonians.WithPotential(hj.hamiltonians.DoubleIntegrator(), lambda x: jnp.full(x.shape[1:], 0.5)),
        lambda t: 0.25 + 0 * t,
    )
    data = hj.initials.Custom(lambda x: x[0] + 2 * x[1])
    problem = hj.Problem(hamiltonian, 0.0, data, hj.Box([-2.0, -2.0], [2.0, 2.0]), 1.0)
    return hj.solve(problem, FIRST_ORDER(16), np.linspace(0.0, 1.0, 5))


def test_inputs_of_a_control_problem_and_where_its_paths_leave() -> None:
    assert isinstance(hj.hamiltonians.DoubleIntegrator(), Controlled)
    assert not isinstance(hj.hamiltonians.Quadratic(), Controlled)
    solution, x0 = priced(), np.array([[0.5, 0.25], [0.0, 1.0], [1.5, 1.5]])  # nodes
    path = solution.trajectory(x0, dt=0.1)
    s = np.asarray(path.s)
    exact = np.stack([x0[:, :1] + x0[:, 1:] * s - s**2 / 2, x0[:, 1:] - s], -1)
    np.testing.assert_allclose(path.x[:2], exact[:2], rtol=0, atol=1e-12)  # a parabola: Runge-Kutta is exact
    np.testing.assert_array_equal(path.inputs.control, np.full((3, 11, 1), -1.0))
    # H − V + f: ℓ = V − f, and what moves the state costs nothing
    np.testing.assert_allclose(path.cost[:2], np.tile(0.25 * s, (2, 1)), rtol=0, atol=1e-10)
    total = path.cost[:2, -1] + path.x[:2, -1] @ np.array([1.0, 2.0])
    nodes = [int(np.flatnonzero((np.asarray(solution.points) == start).all(1))[0]) for start in x0]
    np.testing.assert_allclose(solution.u[-1, np.array(nodes[:2])], total, rtol=0, atol=1e-9)
    # the third meets x_0 = 2 between two steps, and the cubic between them is its parabola
    leaves = 1.5 - np.sqrt(1.5**2 - 1)
    np.testing.assert_array_equal(path.left, [False, False, True])
    np.testing.assert_allclose(path.end, [1.0, 1.0, leaves], rtol=0, atol=1e-12)
    np.testing.assert_allclose(path.x[2, 4:], np.tile([2.0, 1.5 - leaves], (7, 1)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(path.cost[2, 4:], 0.25 * leaves, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(path.inputs.velocity[2, 4:], 0.0)
    assert path.inputs.disturbance.shape == (3, 11, 0)


def test_a_frozen_state_rests_where_moving_would_raise_its_value() -> None:
    """H = −x_1 + |2 + t|, so that states with x_1 > 2 + t would only rise."""
    x, p = jnp.array([[0.0, 0.0], [1.0, 9.0]]), jnp.array([[1.0, 1.0], [2.5, 2.5]])
    done = closed_loop(hj.hamiltonians.Freezing(hj.hamiltonians.DoubleIntegrator()), jnp.asarray(0.5), x, p)
    np.testing.assert_array_equal(done.velocity, [[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(done.control, [[-1.0, -1.0]])


def test_paths_go_round_a_torus_and_stop_at_other_faces() -> None:
    box = hj.Box([-1.0, -1.0], [1.0, 1.0], periodic=[True, False])
    problem = hj.Problem(hj.hamiltonians.Linear([3.0, 1.5]), 0.0, hj.initials.Quadratic(), box, T)
    path = run(problem, lambda _, t, x: 0 * x, jnp.array([[0.0, 0.0], [-0.5, -0.6]]), 15, walls=True)
    np.testing.assert_array_equal(path.left, [False, True])
    # dx/ds = −(3, 1½): the second reaches x_2 = −1 at a step and stays; the first leaves through the periodic axis
    np.testing.assert_allclose(path.x[:, -1], [[-1.5, -0.75], [-1.3, -1.0]], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(path.x[1, 8:], path.x[1, 8:9].repeat(8, 0))


def test_gradients() -> None:
    """With respect to the start and c: x_T = (I + 2ctA)⁻¹ x0, and where and when a path meets a face."""

    def measured(c: jax.Array, x: jax.Array) -> jax.Array:
        """Where the first path ends, and when the second one, which runs away, leaves."""
        problem = hj.Problem(hj.hamiltonians.Quadratic(c), 0.0, hj.initials.Quadratic(), line(1.0), T)
        signs = jnp.array([[1.0], [-1.0]])
        path = run(problem, lambda p, t, x: signs * 2 * x / (1 + 4 * C * t), x, 20, walls=True)
        return path.x[0, -1, 0] + path.end[1]

    by_c, by_x = jax.jit(jax.grad(measured, argnums=(0, 1)))(jnp.asarray(C), jnp.array([[0.3], [0.9]]))
    # dx/ds = ∓4cx/(1 + 4Ct): x falls as (1 + 4Ct)^(c/C), or rises as its inverse, from 0.9 to 1
    t = ((1 + 4 * C * T) * 0.9 - 1) / (4 * C)
    rate = 4 * C / (1 + 4 * C * t)
    # Runge-Kutta of order 3 in 20 steps
    np.testing.assert_allclose(by_x[:, 0], [SHRINK, -1 / (0.9 * rate)], rtol=1e-4)
    np.testing.assert_allclose(by_c, 0.3 * SHRINK * np.log(SHRINK) / C + np.log(0.9) / C / rate, rtol=1e-4)


def test_the_gradient_of_noisy_paths_is_that_of_the_paths() -> None:
    """√(2ε) multiplies the same draws, in a linear equation: X_T − E X_T ∝ √ε."""

    def spread(epsilon: jax.Array) -> jax.Array:
        problem = hj.Problem(hj.hamiltonians.Quadratic(1.0), epsilon, hj.initials.Quadratic(), line(1.0), T)
        x = jnp.zeros((3, 1))
        return run(problem, lambda _, t, x: 2 * x, x, 8, key=jax.random.key(0)).x[0, -1, 0]

    value, slope = jax.jit(jax.value_and_grad(spread))(jnp.asarray(0.1))
    np.testing.assert_allclose(slope, value / 0.2, rtol=1e-12)


DISCOUNT, RADIUS = 0.4, 0.25


@pytest.mark.slow
def test_paths_of_an_eikonal_problem_arrive_after_the_time_that_is_u() -> None:
    """λu + |∇u| = 1 outside a disc: straight lines at speed 1, for the cost (1 − e^{−λτ})/λ of the time τ."""
    problem = hj.StationaryProblem(
        hj.hamiltonians.Eikonal(),
        0.0,
        hj.Box([-1.0, -1.0], [1.0, 1.0]),
        discount=DISCOUNT,
        target=hj.Target(lambda x: jnp.sqrt(jnp.sum(x**2)) - RADIUS),
        source=1.0,
    )
    solution = hj.solve(problem, FastSweeping(40))
    x0 = np.array([[0.9, 0.8], [0.3, -0.7], [-0.5, 0.0], [-0.9, 0.1], [0.1, 0.1]])
    path = solution.trajectory(x0, t=1.5)
    times = np.maximum(np.hypot(*x0.T) - RADIUS, 0.0)
    print(path.end - times, np.asarray(path.cost[:, -1]) - (1 - np.exp(-DISCOUNT * times)) / DISCOUNT)
    assert path.arrived.all() and not path.left.any()
    # the slopes of a first-order scheme are 2% off across the rays, and the detour is of second order in that
    np.testing.assert_allclose(path.end, times, rtol=0, atol=1e-3)
    np.testing.assert_allclose(path.cost[:, -1], (1 - np.exp(-DISCOUNT * path.end)) / DISCOUNT, rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.hypot(*np.asarray(path.x[:4, -1]).T), RADIUS, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(path.x[4], np.tile(x0[4], (201, 1)))  # there already
    u = np.asarray(solution.u[0])[[np.argmin(((solution.points - x) ** 2).sum(1)) for x in x0[:4]]]
    np.testing.assert_allclose(path.cost[:4, -1], u, rtol=0, atol=0.03)  # u is Δx log(1/Δx) off


def test_a_discounted_regulator_costs_u_at_any_time() -> None:
    """λu + cp² = qx² has u = Px², 4cP² + λP = q, and x falls as e^{−4cPs}."""
    q = 1.3
    P = (np.sqrt(DISCOUNT**2 + 16 * C * q) - DISCOUNT) / (8 * C)
    problem = hj.StationaryProblem(
        hj.hamiltonians.Quadratic(C), 0.0, line(1.0), discount=DISCOUNT, source=lambda x: q * x[0] ** 2
    )
    x0 = np.array([[0.8], [-0.5]])
    path = hj.solve(problem, FastSweeping(20, order=3)).trajectory(x0, t=1.5)
    s = np.asarray(path.s)
    np.testing.assert_allclose(path.x[..., 0], x0 * np.exp(-4 * C * P * s), rtol=0, atol=1e-7)  # dt³ (4cP)⁴/24
    rest = np.exp(-DISCOUNT * s) * P * np.asarray(path.x[..., 0]) ** 2
    np.testing.assert_allclose(path.cost + rest, np.tile(P * x0**2, len(s)), rtol=0, atol=1e-7)
    np.testing.assert_allclose(path.end, 1.5, rtol=1e-15)
    with pytest.raises(ValueError, match=r"`t` is needed: how long to follow"):
        solution = eqx.tree_at(lambda s: s.problem, bowl(20), problem)
        eqx.tree_at(lambda s: s.method, solution, FastSweeping(20)).trajectory([0.5])


@pytest.mark.slow
def test_paths_stop_where_u_meets_the_ceiling() -> None:
    """At the price 1 a unit of time, from |x| <= 1 it is best to go to 0 and stop there: u = |x| under 2|x|."""
    price = hj.hamiltonians.WithPotential(hj.hamiltonians.Eikonal(), lambda x: jnp.ones(x.shape[1:]))
    data = hj.initials.Custom(lambda x: 2 * jnp.abs(x[0]))
    with jax.enable_x64(False):  # single precision is as good here
        problem = hj.Problem(price, 0.0, data, line(1.0), 1.0, ceiling=data)
        path = hj.solve(problem, FD(40), np.linspace(0.05, 1.0, 20)).trajectory([[0.6], [-0.8], [0.01]])
        assert path.x.dtype == path.cost.dtype == path.end.dtype == jnp.float32
    assert path.result == hj.RESULTS.successful
    x0, cell = np.array([0.6, 0.8, 0.01], np.float32), 0.05
    assert not path.left.any() and not path.arrived.any()
    np.testing.assert_allclose(path.end, x0, rtol=0, atol=cell)
    np.testing.assert_allclose(path.cost[:, -1] + 2 * np.abs(path.x[:, -1, 0]), x0, rtol=0, atol=cell)
    np.testing.assert_array_equal(path.x[2], x0[2])


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
