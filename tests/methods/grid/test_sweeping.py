"""Fast sweeping against exact arrival times, manufactured solutions and SciPy's distance transform."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.ndimage import distance_transform_edt

import hjsolve as hj

H = hj.hamiltonians
FS = hj.methods.grid.FastSweeping
SQUARE = hj.Box([-1.0, -1.0], [1.0, 1.0])
CENTRES, RADII = np.array([[-0.4, 0.1], [0.5, 0.3]]), np.array([0.2, 0.15])


def to_discs(x: np.ndarray) -> np.ndarray:
    return np.maximum((np.linalg.norm(x[:, None] - CENTRES, axis=2) - RADII).min(1), 0.0)


DISCS = hj.Target(lambda x: jnp.min(jnp.linalg.norm(x - CENTRES, axis=1) - RADII))
DISC = hj.Target(lambda x: jnp.linalg.norm(x - CENTRES[0]) - 0.2)


def arrival(target: hj.Target = DISCS, domain: hj.Box = SQUARE, **options) -> hj.StationaryProblem:
    return hj.StationaryProblem(H.Eikonal(), 0.0, domain, target=target, **{"source": 1.0, **options})


def errors(problem: hj.StationaryProblem, exact, cells, **options) -> tuple[np.ndarray, np.ndarray]:
    """(largest, mean) error by grid."""
    found = []
    for n in cells:
        solution = hj.solve(problem, FS(n, **options))
        error = np.abs(solution.u[0] - exact(np.asarray(solution.points)))
        found.append((error.max(), error.mean()))
    print(found, orders([e for _, e in found]))
    return np.array(found).T


def test_distance_to_two_discs_at_first_order_in_a_bounded_number_of_sweeps() -> None:
    solutions = [hj.solve(arrival(), FS(n)) for n in (40, 80)]
    largest = [np.abs(s.u[0] - to_discs(np.asarray(s.points))).max() for s in solutions]
    # rarefactions around discs cost h log h: 0.8 is what that leaves of 1 here
    assert orders(largest)[0] > 0.8
    assert largest[1] < 0.02
    # one round reaches every node, a second one finds nothing to change
    assert [int(s.stats["sweeps"]) for s in solutions] == [8, 8]
    assert solutions[1].stats["residual"] < 1e-12
    assert solutions[1].stats["unreached"] == 0
    u, gradient = solutions[1].u[0], solutions[1].gradient[0]
    away = np.asarray(u) > 0.05
    # Godunov's upwind gradient has length 1 wherever neither side is a minimum
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=1)[away], 1.0, atol=1e-10)


def test_third_order_sweeps_on_a_smooth_solution() -> None:
    exact = lambda x: np.maximum(np.linalg.norm(x - CENTRES[0], axis=1) - 0.2, 0.0)
    largest, mean = errors(arrival(DISC), exact, (40, 80), order=3)
    assert orders(mean)[0] > 2.3  # rises to 2.8 at 200 cells: the disc is 8 cells wide at 40
    assert largest[1] < 3e-4


def test_linear_speed_has_the_arccosh_times_of_geophysics() -> None:
    """s(y) = a + by: T = arccosh(1 + b²|x − x0|²/(2 s(x) s(x0)))/b, from a disc on which T is prescribed as cost."""
    a, b, x0 = 1.0, 0.6, np.array([0.1, -0.2])
    speed = lambda x: a + b * x[1]
    time = lambda x: jnp.arccosh(1 + b**2 * jnp.sum((x - x0) ** 2) / (2 * speed(x) * speed(x0))) / b
    # the ball around x0 is a level set of T itself
    target = hj.Target(lambda x: jnp.where(jnp.all(x == x0), -0.3, time(jnp.where(jnp.all(x == x0), x + 1, x)) - 0.3))
    exact = lambda x: np.maximum(np.asarray(jax.vmap(time)(x)), 0.3) - 0.3
    problem = arrival(target, source=lambda x: 1 / speed(x))
    first, _ = errors(problem, exact, (32, 64))
    assert orders(first)[0] > 0.8
    _, third = errors(problem, exact, (32, 64), order=3)
    assert orders(third)[0] > 2.2
    assert third[1] < 1e-4


def test_distance_transform_of_scipy_in_three_dimensions() -> None:
    n, domain = 24, hj.Box([0.0] * 3, [24.0] * 3)
    seeds = np.array([[3, 4, 5], [18, 20, 9]])
    target = hj.Target(lambda x: jnp.min(jnp.max(jnp.abs(x - seeds), axis=1)) - 2.0)  # two cubes of nodes
    solution = hj.solve(arrival(target, domain), FS(n))
    marked = np.asarray(jax.vmap(target.distance)(solution.points)).reshape((n + 1,) * 3) > 1e-9
    u = np.asarray(solution.u[0]).reshape(marked.shape)
    error = u - distance_transform_edt(marked)
    # rays around edges: h log h, 1.3 cells were measured; where two fronts meet a node joins both, and is 0.34 too low
    assert error.min() > -0.5
    assert error.max() < 1.5


def test_walls_are_never_entered_and_a_maze_is_walked_round() -> None:
    """A wall of zero speed across the square with a gap: the way leads through it, and the wall keeps a large value."""
    wall = lambda x: (jnp.abs(x[0]) < 0.1) & (x[1] < 0.5)
    start = np.array([-0.5, -0.5])
    target = hj.Target(lambda x: jnp.max(jnp.abs(x - start)) - 0.1)
    solution = hj.solve(arrival(target, source=lambda x: jnp.where(wall(x), 1e30, 1.0)), FS(40))
    x, u = np.asarray(solution.points), np.asarray(solution.u[0])
    assert np.isfinite(u).all()
    inside = (np.abs(x[:, 0]) < 0.09) & (x[:, 1] < 0.49)
    assert u[inside].min() > 1e20
    behind = u[np.linalg.norm(x - [0.5, -0.5], axis=1).argmin()]
    corner = np.array([[-0.1, 0.5], [0.1, 0.5]])
    shortest = np.hypot(0.3, 0.9) + 0.2 + np.linalg.norm(corner[1] - [0.5, -0.5])
    assert 0 <= behind - shortest < 0.2  # first order, Δx = 0.05, and a corner that is rounded by a node


def test_nothing_moves_where_the_speed_is_zero() -> None:
    problem = hj.StationaryProblem(
        H.Eikonal(), 0.0, SQUARE, target=DISC, source=lambda x: jnp.where(x[0] > 0.5, jnp.inf, 1.0)
    )
    solution = hj.solve(problem, FS(20))
    assert solution.stats["unreached"] > 0
    assert np.isfinite(solution.u).all()
    assert np.asarray(solution.u[0])[np.asarray(solution.points)[:, 0] < 0.45].max() < 3.0


@pytest.mark.parametrize("kind", ["faces", "target", "Lax-Friedrichs"])
def test_discounted_exit_with_a_kink(kind: str) -> None:
    """λu + |u'| = 1, u(±1) = 0: u = (1 − e^{−λ(1−|x|)})/λ, with a kink at 0."""
    rate = 1.5
    exact = lambda x: np.maximum((1 - np.exp(-rate * (1 - np.abs(x[:, 0])))) / rate, 0.0)
    hamiltonian = H.Eikonal()
    if kind == "Lax-Friedrichs":
        hamiltonian = H.Custom(lambda t, x, p: jnp.abs(p[0]), bound=lambda t, x, low, high: jnp.ones_like(low))
    if kind == "faces":
        domain, target = hj.Box([-1.0], [1.0], boundary=hj.boundaries.Dirichlet(0.0)), None
    else:
        domain, target = hj.Box([-1.2], [1.2]), hj.Target(lambda x: 1 - jnp.abs(x[0]))
    problem = hj.StationaryProblem(hamiltonian, 0.0, domain, discount=rate, target=target, source=1.0)
    largest, _ = errors(problem, exact, (60, 120))
    assert orders(largest)[0] > 0.9
    assert largest[1] < 5e-3


def test_without_a_target_the_state_is_constrained_and_costs_the_source() -> None:
    """λu + |∇u| = 1 in a box that cannot be left: nothing is better than waiting, u = 1/λ."""
    solution = hj.solve(hj.StationaryProblem(H.Eikonal(), 0.0, SQUARE, discount=2.0, source=1.0), FS(10))
    np.testing.assert_allclose(solution.u, 0.5, rtol=1e-14)


def manufactured(hamiltonian, epsilon: float, rate: float = 1.5) -> hj.StationaryProblem:
    """u = sin πx + sin πy on the torus."""
    u = lambda x: jnp.sum(jnp.sin(jnp.pi * x))

    def source(x):
        curved = epsilon * jnp.trace(jax.hessian(u)(x))
        return rate * u(x) + hamiltonian(jnp.zeros(()), x, jax.grad(u)(x)) - curved

    return hj.StationaryProblem(hamiltonian, epsilon, hj.Torus([-1.0] * 2, [1.0] * 2), discount=rate, source=source)


@pytest.mark.parametrize(
    ("hamiltonian", "order", "least"),
    [
        (H.Quadratic(0.7), 1, 0.8),
        (H.Quadratic(0.7), 3, 2.3),
        (H.Custom(lambda t, x, p: 0.3 * jnp.sum(jnp.sin(p) + 0.5 * p**2, axis=0)), 3, 2.3),
    ],
    ids=["first", "third", "third, not convex"],
)
def test_orders_on_a_smooth_viscous_discounted_equation(hamiltonian, order: int, least: float) -> None:
    exact = lambda x: np.sin(np.pi * x).sum(1)
    _, mean = errors(manufactured(hamiltonian, 0.05), exact, (24, 48), order=order)
    assert orders(mean)[0] > least


def test_godunov_and_lax_friedrichs_agree() -> None:
    """|∇u|² = 1 solved by both: each is within its first-order error of the distance."""
    one, other = (
        hj.solve(hj.StationaryProblem(h, 0.0, SQUARE, target=DISC, source=1.0), FS(40)).u[0]
        for h in (H.Quadratic(), H.Custom(lambda t, x, p: jnp.sum(p**2, axis=0)))
    )
    assert np.abs(one - other).max() < 0.05  # Δx = 0.05


def mean_square(theta: jax.Array, hamiltonian, order: int) -> jax.Array:
    slowness, speed, radius, cost = theta
    distance = eqx.Partial(lambda r, x: jnp.linalg.norm(x - CENTRES[0]) - r, radius)
    source = eqx.Partial(lambda a, x: 1 + a * x[0] ** 2, slowness)
    problem = hj.StationaryProblem(
        hamiltonian(speed), 0.0, SQUARE, target=hj.Target(distance, cost=cost), source=source
    )
    return jnp.mean(hj.solve(problem, FS(20, order=order, tolerance=1e-13, max_sweeps=4000), throw=False).u ** 2)


@pytest.mark.parametrize(
    ("hamiltonian", "order"),
    [
        (H.Eikonal, 1),
        (H.Eikonal, 3),
        (lambda s: H.Custom(eqx.Partial(lambda s, t, x, p: s * jnp.sum(p**2, axis=0), s)), 1),
    ],
    ids=["first", "third", "Lax-Friedrichs"],
)
def test_gradient_of_the_fixed_point_is_that_of_finite_differences(hamiltonian, order: int) -> None:
    """With respect to the source, the speed, the target's radius and its cost."""
    theta = jnp.array([0.5, 1.3, 0.23, 0.1])
    function = eqx.filter_jit(lambda theta: mean_square(theta, hamiltonian, order))
    found = jax.grad(lambda theta: mean_square(theta, hamiltonian, order))(theta)
    step = 1e-5
    expected = [(function(theta.at[k].add(step)) - function(theta.at[k].add(-step))) / (2 * step) for k in range(4)]
    # central differences: step² and 1e-13/step; third-order sweeps stop at 1e-12 of u, which 1/step makes 1e-7
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_a_batch_of_speeds() -> None:
    speeds = jnp.array([0.5, 1.0, 2.0])
    solve = lambda s: hj.solve(hj.StationaryProblem(H.Eikonal(s), 0.0, SQUARE, target=DISC, source=1.0), FS(10)).u[0]
    batch = eqx.filter_vmap(solve)(speeds)
    np.testing.assert_allclose(batch, solve(1.0)[None] / speeds[:, None], rtol=1e-12)


def test_float32() -> None:
    with jax.enable_x64(False):
        target = hj.Target(lambda x: jnp.sqrt((x[0] + 0.4) ** 2 + (x[1] - 0.1) ** 2) - 0.2)
        solution = hj.solve(arrival(target), FS(40))
        assert solution.u.dtype == jnp.float32
        exact = np.maximum(np.linalg.norm(np.asarray(solution.points) - CENTRES[0], axis=1) - 0.2, 0.0)
        assert np.abs(solution.u[0] - exact).max() < 0.04  # as in float64


def test_periodic_axes_and_unequal_spacings() -> None:
    """Distance to a line through a strip: exact along its axis, whatever the other one does."""
    domain = hj.Box([0.0, 0.0], [1.0, 4.0], periodic=[True, False])
    solution = hj.solve(arrival(hj.Target(lambda x: jnp.abs(x[1] - 1.03) - 0.1), domain), FS((8, 50)))
    exact = np.maximum(np.abs(np.asarray(solution.points)[:, 1] - 1.03) - 0.1, 0.0)
    np.testing.assert_allclose(solution.u[0], exact, rtol=0, atol=1e-12)  # straight rays from an exact first layer


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"`target` holds no node.*Widen"):
        hj.solve(arrival(hj.Target(lambda x: jnp.linalg.norm(x - 0.013) - 1e-3)), FS(10))
    with pytest.raises(ValueError, match=r"`ts` must be left out"):
        hj.solve(arrival(), FS(10), [0.5])
    with pytest.raises(ValueError, match=r"`order` must be 1 or 3"):
        FS(10, order=2)
    with pytest.raises(ValueError, match=r"`cells` must have one entry per axis"):
        hj.solve(arrival(), FS((10, 10, 10)))
    with pytest.raises(TypeError, match=r"does not solve a StationaryProblem"):
        hj.solve(arrival(), hj.methods.grid.FiniteDifference(10))
    with pytest.raises(RuntimeError, match=r"stopped before its tolerance"):
        hj.solve(manufactured(H.Quadratic(0.7), 0.05), FS(16, max_sweeps=8))


def test_nan_is_reported() -> None:
    problem = arrival(source=lambda x: jnp.where(x[0] > 0.9, jnp.nan, 1.0))
    assert hj.solve(problem, FS(10), throw=False).result == hj.RESULTS.nonfinite
