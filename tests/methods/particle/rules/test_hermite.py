"""Two to five dimensions: Laplace-centred Gauss-Hermite and its fallback, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive, logsumexp

import hjsolve as hj

HopfCole = hj.methods.particle.HopfCole
RNG = np.random.default_rng(0)  # drawn from here at import alone
SLOPES = {d: RNG.normal(size=(6, d)) for d in (2, 3)}
OFFSETS = 0.2 * RNG.normal(size=6)
X = {d: RNG.uniform(-1, 1, size=(12, d)) for d in (2, 3)}
TIMES = np.array([0.05, 1.0])


@eqx.filter_jit
def _on_all(exact, times, x):
    return jax.vmap(jax.vmap(jax.value_and_grad(exact, argnums=1), (None, 0)), (0, None))(times, x)


def on_all(exact, times, x):
    return _on_all(exact, jnp.asarray(times), jnp.asarray(x))


def blend(shares, planes, matrix, x):
    waves = jnp.sum(jnp.cos(2 * jnp.pi * x))
    return shares @ jnp.stack([planes(x), jnp.sum(jnp.abs(x)), waves, 0.5 * x @ matrix @ x])


PLANES, KINKS, WAVES, PARABOLA = np.eye(4)
ROUND = np.eye(2)


def in_the_plane(shares, epsilon: float, *, c=1.0, matrix=ROUND, domain=None, ts=TIMES, x=X[2]) -> hj.Solution:
    """From a smooth minimum of planes, |x|_1, waves and ½xᵀAx by their shares: data of one type, compiled once."""
    planes = hj.exact.MultiShock(SLOPES[2], OFFSETS, epsilon or 0.1).problem().initial
    initial = hj.initials.Custom(eqx.Partial(blend, shares, planes, np.asarray(matrix)))
    domain = hj.Box([-1.0] * 2, [1.0] * 2) if domain is None else domain
    p = hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, initial, domain, 5.0)
    return hj.solve(p, HopfCole(), ts, points=x)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 1e-2, 1e-3, 1e-6])
def test_travelling_shocks(epsilon: float) -> None:
    """Several narrow modes at once for small ε, one wide one for large ε."""
    exact = hj.exact.MultiShock(SLOPES[2], OFFSETS, epsilon)
    solution = in_the_plane(PLANES, epsilon)
    u, slope = on_all(exact, TIMES, X[2])
    # the check between orders is 1e-8 or better, and the rule taken is the better of the two
    np.testing.assert_allclose(solution.u, u, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(solution.gradient, slope, rtol=0, atol=1e-6)
    assert solution.result == hj.RESULTS.successful


def quadratic_solution(x: np.ndarray, t: float, A: np.ndarray, epsilon: float, c: float) -> np.ndarray:
    """½xᵀSx + (ε/2c) log det(I + 2ctA), S = A(I + 2ctA)⁻¹."""
    M = np.eye(len(A)) + 2 * c * t * A
    return 0.5 * np.einsum("mi,ij,mj->m", x, A @ np.linalg.inv(M), x) + epsilon / (2 * c) * np.log(np.linalg.det(M))


@pytest.mark.parametrize(
    ("A", "epsilon", "c"),
    [
        ([[1.0, 0.2], [0.2, -0.3]], 0.1, 1.0),
        pytest.param([[1.0, 0.2], [0.2, 0.6]], 0.05, 0.5, marks=pytest.mark.slow),
        pytest.param([[40.0, 0.0], [0.0, 40.0]], 0.5, 1.0, marks=pytest.mark.slow),
    ],
)
def test_quadratic_data(A, epsilon: float, c: float) -> None:
    """Also steep: the search follows what matters, not the largest slope."""
    A = np.array(A)
    solution = in_the_plane(PARABOLA, epsilon, c=c, matrix=A)
    for row, slope, t in zip(solution.u, solution.gradient, TIMES, strict=True):
        # round-off: a few ulp of the largest energies
        np.testing.assert_allclose(row, quadratic_solution(X[2], t, A, epsilon, c), rtol=1e-12, atol=1e-13)
        S = A @ np.linalg.inv(np.eye(2) + 2 * c * t * A)
        np.testing.assert_allclose(slope, X[2] @ S, rtol=1e-12, atol=1e-12)
    assert solution.result == hj.RESULTS.successful


@pytest.mark.filterwarnings("ignore::hjsolve.HJWarning")
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 1e-3, 1e-6])
def test_kinks_along_the_axes(epsilon: float) -> None:
    """|x|_1 is a sum over the axes, and so is its solution."""
    one = hj.exact.AbsoluteValue(epsilon)
    solution = in_the_plane(KINKS, epsilon)
    parts = [on_all(one, TIMES, X[2][:, k : k + 1])[0] for k in (0, 1)]
    # where the minimiser is a corner the panels are split at the kinks; else a kink may cross them: O(h²) times ε
    np.testing.assert_allclose(solution.u, parts[0] + parts[1], rtol=0, atol=2e-3 * epsilon + 1e-12)
    change = np.asarray(solution.stats["order_change"])
    # a kink 4 or 5 widths off the minimiser is seen by neither order: e^{−4.8²/2} = 1e-5
    assert (np.abs(solution.u - parts[0] - parts[1]).max(1) <= epsilon * (2 * change + 1e-5) + 1e-12).all()
    assert (solution.result == hj.RESULTS.successful) == (change.max() <= 3e-4)


def line_of_waves(x: np.ndarray, t: float, epsilon: float) -> np.ndarray:
    """From cos 2πx: u = −ε log Σ_n (−1)^n I_n(1/ε) e^{−4π²εn²t} cos 2πnx, by SciPy's Bessel functions."""
    n = np.arange(-200, 201)
    shares = (-1.0) ** n * ive(n, 1 / epsilon) * np.exp(-epsilon * (2 * np.pi * n) ** 2 * t)
    return -epsilon * np.log(np.cos(2 * np.pi * x[..., None] * n) @ shares) - 1.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hjsolve.HJWarning")
@pytest.mark.parametrize("domain", [hj.Torus([-0.5] * 2, [0.5] * 2), hj.Box([-0.5] * 2, [0.5] * 2)], ids=["T", "R"])
def test_many_modes(domain) -> None:
    """Up to 150 modes matter, thirteen to a side: on the torus, and on all of R^2."""
    x = 0.5 * X[2]
    for epsilon, ts in [(0.05, [0.5, 5.0]), (0.1, [0.5, 5.0]), (1.0, [0.5, 1.0])]:
        solution = in_the_plane(WAVES, epsilon, domain=domain, ts=ts, x=x)
        for k, t in enumerate(ts):
            error = np.abs(np.asarray(solution.u[k]) - line_of_waves(x, t, epsilon).sum(1)).max()
            change = float(solution.stats["order_change"][k])
            # the error in u is ε times that of the mass, and far less than the change between two orders
            assert error <= epsilon * change + 1e-9
            if all(domain.periodic) or t < 1:
                assert error < 1e-9
                assert change <= 1e-3
        assert (solution.result == hj.RESULTS.successful) == (float(solution.stats["order_change"].max()) <= 3e-4)


def tilted_wells(x):
    return jnp.sum((x**2 - 1) ** 2 / 4 + 0.1 * x)


def tilted_well(x: float, t: float, epsilon: float) -> float:
    """The factor of one axis, by a sum over 120001 nodes."""
    y = np.linspace(-6, 6, 120_001)
    scores = -((y**2 - 1) ** 2 / 4 + 0.1 * y + (x - y) ** 2 / (4 * t)) / epsilon
    return -epsilon * (logsumexp(scores) + np.log(y[1] - y[0]) - 0.5 * np.log(4 * np.pi * epsilon * t))


@pytest.mark.slow
def test_the_lowest_of_sixteen_wells_on_a_coarse_grid_of_starts() -> None:
    """In 4-D the grid has nine nodes an axis; at this point it showed a well that is 9 ε/c too high."""
    x = np.array([[0.6265404784, 0.8255111546, 0.2132715516, 0.4589931220], [-0.3, 0.9, 0.4, -0.8]])
    for t, epsilon in ((1.0, 1e-3), (1000.0, 1e-2)):
        wells = hj.Problem(
            hj.hamiltonians.Quadratic(), epsilon, hj.initials.Custom(tilted_wells), hj.Box([-2.0] * 4, [2.0] * 4), t
        )
        solution = hj.solve(wells, hj.methods.particle.HopfCole(), [t], points=x)
        expected = [sum(tilted_well(a, t, epsilon) for a in row) for row in x]
        np.testing.assert_allclose(solution.u[0], expected, rtol=0, atol=1e-7)


def test_without_viscosity() -> None:
    """A kinked datum by its closed form, a concave one by a search over a fine grid."""
    solution = in_the_plane(KINKS, 0.0)
    u, slope = zip(*(on_all(hj.exact.AbsoluteValue(0.0), TIMES, X[2][:, k : k + 1]) for k in (0, 1)), strict=True)
    np.testing.assert_allclose(solution.u, u[0] + u[1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(solution.gradient, np.concatenate(slope, axis=2), rtol=0, atol=1e-6)  # √ulp along kinks
    solution = in_the_plane(PLANES, 0.0)
    g = jax.jit(jax.vmap(jax.value_and_grad(hj.exact.MultiShock(SLOPES[2], OFFSETS, 0.1).problem().initial)))
    feet = X[2] - 2 * np.asarray(solution.gradient[1])
    value, slope = g(feet)
    np.testing.assert_allclose(slope, solution.gradient[1], rtol=0, atol=1e-13)  # the minimum is stationary
    np.testing.assert_allclose(value + ((X[2] - feet) ** 2).sum(1) / 4, solution.u[1], rtol=0, atol=1e-14)
    axis = np.linspace(-8, 8, 801)
    nodes = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    values = np.asarray(g(nodes)[0])
    lowest = [(values + ((x - nodes) ** 2).sum(1) / 4).min() for x in X[2]]
    # and it is the global one: the grid's is higher by at most curvature times (0.01)²/2 an axis
    assert (np.asarray(solution.u[1]) <= lowest).all()
    np.testing.assert_allclose(solution.u[1], lowest, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_three_dimensions_and_derivatives_in_the_data_viscosity_c_time_and_place() -> None:
    def weighed(u):
        def total(*numbers):
            value, pullback = jax.vjp(u, *numbers)
            return value, pullback(jnp.cos(jnp.arange(24.0)).reshape(2, 12))

        return jax.jit(total)

    @weighed
    def mine(k, epsilon, c, times, x):
        initial = hj.exact.MultiShock(k, OFFSETS, epsilon, c).problem().initial
        p = hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, initial, hj.Box([-1.0] * 3, [1.0] * 3), 1.0)
        return hj.solve(p, HopfCole(), times, points=x).u

    @weighed
    def theirs(k, epsilon, c, times, x):
        exact = hj.exact.MultiShock(k, OFFSETS, epsilon, c)
        return jax.vmap(lambda t: jax.vmap(lambda z: exact(t, z))(x))(times)

    for epsilon in (0.1, 1e-3):
        numbers = (jnp.asarray(SLOPES[3]), *map(jnp.asarray, (epsilon, 0.8, TIMES, X[3])))
        (u, slopes), (expected, others) = mine(*numbers), theirs(*numbers)
        # the check between orders is 1e-8 or better
        np.testing.assert_allclose(u, expected, rtol=1e-8, atol=1e-9)
        for one, other in zip(slopes, others, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_float32() -> None:
    exact = hj.exact.MultiShock(SLOPES[2], OFFSETS, 0.1)
    with jax.enable_x64(False):
        solution = hj.solve(exact.problem(), HopfCole(), TIMES, points=X[2])
    assert solution.u.dtype == np.float32
    # a few ulp of energies up to 3, summed over thousands of nodes
    np.testing.assert_allclose(solution.u, on_all(exact, TIMES, X[2])[0], rtol=0, atol=1e-5)
