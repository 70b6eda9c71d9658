"""Fast sweeping against exact arrival times, manufactured solutions and SciPy's distance transform.

A program takes longer to compile than to run: tests of arrival times differ in numbers and share programs of 80² cells,
and a coarse grid is the same number of cells on a larger domain, looked at where both are.
"""

import functools

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
SQUARE, FOURFOLD = (hj.Box([-1.0, -1.0], [end, end]) for end in (1.0, 3.0))
CENTRES, RADII = np.array([[-0.4, 0.1], [0.5, 0.3]]), np.array([0.2, 0.15])
BEND, START, CORNER = 0.6, np.array([0.1, -0.2]), np.array([-0.5, -0.5])


def to_discs(x: np.ndarray) -> np.ndarray:
    return np.maximum((np.linalg.norm(x[:, None] - CENTRES, axis=2) - RADII).min(1), 0.0)


def to_disc(x: np.ndarray) -> np.ndarray:
    return np.maximum(np.linalg.norm(x - CENTRES[0], axis=1) - 0.2, 0.0)


def time_from_start(x):
    """Where the speed is s(x) = 1 + bx₂: arccosh(1 + b²|x − x0|²/(2 s(x) s(x0)))/b, which has no slope at x0."""
    start = jnp.asarray(START, x.dtype)
    x = jnp.where(jnp.all(x == start), start + 1e-6, x)
    speeds = (1 + BEND * x[1]) * (1 + BEND * start[1])
    return jnp.arccosh(1 + BEND**2 * jnp.sum((x - start) ** 2) / (2 * speeds)) / BEND


def blend(shares, radii, x):
    """Two discs, what is reached by a time of 0.3 where speeds bend, and a square, by their shares."""
    centres, corner = jnp.asarray(CENTRES, x.dtype), jnp.asarray(CORNER, x.dtype)
    discs = jnp.min(jnp.linalg.norm(x - centres, axis=1) - radii)
    return shares @ jnp.stack([discs, time_from_start(x) - 0.3, jnp.max(jnp.abs(x - corner)) - 0.1])


def slowness(bend, block, height, x):
    """1/(1 + bx₂), and `height` inside of a block given by two of its corners."""
    inside = jnp.all((block[0] < x) & (x < block[1]))
    return jnp.where(inside, height, 1 / (1 + bend * x[1]))


def target(shares, radii=RADII) -> hj.Target:
    return hj.Target(eqx.Partial(blend, np.array(shares, float), np.asarray(radii)))


DISCS, BALL, CUBE = (target(row) for row in np.eye(3))
DISC = target([1, 0, 0], [0.2, -np.inf])
NO_BLOCK = (np.inf, -np.inf), (np.inf, -np.inf)


def arrival(to=DISCS, domain=SQUARE, *, bend=0.0, block=NO_BLOCK, height=1.0, speed=1.0) -> hj.StationaryProblem:
    """All of one type; `block` names an interval for each axis."""
    source = eqx.Partial(slowness, np.asarray(bend), np.transpose(block), np.asarray(height))
    return hj.StationaryProblem(H.Eikonal(speed), 0.0, domain, target=to, source=source)


def errors(problem: hj.StationaryProblem, exact, domains, cells: int, **options) -> tuple[np.ndarray, np.ndarray]:
    """(largest, mean) error by domain, of nodes in the last of them, the smallest."""
    found = []
    for domain in domains:
        solution = hj.solve(eqx.tree_at(lambda p: p.domain, problem, domain), FS(cells, **options))
        inside = np.asarray(domains[-1].contains(solution.points, slack=1e-9))
        error = np.abs(solution.u[0] - exact(np.asarray(solution.points)))[inside]
        found.append((error.max(), error.mean()))
    print(found, orders([e for _, e in found]))
    return np.array(found).T


def test_distance_to_two_discs_at_first_order_in_a_bounded_number_of_sweeps() -> None:
    solutions = [hj.solve(arrival(DISCS, domain), FS(80)) for domain in (FOURFOLD, SQUARE)]
    misses = [np.abs(s.u[0] - to_discs(np.asarray(s.points))) for s in solutions]
    largest = [e[SQUARE.contains(s.points, slack=1e-9)].max() for e, s in zip(misses, solutions, strict=True)]
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


@pytest.mark.slow
def test_third_order_sweeps_on_a_smooth_solution() -> None:
    largest, mean = errors(arrival(DISC), to_disc, (FOURFOLD, SQUARE), 80, order=3)
    assert orders(mean)[0] > 2.3  # rises to 2.8 at 200 cells: the disc is 8 cells wide at 40
    assert largest[1] < 3e-4


def test_linear_speed_has_the_arccosh_times_of_geophysics() -> None:
    """From a disc on which T is prescribed as cost: the ball around x0 is a level set of T itself."""
    exact = lambda x: np.maximum(np.asarray(jax.vmap(time_from_start)(x)), 0.3) - 0.3
    first, _ = errors(arrival(BALL, bend=BEND), exact, (FOURFOLD, SQUARE), 80)
    assert orders(first)[0] > 0.8
    _, third = errors(arrival(BALL, bend=BEND), exact, (FOURFOLD, SQUARE), 80, order=3)
    assert orders(third)[0] > 2.2
    assert third[1] < 1e-4


def test_distance_transform_of_scipy_in_three_dimensions() -> None:
    n, domain = 24, hj.Box([0.0] * 3, [24.0] * 3)
    seeds = np.array([[3, 4, 5], [18, 20, 9]])
    cubes = hj.Target(lambda x: jnp.min(jnp.max(jnp.abs(x - seeds), axis=1)) - 2.0)  # of nodes
    solution = hj.solve(hj.StationaryProblem(H.Eikonal(), 0.0, domain, target=cubes, source=1.0), FS(n))
    marked = np.abs(np.asarray(solution.points)[:, None] - seeds).max(2).min(1).reshape((n + 1,) * 3) > 2 + 1e-9
    u = np.asarray(solution.u[0]).reshape(marked.shape)
    error = u - distance_transform_edt(marked)
    # rays around edges: h log h, 1.3 cells were measured; where two fronts meet a node joins both, and is 0.34 too low
    assert error.min() > -0.5
    assert error.max() < 1.5


def test_walls_are_never_entered_and_a_maze_is_walked_round() -> None:
    """A wall of zero speed across the square with a gap: the way leads through it, and the wall keeps a large value."""
    wall = (-0.1, 0.1), (-np.inf, 0.5)
    solution = hj.solve(arrival(CUBE, FOURFOLD, block=wall, height=1e30), FS(80))
    x, u = np.asarray(solution.points), np.asarray(solution.u[0])
    assert np.isfinite(u).all()
    inside = (np.abs(x[:, 0]) < 0.09) & (x[:, 1] < 0.49)
    assert u[inside].min() > 1e20
    behind = u[np.linalg.norm(x - [0.5, -0.5], axis=1).argmin()]
    corner = np.array([[-0.1, 0.5], [0.1, 0.5]])
    shortest = np.hypot(0.3, 0.9) + 0.2 + np.linalg.norm(corner[1] - [0.5, -0.5])
    assert 0 <= behind - shortest < 0.2  # first order, Δx = 0.05, and a corner that is rounded by a node


def test_nothing_moves_where_the_speed_is_zero() -> None:
    solution = hj.solve(arrival(DISC, block=((0.5, np.inf), (-np.inf, np.inf)), height=np.inf), FS(80))
    assert solution.stats["unreached"] > 0
    assert np.isfinite(solution.u).all()
    assert np.asarray(solution.u[0])[np.asarray(solution.points)[:, 0] < 0.45].max() < 3.0


def beyond(half, x):
    return half - jnp.abs(x[0])


@pytest.mark.parametrize("kind", ["faces", "target", "Lax-Friedrichs"])
def test_discounted_exit_with_a_kink(kind: str) -> None:
    """λu + |u'| = 1, u(±L) = 0: u = (1 − e^{−λ(L−|x|)})/λ, with a kink at 0. On 120 cells, L = 2 and 1."""
    rate, hamiltonian, found = 1.5, H.Eikonal(), []
    if kind == "Lax-Friedrichs":
        hamiltonian = H.Custom(lambda t, x, p: jnp.abs(p[0]), bound=lambda t, x, low, high: jnp.ones_like(low))
    for half in (2.0, 1.0):
        domain, goal = hj.Box([-1.2 * half], [1.2 * half]), hj.Target(eqx.Partial(beyond, np.asarray(half)))
        if kind == "faces":
            domain, goal = hj.Box([-half], [half], boundary=hj.boundaries.Dirichlet(0.0)), None
        problem = hj.StationaryProblem(hamiltonian, 0.0, domain, discount=rate, target=goal, source=1.0)
        solution = hj.solve(problem, FS(120))
        depth = np.maximum(half - np.abs(solution.points[:, 0]), 0.0)
        found.append(np.abs(solution.u[0] - (1 - np.exp(-rate * depth)) / rate).max())
    print(kind, found, orders(found))
    assert orders(found)[0] > 0.9
    assert found[1] < 5e-3


def test_without_a_target_the_state_is_constrained_and_costs_the_source() -> None:
    """λu + |∇u| = 1 in a box that cannot be left: nothing is better than waiting, u = 1/λ."""
    solution = hj.solve(hj.StationaryProblem(H.Eikonal(), 0.0, SQUARE, discount=2.0, source=1.0), FS(10))
    np.testing.assert_allclose(solution.u, 0.5, rtol=1e-14)


def manufactured(hamiltonian, epsilon: float, d: int = 2, rate: float = 1.5) -> hj.StationaryProblem:
    """u = Σ sin πx_i on a torus, of one wave an axis."""
    u = lambda x: jnp.sum(jnp.sin(jnp.pi * x))

    def source(x):
        curved = epsilon * jnp.trace(jax.hessian(u)(x))
        return rate * u(x) + hamiltonian(jnp.zeros(()), x, jax.grad(u)(x)) - curved

    return hj.StationaryProblem(hamiltonian, epsilon, hj.Torus([-1.0] * d, [1.0] * d), discount=rate, source=source)


@pytest.mark.parametrize(
    ("hamiltonian", "order", "least"),
    [
        (H.Quadratic(0.7), 1, 0.8),
        pytest.param(H.Quadratic(0.7), 3, 2.3, marks=pytest.mark.slow),
        (H.Custom(lambda t, x, p: 0.3 * jnp.sum(jnp.sin(p) + 0.5 * p**2, axis=0)), 3, 2.3),
    ],
    ids=["first", "third", "third, not convex"],
)
def test_orders_on_a_smooth_viscous_discounted_equation(hamiltonian, order: int, least: float) -> None:
    exact = lambda x: np.sin(np.pi * x).sum(1)
    domains = [hj.Torus([-waves] * 2, [waves] * 2) for waves in (2.0, 1.0)]
    _, mean = errors(manufactured(hamiltonian, 0.05), exact, domains, 48, order=order)
    assert orders(mean)[0] > least


def square(speed, t, x, p):
    return speed * jnp.sum(p**2, axis=0)


def near_disc(radius, x):
    return jnp.linalg.norm(x - CENTRES[0]) - radius


def bowl(slope, x):
    return 1 + slope * x[0] ** 2


HAMILTONIANS = {
    "Godunov": (H.Quadratic, 1),
    "third": (H.Eikonal, 3),
    "Lax-Friedrichs": (lambda speed: H.Custom(eqx.Partial(square, speed)), 1),
}


@functools.cache
def mean_square(name: str):
    """θ to the mean of u², with u itself, and its derivative: one program for both."""
    hamiltonian, order = HAMILTONIANS[name]

    def total(theta):
        slope, speed, radius, cost = theta
        goal = hj.Target(eqx.Partial(near_disc, radius), cost=cost)
        problem = hj.StationaryProblem(hamiltonian(speed), 0.0, SQUARE, target=goal, source=eqx.Partial(bowl, slope))
        u = hj.solve(problem, FS(40, order=order, tolerance=1e-13, max_sweeps=4000), throw=False).u
        return jnp.mean(u**2), u[0]

    return jax.jit(jax.value_and_grad(total, has_aux=True))


@pytest.mark.slow
def test_godunov_and_lax_friedrichs_agree() -> None:
    """|∇u|² = 1 solved by both: each is within its first-order error of the distance."""
    one, other = (mean_square(name)(jnp.array([0.0, 1.0, 0.2, 0.0]))[0][1] for name in ("Godunov", "Lax-Friedrichs"))
    assert np.abs(one - other).max() < 0.05  # Δx = 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", list(HAMILTONIANS))
def test_gradient_of_the_fixed_point_is_that_of_finite_differences(name: str) -> None:
    """With respect to the source, the speed, the target's radius and its cost."""
    theta, step, function = jnp.array([0.5, 1.3, 0.23, 0.1]), 1e-5, mean_square(name)
    shifts = step * np.eye(4)
    expected = [(function(theta + shift)[0][0] - function(theta - shift)[0][0]) / (2 * step) for shift in shifts]
    # central differences: step² and 1e-13/step; third-order sweeps stop at 1e-12 of u, which 1/step makes 1e-7
    np.testing.assert_allclose(function(theta)[1], expected, rtol=0, atol=2e-6)


@pytest.mark.slow
def test_a_batch_of_speeds() -> None:
    speeds = jnp.array([0.5, 1.0, 2.0])
    batch = eqx.filter_vmap(lambda s: hj.solve(arrival(DISC, speed=s), FS(80)).u[0])(speeds)
    np.testing.assert_allclose(batch, hj.solve(arrival(DISC), FS(80)).u / speeds[:, None], rtol=1e-12)


@pytest.mark.slow
def test_float32() -> None:
    with jax.enable_x64(False):
        solution = hj.solve(arrival(DISC), FS(40))
        assert solution.u.dtype == jnp.float32
        assert np.abs(solution.u[0] - to_disc(np.asarray(solution.points))).max() < 0.04  # as in float64


def test_periodic_axes_and_unequal_spacings() -> None:
    """Distance to a line through a strip: exact along its axis, whatever the other one does."""
    domain = hj.Box([0.0, 0.0], [1.0, 4.0], periodic=[True, False])
    strip = hj.Target(lambda x: jnp.abs(x[1] - 1.03) - 0.1)
    solution = hj.solve(hj.StationaryProblem(H.Eikonal(), 0.0, domain, target=strip, source=1.0), FS((8, 50)))
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
        hj.solve(manufactured(H.Quadratic(0.7), 0.05, d=1), FS(16, max_sweeps=4))


def test_nan_is_reported() -> None:
    problem = arrival(block=((0.9, np.inf), (-np.inf, np.inf)), height=np.nan)
    assert hj.solve(problem, FS(80), throw=False).result == hj.RESULTS.nonfinite
