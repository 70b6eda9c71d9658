import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import cauchy_1d, central, orders
from scipy.integrate import quad
from scipy.stats import ncx2, norm, qmc

import hjsolve as hj
from hjsolve.methods.particle import noise, paths, variance
from hjsolve.methods.particle.noise import _bridge, _directions, _scrambled

FeynmanKac = hj.methods.particle.FeynmanKac
H = hj.hamiltonians
PLANE = np.random.default_rng(0).uniform(-1, 1, size=(3, 2))
F = np.array([[0.5, -1.0], [0.7, 0.2]])


WAVES = hj.exact.Periodic(2.0, [0.8], [[np.pi, 2 * np.pi]], 0.3, phases=[0.3])


def bent(shares, waves, x):
    """Data of one type, by their shares, so that tests share programs."""
    square = jnp.sum(x * x)
    wavy = jnp.sin(3 * x[0]) + 0.3 * x[0] ** 2
    return shares @ jnp.stack([jnp.sqrt(1 + square), 0.3 * jnp.sum(x), wavy, jnp.abs(x[0]), 0.5 * square, waves(x)])


CURVED, SLOPED, WAVY, KINKED, ROUND, PERIODIC = np.eye(6)


def free(shares, viscosity, c=1.0, d: int = 2) -> hj.Problem:
    """H = c|p|²: no drift and no potential."""
    waves = hj.exact.Periodic(2.0, [0.8], [[np.pi, 2 * np.pi][:d] + [0.0] * (d - 2)], 0.3, phases=[0.3])
    data = hj.initials.Custom(eqx.Partial(bent, shares, waves.problem(cube(d)).initial))
    return hj.Problem(H.Quadratic(c), viscosity, data, cube(d), 1.0)


def on_points(exact, t: float, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    u, gradient = on_all(exact, jnp.asarray(t), jnp.asarray(points))
    return np.asarray(u), np.asarray(gradient)


@eqx.filter_jit
def on_all(exact, t, points):
    return jax.vmap(jax.value_and_grad(exact, argnums=1), (None, 0))(t, points)


def slope(exact, t, x):
    return jax.grad(exact, argnums=1)(t, x)


def cube(d: int) -> hj.Box:
    return hj.Box([-1.0] * d, [1.0] * d)


def turn(F, t, x):
    return jnp.tensordot(F, x, axes=1)


TURNED = H.WithDrift(H.Quadratic(0.8), eqx.Partial(turn, F))


def standard_error(solution: hj.Solution) -> np.ndarray:
    return np.asarray(solution.stats["standard_error"][-1])


def test_without_drift_or_potential_it_is_the_gaussian_average() -> None:
    g = lambda x: np.sin(3 * x) + 0.3 * x**2
    x = np.array([-0.8, 0.1, 0.9])
    solution = hj.solve(free(WAVY, 0.4, 0.7), FeynmanKac(), [0.2, 0.5], points=np.stack([x, PLANE[:, 1]], axis=1))
    for row, t in zip(solution.u, (0.2, 0.5), strict=True):
        expected = [cauchy_1d(g, t, place, 0.4, 0.7) for place in x]
        # the tails make the error of 1024 Sobol points about 1/1024 of a normal, a quarter of that over 16 batches
        np.testing.assert_allclose(row, expected, rtol=0, atol=5e-4)
    for row, t in zip(solution.gradient, (0.2, 0.5), strict=True):
        slopes = [central(lambda z, t=t: cauchy_1d(g, t, z, 0.4, 0.7), place, 1e-3) for place in x]
        np.testing.assert_allclose(row[:, 0], slopes, rtol=0, atol=5e-3)
        np.testing.assert_allclose(row[:, 1], 0.0, rtol=0, atol=1e-14)


def test_periodic_data() -> None:
    solution = hj.solve(free(PERIODIC, 0.3), FeynmanKac(), [0.1, 0.3], points=PLANE)
    u, gradient = on_points(WAVES, 0.3, PLANE)
    assert (np.abs(solution.u[1] - u) < 5 * standard_error(solution)).all()
    assert standard_error(solution).max() < 2e-4
    # ∇u is of size 0.3·2π, with the same relative error of a few 1e-3 as w − w̄
    np.testing.assert_allclose(solution.gradient[1], gradient, rtol=0, atol=5e-3)


def blended(shares, exact, nodes, table, t, x):
    """The slope of a closed form, and one read off a coarse table in time and space, by their shares."""
    read = jnp.interp(x, nodes, table[jnp.round(t * 8).astype(int)])
    return shares @ jnp.stack([slope(exact, t, x), read])


HARMONIC = hj.exact.Harmonic(1.3, 0.4, viscosity=0.3, dimension=2)


def harmonic(exact, steps: int, shares) -> hj.Solution:
    """At t = 1, guided by ∇u itself, by a coarse table of it that is 5% too small, or not at all."""
    nodes = np.linspace(-1.5, 1.5, 61)
    places = np.stack([nodes, 0 * nodes], axis=1)
    table = np.stack([0.95 * on_points(exact, t, places)[1][:, 0] for t in np.linspace(0, 1, 9)])
    guide = variance.Feedback(eqx.Partial(blended, np.array(shares), exact, nodes, table))
    return hj.solve(exact.problem(), FeynmanKac(steps=steps, guide=guide), [1.0], points=PLANE)


@pytest.mark.slow
def test_a_potential_is_integrated_to_second_order() -> None:
    u, gradient = on_points(HARMONIC, 1.0, PLANE)
    coarse, fine = (harmonic(HARMONIC, n, [1.0, 0.0]) for n in (4, 8))  # leaves little but the time step's error
    errors = [np.abs(s.u[0] - u).max() for s in (coarse, fine)]
    print("potential: errors", errors, "order", orders(errors), "error bar", standard_error(fine).max())
    # error bars of 2% and 8% of the errors, and the next term of the expansion
    np.testing.assert_allclose(orders(errors), 2.0, atol=0.3)
    np.testing.assert_allclose(fine.gradient[0], gradient, rtol=0, atol=5e-2)  # about four times the error in u


def of_discrete_paths(advance, noise, x: np.ndarray, S: np.ndarray, epsilon: float, c: float, n: int) -> np.ndarray:
    """−(ε/c) log E exp(−(c/ε)½XᵀSX) for X' = AX + Bξ√(2ε/n), n times from x: a Gaussian in closed form."""
    mean, covariance = np.eye(2), np.zeros((2, 2))
    for _ in range(n):
        mean = advance @ mean
        covariance = advance @ covariance @ advance.T + 2 * epsilon / n * noise @ noise.T
    spread = np.eye(2) + c / epsilon * covariance @ S
    ends = x @ mean.T
    energy = 0.5 * np.einsum("mi,ij,mj->m", ends, S @ np.linalg.inv(spread), ends)
    return energy + epsilon / (2 * c) * np.log(np.linalg.det(spread))


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "order"), [(paths.EulerMaruyama(), 1), (paths.Heun(), 2)])
def test_a_drift_is_followed_by_the_scheme_to_its_order(scheme, order: int) -> None:
    """H = 0.8|p|² + Fx·p with quadratic data: the scheme's own expectation, which has its order."""
    S = np.array([[1.0, 0.2], [0.2, 0.5]])
    exact = hj.exact.LinearQuadratic(F, 0.8 * np.eye(2), S, viscosity=0.2)
    u, gradient = on_points(exact, 1.0, PLANE)

    def expected(n: int) -> np.ndarray:
        one, dt = np.eye(2), 1 / n
        advance, noise = (one - dt * F, one) if order == 1 else (one - dt * F + dt**2 * F @ F / 2, one - dt * F / 2)
        return of_discrete_paths(advance, noise, PLANE, S, 0.2, 0.8, n)

    np.testing.assert_allclose(orders([np.abs(expected(n) - u).max() for n in (32, 64)]), order, atol=0.1)
    p = hj.Problem(TURNED, 0.2, hj.initials.Quadratic(S), cube(2), 1.0)
    solution = hj.solve(p, FeynmanKac(steps=4, scheme=scheme), [1.0], points=PLANE)
    print(type(scheme).__name__, np.abs(solution.u[0] - u).max(), standard_error(solution).max())
    assert (np.abs(solution.u[0] - expected(4)) < 5 * standard_error(solution)).all()
    # the bars tell this expectation from the solution itself
    assert standard_error(solution).max() < 0.1 * np.abs(expected(4) - u).max()
    if order == 2:
        np.testing.assert_allclose(solution.gradient[0], gradient, rtol=0, atol=2e-2)  # the error of four steps


@pytest.mark.slow
def test_a_nonlinear_drift_and_a_potential_against_a_grid() -> None:
    drift = lambda t, x: (1 + t) * jnp.sin(x)
    hamiltonian = H.WithPotential(H.WithDrift(H.Quadratic(1.0), drift), lambda x: 0.5 * jnp.cos(x[0]))
    p = hj.Problem(hamiltonian, 0.3, hj.initials.Custom(lambda x: jnp.cos(x[0])), hj.Torus([-np.pi], [np.pi]), 0.6)
    x = np.array([[-2.0], [0.3], [1.5]])
    grid = hj.solve(p, hj.methods.grid.FiniteDifference(200), [0.6], points=x)
    solution = hj.solve(p, FeynmanKac(steps=16), [0.6], points=x)
    assert (np.abs(solution.u[0] - grid.u[0]) < 4 * standard_error(solution) + 1e-4).all()  # 1e-4 for the time step
    assert standard_error(solution).max() < 5e-3
    np.testing.assert_allclose(solution.gradient[0], grid.gradient[0], rtol=0, atol=3e-2)


def bowl(k, x):
    return k * jnp.sum(x * x, axis=0)


def test_linear_equations_are_plain_means() -> None:
    exact = hj.exact.LinearQuadratic(F, np.zeros((2, 2)), np.eye(2), viscosity=0.2)
    u, gradient = on_points(exact, 1.0, PLANE)

    def solved(F, k: float, curvature: float, t: float) -> hj.Solution:
        linear = H.WithPotential(H.Linear(eqx.Partial(turn, F)), eqx.Partial(bowl, np.asarray(k)))
        p = hj.Problem(linear, 0.2, hj.initials.Quadratic(curvature), cube(2), 1.0)
        return hj.solve(p, FeynmanKac(steps=16), [t], points=PLANE)

    solution = solved(F, 0.0, 1.0, 1.0)
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=2e-3)  # Heun's (1/16)²
    np.testing.assert_allclose(solution.gradient[0], gradient, rtol=0, atol=5e-3)
    # g = 0, V = |x|², no drift: u = t|x|² + dεt², which the trapezoid rule integrates exactly in the mean
    solution = solved(0 * F, 1.0, 0.0, 0.5)
    expected = 0.5 * (PLANE**2).sum(1) + 2 * 0.2 * 0.25
    assert (np.abs(solution.u[0] - expected) < 5 * standard_error(solution)).all()
    np.testing.assert_allclose(solution.u[0], expected, rtol=0, atol=1e-4)


def test_varying_viscosity_by_euler_maruyama() -> None:
    """u_t = ε₀x²u_xx from x²: x²e^{2ε₀t}; Euler-Maruyama's own expectation is x²(1 + 2ε₀dt)^N."""
    viscosity = hj.viscosities.Varying(lambda t, x: 0.3 * x[0] ** 2)
    p = hj.Problem(H.Linear([0.0]), viscosity, hj.initials.Custom(lambda x: x[0] ** 2), cube(1), 1.0)
    x = np.array([[0.5], [-1.2]])
    n = 4
    solution = hj.solve(p, FeynmanKac(steps=n), [1.0], points=x)
    expected = x[:, 0] ** 2 * (1 + 0.6 / n) ** n
    assert (np.abs(solution.u[0] - expected) < 5 * standard_error(solution)).all()
    np.testing.assert_allclose(solution.u[0], expected, rtol=1e-2)  # X² is heavy-tailed
    np.testing.assert_allclose(solution.gradient[0, :, 0], 2 * expected / x[:, 0], rtol=2e-2)


def test_a_hundred_dimensions() -> None:
    """The deep-BSDE benchmark: 4.590161724605."""
    exact = hj.exact.DeepBSDE(100, 1.0)
    solution = hj.solve(exact.problem(), FeynmanKac(), [1.0], points=np.zeros((1, 100)))
    error = float(solution.u[0, 0]) - 4.590161724605
    print("HJB-100: relative error", error / 4.59, "standard error", standard_error(solution) / 4.59)
    assert abs(error) < 4 * standard_error(solution)[0]
    assert abs(error) < 2e-3 * 4.59  # what the literature reaches
    assert np.abs(solution.gradient).max() < 1e-2


AWAY, KEYS = np.array([[0.5, -0.2, 0.1]]), 128


@eqx.filter_jit
def repeated(problem: hj.Problem, method: FeynmanKac) -> tuple[jax.Array, jax.Array]:
    """U and its standard error for each key."""

    def run(key):
        evaluation = hj.solve(problem, method, [1.0], points=AWAY, key=key)
        return evaluation.u[0, 0], evaluation.stats["standard_error"][0, 0]

    return jax.vmap(run)(jax.random.split(jax.random.key(5), KEYS))


INDEPENDENT = FeynmanKac(1024, noise=noise.Independent())
REDUCED = FeynmanKac(
    1024, noise=noise.Antithetic(), guide=variance.OpenLoop(iterations=8), control=variance.QuadraticControl()
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "low"),
    [
        (INDEPENDENT, 0.90),
        (REDUCED, 0.88),  # β is estimated from the same paths
        # 16 batches: Student's t with 15 degrees of freedom covers 93% at 1.96
        (FeynmanKac(1024), 0.88),
    ],
    ids=["independent", "reduced", "sobol"],
)
def test_the_standard_error_covers_the_truth(method: FeynmanKac, low: float) -> None:
    # X is normal with variance 2ε = 0.8, so that |X|²/0.8 is noncentral χ² and the average one integral
    density = lambda r: 2 * r / 0.8 * ncx2.pdf(r * r / 0.8, 3, float(np.sum(AWAY**2)) / 0.8)
    truth = -0.4 * np.log(quad(lambda r: np.exp(-np.sqrt(1 + r * r) / 0.4) * density(r), 0, 12, epsrel=1e-11)[0])
    u, error = repeated(free(CURVED, 0.4, d=3), method)
    share = float(jnp.mean(jnp.abs(u - truth) < 1.96 * error))
    print("coverage", share, "spread over mean error bar", float(jnp.std(u) / jnp.mean(error)))
    # 128 trials of 95%: a standard deviation of 1.9%; the bias O(1/1024) of the logarithm takes a little
    assert low <= share <= 0.995


@pytest.mark.parametrize(
    ("shares", "viscosity", "method", "least"),
    [
        (CURVED, 0.2, FeynmanKac(1024), 10),
        (CURVED, 0.08, FeynmanKac(1024, noise=noise.Independent(), guide=variance.OpenLoop(iterations=8)), 1.5),
        pytest.param(
            CURVED,
            0.2,
            FeynmanKac(1024, noise=noise.Independent(), control=variance.QuadraticControl()),
            10,
            marks=pytest.mark.slow,
        ),
        pytest.param(CURVED, 0.2, REDUCED, 20, marks=pytest.mark.slow),
        # nearly linear under the Gibbs weight: strong noise, a gentle slope
        (SLOPED, 5.0, FeynmanKac(1024, noise=noise.Antithetic()), 5),
    ],
    ids=["sobol", "guide", "control", "all", "antithetic"],
)
def test_variance_reduction_each_on_its_own_case(shares, viscosity: float, method: FeynmanKac, least: float) -> None:
    """The spread over keys, and what the error bars say of it."""
    problem = free(shares, viscosity, d=3)
    (plain, bars), (reduced, reduced_bars) = repeated(problem, INDEPENDENT), repeated(problem, method)
    factors = float(jnp.var(plain) / jnp.var(reduced)), float(jnp.mean(bars**2) / jnp.mean(reduced_bars**2))
    print("variance reduced by", factors)
    # each factor required is about half of what is measured, so that other keys pass too
    assert min(factors) > least


def test_a_coarse_solution_guides_the_paths() -> None:
    exact = hj.exact.Harmonic(0.5, 1.0, viscosity=0.1, dimension=2)
    u, _ = on_points(exact, 1.0, PLANE)
    plain = (standard_error(harmonic(exact, 8, [0.0, 0.0])) ** 2).max()
    for shares, least in (([1.0, 0.0], 100), ([0.0, 1.0], 100)):
        solution = harmonic(exact, 8, shares)
        print("variance reduced by", plain / (standard_error(solution) ** 2).max())
        assert plain / (standard_error(solution) ** 2).max() > least
        print(solution.stats["effective_sample_size"] / 16384, np.abs(solution.u[0] - u).max())
        # the optimal control: equal weights, but for the eight steps
        assert (np.asarray(solution.stats["effective_sample_size"]) > 0.75 * 16384).all()
        np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=2e-3)  # the time step's, which no guide changes


OFF = np.array([[0.8, 0.1], [-0.3, 0.4]])


@eqx.filter_jit
@eqx.filter_vmap
def guided(epsilon, shares):
    """At the times 0 and 1, by paths that an open loop guides, for a batch of problems."""
    solution = hj.solve(
        free(shares, epsilon), FeynmanKac(4096, guide=variance.OpenLoop()), [0.0, 1.0], points=OFF, throw=False
    )
    return solution.u, solution.gradient, solution.stats["standard_error"], solution.result == hj.RESULTS.successful


@pytest.mark.slow
def test_a_guide_reaches_small_viscosities_and_the_failure_without_it_is_flagged() -> None:
    u, _ = on_points(hj.exact.AbsoluteValue(viscosity=1e-3), 1.0, OFF[:, :1])
    with pytest.warns(hj.HJWarning, match="effective sample size fell below 50"):
        plain = hj.solve(free(KINKED, 1e-3), FeynmanKac(), [0.5, 1.0], points=np.resize(OFF, (3, 2)))
    assert plain.result == hj.RESULTS.under_sampled
    assert np.abs(plain.u[1, :2] - u).max() > 0.05
    values, _, errors, successful = guided(jnp.full(3, 1e-3), jnp.stack([KINKED] * 3))
    assert successful.all()
    assert (np.abs(values[0, 1] - u) < 5 * errors[0, 1]).all()
    np.testing.assert_allclose(values[0, 1], u, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_batches_over_problems_and_time_zero() -> None:
    epsilons = np.array([0.1, 0.5, 1e-3])
    values, slopes, _, _ = guided(jnp.asarray(epsilons), jnp.stack([ROUND, ROUND, KINKED]))
    square = (OFF**2).sum(1) / 2
    np.testing.assert_allclose(values[:, 0], [square, square, np.abs(OFF[:, 0])], rtol=0, atol=1e-14)
    np.testing.assert_allclose(slopes[:2, 0], [OFF, OFF], rtol=0, atol=1e-14)
    expected = square / 3 + epsilons[:2, None] * np.log(3)
    np.testing.assert_allclose(values[:2, 1], expected, rtol=0, atol=5e-3)  # 4096 samples
    u, _ = on_points(hj.exact.AbsoluteValue(viscosity=1e-3), 1.0, OFF[:, :1])
    np.testing.assert_allclose(values[2, 1], u, rtol=0, atol=1e-4)


def test_sobol_points_are_those_of_scipy_and_scrambling_keeps_their_balance() -> None:
    count, m = 7, 6
    v = _directions(count, m)
    expected = np.round(qmc.Sobol(count, scramble=False, bits=30).random(2**m) * 2**30).astype(np.uint32)
    points = np.zeros((2**m, count), np.uint32)
    for j in range(m):
        points ^= np.where((np.arange(2**m) >> j & 1)[:, None] == 1, v[:, j], 0).astype(np.uint32)
    assert set(map(tuple, points)) == set(map(tuple, expected))
    scramble = jax.jit(lambda key: _scrambled(key, count, m))
    scrambled = np.asarray(scramble(jax.random.key(1)))
    for row in scrambled:  # each of the 64 intervals holds one point, in every coordinate
        assert sorted(row >> (30 - m)) == list(range(2**m))
    pairs = np.stack([scrambled[0] >> (30 - 3), scrambled[1] >> (30 - 3)])
    assert len(set(map(tuple, pairs.T))) == 64  # a (0, 6, 2)-net: the first two coordinates fill every cell of 8 x 8
    other = np.asarray(scramble(jax.random.key(2)))
    assert (other != scrambled).any()


@pytest.mark.parametrize("steps", [1, 2, 5, 16])
def test_the_bridge_is_orthogonal_and_its_first_coordinate_is_the_end(steps: int) -> None:
    q = _bridge(steps)
    np.testing.assert_allclose(q @ q.T, np.eye(steps), atol=1e-13)
    np.testing.assert_allclose(q[:, 0], 1 / np.sqrt(steps), atol=1e-14)
    if steps == 16:  # the second one moves the middle and leaves the end
        np.testing.assert_allclose(q[:, 1], np.repeat([0.25, -0.25], 8), atol=1e-14)


@pytest.mark.parametrize("kind", [noise.Independent(), noise.Antithetic(), noise.Sobol()])
def test_noise_is_standard_normal(kind) -> None:
    for dtype in (True, False):
        with jax.enable_x64(dtype):
            xi = np.asarray(jax.jit(lambda key: kind.draw(key, 3, 2, 4096))(jax.random.key(0)), float)
        assert xi.shape == (3, 2, 4096)
        assert np.isfinite(xi).all()
        flat = xi.reshape(6, -1)
        np.testing.assert_allclose(flat @ flat.T / 4096, np.eye(6), atol=0.1)  # six standard deviations
        grid = np.linspace(-2, 2, 9)
        found = (flat[:, :, None] < grid).mean(1)
        np.testing.assert_allclose(found, np.broadcast_to(norm.cdf(grid), found.shape), atol=0.05)


def test_gradients_in_the_numbers_of_the_problem_and_points() -> None:
    x = jnp.asarray([[0.4, -0.2]])

    def u(epsilon, c, a, x):
        p = hj.Problem(H.Quadratic(c), epsilon, hj.initials.Quadratic(a), cube(2), 1.0)
        solution = hj.solve(p, FeynmanKac(4096), [1.0], points=x)
        return solution.u[0, 0], solution.gradient[0]

    slopes, gradient = jax.jit(jax.grad(u, argnums=(0, 1, 2, 3), has_aux=True))(0.3, 0.7, 1.3, x)

    def closed(e, c, a, x):
        return 0.5 * a / (1 + 2 * c * a) * jnp.sum(x * x) + e / c * jnp.log(1 + 2 * c * a)

    expected = jax.jit(jax.grad(closed, argnums=(0, 1, 2, 3)))(0.3, 0.7, 1.3, x)
    # the derivative of the average is an average with its own error, some 1e-3 of it
    for found, wanted in zip(slopes, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-3)
    # ∇u is the derivative of the computed u itself
    np.testing.assert_allclose(slopes[3], gradient, rtol=0, atol=1e-12)


def test_float32() -> None:
    u, _ = on_points(HARMONIC, 1.0, PLANE)
    method = lambda exact, share: FeynmanKac(
        4096, guide=variance.Feedback(eqx.Partial(guide_by, np.asarray(share), exact))
    )
    with jax.enable_x64(False):
        solution = hj.solve(HARMONIC.problem(), method(HARMONIC, 1.0), [1.0], points=PLANE)
    assert solution.u.dtype == np.float32
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=2e-3)  # sampling and the time step, not round-off
    sharp = hj.exact.Harmonic(1.3, 0.4, viscosity=1e-4, dimension=2)
    with jax.enable_x64(False):  # osc(g)/ε = 1e4: nothing overflows, and the flag is up
        with pytest.warns(hj.HJWarning, match="effective sample size"):
            solution = hj.solve(sharp.problem(), method(sharp, 0.0), [1.0], points=PLANE)
        assert np.isfinite(solution.u).all()
        assert np.isfinite(solution.gradient).all()


def guide_by(share, exact, t, x):
    return share * slope(exact, t, x)


def run(p: hj.Problem, method: FeynmanKac):
    return hj.solve(p, method, [0.5], points=np.zeros((1, p.dimension)))


EASY = hj.Problem(H.Quadratic(1.0), 0.3, hj.initials.Norm(), cube(1), 1.0)
TRANSPORT = hj.Problem(H.Linear([1.0]), 0.3, hj.initials.Norm(), cube(1), 1.0)
VARYING = hj.viscosities.Varying(lambda t, x: 0.1 + 0 * x[0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FeynmanKac(2), r"`samples` must be a whole number >= 4; got 2"),
        (lambda: FeynmanKac(steps=0), r"`steps` must be a whole number >= 1; got 0"),
        (lambda: FeynmanKac(batches=1), r"`batches` must be a whole number >= 2; got 1"),
        (lambda: FeynmanKac(1000), r"`samples` must be a multiple of `batches`; got 1000 and 16"),
        (lambda: variance.OpenLoop(samples=3), r"`samples` must be even and >= 2; got 3"),
        (lambda: variance.OpenLoop(iterations=0), r"`iterations` must be >= 1; got 0"),
        (lambda: variance.QuadraticControl(5), r"`samples` must be even and >= 2; got 5"),
        (lambda: run(EASY, FeynmanKac(4800)), r"`samples / batches` must be a power of two for Sobol; got 300"),
        (
            lambda: run(EASY, FeynmanKac(16 * 3, noise=noise.Antithetic())),
            r"`samples / batches` must be even for Antithetic; got 3",
        ),
        (
            lambda: run(hj.Problem(TURNED, 0.3, hj.initials.Norm(), cube(2), 1.0), FeynmanKac(steps=20000)),
            r"`steps` x noise components must be <= 21201 for Sobol; got 20000 x 2",
        ),
        (
            lambda: run(hj.Problem(H.Eikonal(), 0.1, hj.initials.Norm(), cube(1), 1.0), FeynmanKac()),
            r"FeynmanKac needs `hamiltonian` = Quadratic\(c\) or Linear\(b\).*got Eikonal.*DeepBSDE",
        ),
        (
            lambda: run(hj.Problem(H.Quadratic(), 0.1, hj.initials.Atoms([[0.0]], [0.0]), cube(1), 1.0), FeynmanKac()),
            r"needs `initial` to be a function; got Atoms.*HopfCole",
        ),
        (
            lambda: run(hj.Problem(H.Quadratic(), 0.0, hj.initials.Norm(), cube(1), 1.0), FeynmanKac()),
            r"`viscosity` must be > 0; got 0\.0\. At 0 the average is a minimum: use HopfLax",
        ),
        (
            lambda: run(hj.Problem(H.Quadratic(), VARYING, hj.initials.Norm(), cube(1), 1.0), FeynmanKac()),
            r"needs a constant `viscosity` for c\|p\|²; got Varying",
        ),
        (
            lambda: run(TRANSPORT, FeynmanKac(guide=variance.OpenLoop())),
            r"`guide` needs c\|p\|² in the Hamiltonian",
        ),
        (
            lambda: run(TRANSPORT, FeynmanKac(control=variance.QuadraticControl())),
            r"`control` needs a constant `viscosity` and no drift",
        ),
        (
            lambda: run(
                hj.Problem(H.Linear([1.0]), VARYING, hj.initials.Norm(), cube(1), 1.0), FeynmanKac(scheme=paths.Heun())
            ),
            r"Heun needs a constant `viscosity`; got Varying. Use EulerMaruyama",
        ),
        (
            lambda: run(
                hj.Problem(H.Quadratic(), 0.1, hj.initials.Custom(lambda x: x[0]), hj.Torus([0.0], [1.0]), 1.0),
                FeynmanKac(),
            ),
            r"`initial` must be periodic for FeynmanKac",
        ),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
