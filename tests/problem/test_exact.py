"""Every exact solution against something that does not share its formula."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from hjsolve.problem import Box, Torus, exact, initials

SEEDS = st.integers(0, 2**32 - 1)
EPSILONS = st.floats(-4, 0).map(lambda e: 10.0**e)


def semidefinite(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T


def places(rng, d, latest, reach=1.0, n=16):
    return jnp.asarray(rng.uniform(0.02, 1, n) * latest), jnp.asarray(rng.uniform(-reach, reach, (n, d)))


@eqx.filter_jit
def batched(solution, t, x):
    return jax.vmap(lambda x: solution(t, x))(x)


def at(solution, t, x):
    return batched(solution, jnp.asarray(t), jnp.asarray(x)[None])[0]


@eqx.filter_jit
def defects(problem, solution, t, x):
    """The residual, the size of its terms, and u(0, ·) − g, at a batch of places."""

    def one(t, x):
        u_t, p = jax.grad(solution, argnums=(0, 1))(t, x)
        start = solution(jnp.zeros_like(t), x) - problem.initial(x)
        return problem.residual(solution, t, x), jnp.abs(u_t) + jnp.abs(problem.hamiltonian(t, x, p)), start

    return jax.vmap(one)(t, x)


def assert_solves(solution, t, x, tolerance=1e-11):
    """The equation holds to `tolerance` of its terms, and the initial data are met.

    1e-11: second derivatives of sums of exponentials lose a few digits, up to 1/ε of an ulp at shocks.
    """
    problem = solution.problem()
    residual, scale, start = map(np.asarray, defects(problem, solution, t, x))
    assert np.isfinite(residual).all()
    assert (np.abs(residual) <= tolerance * (scale + 1e-3 * scale.max())).all(), np.abs(residual / scale).max()
    # Round-off: the same function by another route.
    np.testing.assert_allclose(start, 0, atol=1e-13)


def hopf_cole(g, t, x, epsilon, c, marks):
    """−(ε/c) log ∫ (4πεt)^{-1/2} exp(−(c/ε)(g(y) + (x−y)²/(4ct))) dy to 20 digits; `marks` are minima and kinks."""
    with mp.workdps(25):
        t, x, epsilon, c = (mp.mpf(float(v)) for v in (t, x, epsilon, c))
        marks = [mp.mpf(float(m)) for m in marks]
        width = mp.sqrt(2 * epsilon * t)

        def energy(y):
            return g(y) + (x - y) ** 2 / (4 * c * t)

        lowest = min(energy(m) for m in marks)
        # 14 kernel widths beyond the outermost mark the integrand is below e^{-98}.
        steps = (-14, -9, -6, -4, -2, -1, 0, 1, 2, 4, 6, 9, 14)
        ends = sorted({m + k * width for m in marks for k in steps})
        integral = mp.quad(lambda y: mp.exp(-c * (energy(y) - lowest) / epsilon), ends)
        return float(lowest - epsilon / c * mp.log(integral / mp.sqrt(4 * mp.pi * epsilon * t)))


# --- the equation -----------------------------------------------------------------------------------------------------


@given(seed=SEEDS, epsilon=EPSILONS | st.just(0.0), c=st.floats(0.3, 3.0))
def test_quadratic_solves(seed, epsilon, c):
    rng = np.random.default_rng(seed)
    assert_solves(exact.Quadratic(semidefinite(rng, 3), c, epsilon), *places(rng, 3, 1.0))


def test_quadratic_of_a_number_is_that_of_a_multiple_of_the_identity():
    x = jnp.array([0.3, -0.8, 1.1])
    number, matrix = exact.Quadratic(0.7, 1.3, 0.2), exact.Quadratic(0.7 * np.eye(3), 1.3, 0.2)
    # A few ulp.
    np.testing.assert_allclose(at(number, 0.6, x), at(matrix, 0.6, x), rtol=1e-14)


def test_quadratic_is_nan_from_its_blow_up_on():
    # Eigenvalues −1, −1: det(I + 2tA) is positive again past t = 1/2, the solution is not.
    solution = exact.Quadratic(-np.eye(2), 1.0, 0.1)
    assert np.isfinite(at(solution, 0.49, np.ones(2)))
    assert np.isnan(at(solution, 0.75, np.ones(2)))
    assert np.isnan(at(exact.Quadratic(-1.0, 1.0, 0.1), 0.75, np.ones(2)))


@given(seed=SEEDS, epsilon=EPSILONS | st.just(0.0), k=st.floats(0.1, 4.0), ratio=st.floats(-1.0, 5.0))
def test_harmonic_solves(seed, epsilon, k, ratio):
    solution = exact.Harmonic(k, ratio * k, epsilon, dimension=2)
    assert_solves(solution, *places(np.random.default_rng(seed), 2, 1.0))


def test_harmonic_stationary_state_and_free_limit():
    x = np.array([0.4, -0.7])
    k, epsilon, t = 1.7, 0.3, 50.0
    # S₀ = k is stationary up to the constant εdkt; cosh 2kt itself is 1e73 here, and e^{4kt} of S₀ = −k harder still.
    np.testing.assert_allclose(
        at(exact.Harmonic(k, k, epsilon, 2), t, x), 0.5 * k * x @ x + 2 * epsilon * k * t, rtol=1e-14
    )
    np.testing.assert_allclose(
        at(exact.Harmonic(k, -k, epsilon, 2), t, x), -0.5 * k * x @ x - 2 * epsilon * k * t, rtol=1e-13
    )
    # Without the potential it is the free quadratic solution; the difference is O(k²) = 1e-10.
    free = at(exact.Quadratic(0.8, 1.0, epsilon), 0.5, x)
    np.testing.assert_allclose(at(exact.Harmonic(1e-5, 0.8, epsilon, 2), 0.5, x), free, atol=1e-9)


@given(seed=SEEDS, epsilon=EPSILONS, c=st.floats(0.3, 3.0))
def test_multi_shock_solves(seed, epsilon, c):
    rng = np.random.default_rng(seed)
    solution = exact.MultiShock(rng.normal(size=(5, 2)), 0.3 * rng.normal(size=5), epsilon, c)
    assert_solves(solution, *places(rng, 2, 1.0))


@given(seed=SEEDS, epsilon=EPSILONS, c=st.floats(0.3, 3.0))
def test_periodic_solves(seed, epsilon, c):
    rng = np.random.default_rng(seed)
    amplitudes = rng.uniform(-1, 1, 3)
    mean = np.abs(amplitudes).sum() * 1.2
    waves = rng.integers(1, 4, (3, 2)).astype(float)
    solution = exact.Periodic(mean, amplitudes, waves, epsilon, rng.uniform(0, 6, 3), c)
    assert_solves(solution, *places(rng, 2, 1.0, reach=4.0))


@given(seed=SEEDS, epsilon=EPSILONS | st.just(0.0), c=st.floats(0.3, 3.0))
def test_absolute_value_solves(seed, epsilon, c):
    assert_solves(exact.AbsoluteValue(epsilon, c), *places(np.random.default_rng(seed), 1, 1.0, reach=3.0))


@given(seed=SEEDS, speed=st.floats(0.3, 3.0))
def test_eikonal_discs_solve(seed, speed):
    rng = np.random.default_rng(seed)
    solution = exact.EikonalDiscs(rng.uniform(-1, 1, (3, 2)), rng.uniform(0.0, 0.3, 3), speed)
    assert_solves(solution, *places(rng, 2, 0.3))


@given(seed=SEEDS, lam=st.floats(0.1, 50.0))
@pytest.mark.parametrize("d", [1, 6])
def test_deep_bsde_solves(d, seed, lam):
    assert_solves(exact.DeepBSDE(d, lam), *places(np.random.default_rng(seed), d, 2.0, reach=3.0))


@settings(max_examples=8)
@given(seed=SEEDS, epsilon=st.floats(0, 2))
def test_linear_quadratic_solves(seed, epsilon):
    rng = np.random.default_rng(seed)
    drift, Q, S0 = rng.normal(size=(3, 3)), semidefinite(rng, 3), semidefinite(rng, 3)
    assert_solves(exact.LinearQuadratic(drift, Q, S0, epsilon), *places(rng, 3, 1.0))


@pytest.mark.parametrize(
    ("make", "latest"),
    [(exact.osher_shu_convex, 0.9), (exact.osher_shu_nonconvex, 0.9), (exact.osher_shu_convex, 4.0)],
)
def test_characteristics_solve(make, latest):
    solution = make()
    t, x = places(np.random.default_rng(7), 1, latest * float(solution.breaking_time), reach=2.0, n=64)
    # u_xx steepens like 1/(1 − t/t_b): a few digits fewer than the terms themselves.
    assert_solves(solution, t, x)


# --- independent values -----------------------------------------------------------------------------------------------

CASES = [(0.3, 0.4, 0.5, 1.0), (0.7, -1.2, 0.05, 2.0), (0.05, 0.02, 1e-2, 0.6), (0.9, 0.3, 1e-4, 1.5)]


@pytest.mark.parametrize(("t", "x", "epsilon", "c"), CASES)
def test_hopf_cole_integrals(t, x, epsilon, c):
    at_point = lambda solution: at(solution, t, [x])
    a = 0.8
    value = hopf_cole(lambda y: a * y**2 / 2, t, x, epsilon, c, [x / (1 + 2 * c * t * a)])
    # 1e-14 of the largest number involved, here and below: u, and ct for the shocks' phases.
    np.testing.assert_allclose(at_point(exact.Quadratic([[a]], c, epsilon)), value, rtol=1e-14, atol=1e-15)

    kinks = [0.0, x - 2 * c * t * np.sign(x) if abs(x) > 2 * c * t else 0.0]
    value = hopf_cole(abs, t, x, epsilon, c, kinks)
    np.testing.assert_allclose(at_point(exact.AbsoluteValue(epsilon, c)), value, rtol=1e-14, atol=1e-15)

    slopes, offsets = np.array([-0.9, 0.2, 1.1]), np.array([0.1, 0.25, -0.2])

    def planes(y):
        exponents = [
            c * (mp.mpf(k) * y + mp.mpf(b)) / epsilon for k, b in zip(slopes.tolist(), offsets.tolist(), strict=True)
        ]
        return -epsilon / c * mp.log(sum(mp.exp(e) for e in exponents))

    value = hopf_cole(planes, t, x, epsilon, c, x + 2 * c * t * slopes)
    solution = exact.MultiShock(slopes[:, None], offsets, epsilon, c)
    np.testing.assert_allclose(at_point(solution), value, rtol=1e-14, atol=1e-14)

    def waves(y):
        return -epsilon / c * mp.log(2 + mp.cos(2 * y + mp.mpf(0.3)) / 2 - mp.cos(3 * y) / 4)

    value = hopf_cole(waves, t, x, epsilon, c, [x])
    solution = exact.Periodic(2.0, [0.5, -0.25], [[2.0], [3.0]], epsilon, [0.3, 0.0], c)
    np.testing.assert_allclose(at_point(solution), value, rtol=1e-13)


@pytest.mark.parametrize("epsilon", [1e-3, 1e-5, 1e-8, 1e-12])
def test_absolute_value_at_vanishing_viscosity(epsilon):
    x = jnp.linspace(-2, 2, 81)[:, None]
    smooth, sharp = exact.AbsoluteValue(epsilon, 1.5), exact.AbsoluteValue(0.0, 1.5)
    for t in jnp.array([0.0, 1e-6, 0.1, 0.5]):
        u, gradient = batched_with_gradient(smooth, t, x)
        assert np.isfinite(gradient).all()
        # u is a soft minimum over y: (ε/c) times the logarithm of at most the ratio of the two Gaussians' widths at the
        # kink, √(4πεt)/(ε/c), and of 2 for its two sides; 1e-15 is round-off.
        bound = epsilon / 1.5 * (np.log(2) + np.log1p(np.sqrt(4 * np.pi * t / epsilon) * 1.5)) + 1e-15
        assert np.abs(u - batched_with_gradient(sharp, t, x)[0]).max() <= bound


@eqx.filter_jit
def batched_with_gradient(solution, t, x):
    return jax.vmap(jax.value_and_grad(lambda x: solution(t, x)))(x)


def test_absolute_value_differentiates_and_batches_in_viscosity():
    x = jnp.array([0.4])
    value = jax.jit(lambda epsilon: exact.AbsoluteValue(epsilon, 1.5)(0.3, x))
    epsilons = jnp.array([0.0, 1e-4, 0.2])
    # A batch runs the same operations, up to fusion: a few ulp.
    np.testing.assert_allclose(jax.vmap(value)(epsilons), [value(e) for e in epsilons], rtol=1e-14)
    h = 1e-5
    # Central differences: h² u'''/6 = 1e-10 and ulp/h = 1e-11, with a margin of 10.
    np.testing.assert_allclose(jax.grad(value)(0.2), (value(0.2 + h) - value(0.2 - h)) / (2 * h), rtol=1e-8)


def test_eikonal_discs_are_the_minimum_over_balls():
    centres, radii = np.array([[0.0, 0.0], [1.0, 0.3]]), np.array([0.4, 0.2])
    solution = exact.EikonalDiscs(centres, radii, 1.5)
    rng = np.random.default_rng(3)
    t = 0.4
    angle, radius = np.meshgrid(np.linspace(0, 2 * np.pi, 721), np.linspace(0, 1.5 * t, 241))
    ball = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1, 2)
    for x in rng.uniform(-1, 2, (20, 2)):
        distance = np.linalg.norm((x + ball)[:, None] - centres, axis=-1)
        lowest = (distance - radii).min()
        # The sampled minimum lies above the true one by at most the sampling distance, |∇g| being 1.
        assert -1e-14 <= lowest - float(at(solution, t, x)) <= 0.5 * t * 1.5 * (1 / 240 + 2 * np.pi / 720)


def test_deep_bsde_published_values():
    # HJDL's reference and the deep-BSDE literature's 4.5901, to all digits that are printed.
    at_zero = lambda lam: float(at(exact.DeepBSDE(100, lam), 1.0, np.zeros(100)))
    assert at_zero(1.0) == pytest.approx(4.590161724605, abs=6e-13)
    assert at_zero(10.0) == pytest.approx(4.492929491346, abs=6e-13)
    published = {20: 4.367139028, 30: 4.213607157, 40: 4.013074027, 50: 3.724175923}
    for lam, value in published.items():
        assert at_zero(lam) == pytest.approx(value, abs=6e-10)


@pytest.mark.parametrize(
    ("d", "lam", "t", "r"),
    [(1, 0.05, 0.3, 1.2), (2, 1.0, 1.0, 0.5), (7, 3.0, 0.2, 2.0), (3, 200.0, 0.5, 4.0), (100, 10.0, 1.0, 5.0)],
)
def test_deep_bsde_is_a_noncentral_chi_square_expectation(d, lam, t, r):
    with mp.workdps(30):
        shift, order = mp.mpf(r) ** 2 / (2 * mp.mpf(t)), mp.mpf(d) / 2 - 1

        def integrand(s):  # s² is the chi-square variable: no endpoint singularity at d = 1
            density = (
                mp.exp(-(s**2 + shift) / 2) * (s / mp.sqrt(shift)) ** order * mp.besseli(order, mp.sqrt(shift) * s)
            )
            return s * density * (2 / (1 + 2 * mp.mpf(t) * s**2)) ** mp.mpf(lam)

        ends = [0, *mp.linspace(mp.mpf("0.01"), mp.sqrt(d + shift) + 14, 40)]
        expected = float(-mp.log(mp.quad(integrand, ends)) / mp.mpf(lam))
    direction = np.random.default_rng(0).normal(size=d)
    value = at(exact.DeepBSDE(d, lam), t, r * direction / np.linalg.norm(direction))
    # Measured 1e-14 at worst: log Γ(λ) and the log-integral, each good to an ulp, cancel by up to a factor of 20.
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize(("norm", "stiff"), [(1.0, 1.0), (5.0, 1e4), (25.0, 100.0)])
def test_linear_quadratic_against_an_adaptive_integrator(norm, stiff):
    rng = np.random.default_rng(int(norm))
    d, epsilon = 3, 0.4
    drift = rng.normal(size=(d, d))
    drift *= norm / np.linalg.norm(drift)
    Q, S0 = semidefinite(rng, d), stiff * semidefinite(rng, d)

    def rate(_, z):
        S = z[:-1].reshape(d, d)
        return np.append(-(S @ drift + drift.T @ S + 2 * S @ Q @ S).ravel(), epsilon * np.trace(S))

    z = solve_ivp(rate, (0, 1), np.append(S0.ravel(), 0.0), method="DOP853", rtol=3e-14, atol=1e-13).y[:, -1]
    x = np.array([1.0, -0.5, 0.7])
    solution = exact.LinearQuadratic(drift, Q, S0, epsilon)
    # 1e-11: what the reference's own tolerance allows after its few hundred steps (measured 1e-13).
    np.testing.assert_allclose(at(solution, 1.0, x), x @ z[:-1].reshape(d, d) @ x / 2 + z[-1], rtol=1e-11)


def test_linear_quadratic_without_drift_is_quadratic():
    S0, x = np.array([[2.0, 0.5], [0.5, 1.0]]), jnp.array([0.3, -1.0])
    solution = exact.LinearQuadratic(np.zeros((2, 2)), 1.3 * np.eye(2), S0, 0.2)
    # Round-off of the panels' sums.
    np.testing.assert_allclose(at(solution, 3.0, x), at(exact.Quadratic(S0, 1.3, 0.2), 3.0, x), rtol=1e-13)


def test_linear_quadratic_speed_bound_is_the_largest_speed():
    rng = np.random.default_rng(5)
    hamiltonian = exact.LinearQuadratic(rng.normal(size=(2, 2)), semidefinite(rng, 2), np.eye(2)).problem().hamiltonian
    x, lo = jnp.asarray(rng.normal(size=(2, 4))), jnp.asarray(rng.normal(size=(2, 4)))
    hi = lo + 0.5
    corners = [jnp.stack([lo[0] + 0.5 * a, lo[1] + 0.5 * b]) for a in (0, 1) for b in (0, 1)]
    largest = jnp.max(jnp.stack([jnp.abs(hamiltonian.velocity(0.0, x, p)) for p in corners]), axis=0)
    # The speed is affine in p, so that its maximum is at a corner; round-off apart the bound is equal to it.
    np.testing.assert_allclose(hamiltonian.speed_bound(0.0, x, lo, hi), largest, rtol=1e-13)
    by_autodiff = jax.grad(lambda p: jnp.sum(hamiltonian(0.0, x, p)))(lo)
    np.testing.assert_allclose(hamiltonian.velocity(0.0, x, lo), by_autodiff, rtol=1e-13)


def hopf_lax_convex(t, x):
    """min_y −cos πy + tL((x−y)/t), L(v) = v²/2 − v, by search."""
    energy = lambda y: -np.cos(np.pi * y) + t * (((x - y) / t) ** 2 / 2 - (x - y) / t)
    y = np.linspace(x - 3, x + 3, 6001)
    near = y[np.argsort(energy(y))[:6]]
    # At a minimum the search's error in y, 1e-8, enters squared.
    search = {"method": "bounded", "options": {"xatol": 1e-8}}
    return min(minimize_scalar(energy, bounds=(z - 2e-3, z + 2e-3), **search).fun for z in near)


@pytest.mark.parametrize("time", [0.5, 1.0, 1.5, 5.0])
def test_convex_characteristics_are_hopf_lax_also_past_breaking(time):
    t = time / np.pi**2
    # The kink travels at H'(0) = 1 from x = 1, the maximum of g: on it, beside it, and anywhere.
    x = np.concatenate([1 + t + np.array([0.0, 1e-9, -1e-6, 1e-3]), np.random.default_rng(0).uniform(-1, 1, 20)])
    u = batched(exact.osher_shu_convex(), jnp.asarray(t), jnp.asarray(x)[:, None])
    # Round-off of numbers of size 1, also divided by t = 0.05 in the search.
    np.testing.assert_allclose(u, [hopf_lax_convex(t, y) for y in x], rtol=0, atol=3e-14)
    wrapped = batched(exact.osher_shu_convex(), jnp.asarray(t), jnp.asarray(x)[:, None] + 2)
    np.testing.assert_allclose(wrapped, u, rtol=0, atol=1e-14)


def test_nonconvex_characteristics_before_breaking():
    t, points = 0.5 / np.pi**2, np.random.default_rng(1).uniform(-1, 1, 10)
    u = batched(exact.osher_shu_nonconvex(), jnp.asarray(t), jnp.asarray(points)[:, None])
    for x, value in zip(points, u, strict=True):
        # A few ulp of numbers of size 1.
        np.testing.assert_allclose(value, nonconvex_by_root_finding(t, x), rtol=0, atol=1e-14)


def nonconvex_by_root_finding(t, x):
    with mp.workdps(30):
        slope = lambda y: mp.pi * mp.sin(mp.pi * y)
        y = mp.findroot(lambda y: y + t * mp.sin(slope(y) + 1) - x, x)
        p = slope(y)
        return float(-mp.cos(mp.pi * y) + t * (p * mp.sin(p + 1) + mp.cos(p + 1)))


def test_breaking_times():
    np.testing.assert_allclose(exact.osher_shu_convex().breaking_time, 1 / np.pi**2, rtol=1e-13)
    y = np.linspace(-1, 1, 2_000_001)
    steepest = (np.cos(1 + np.pi * np.sin(np.pi * y)) * np.pi**2 * np.cos(np.pi * y)).min()
    # The samples miss the minimum by (1e-6)²/8 times a second derivative of 1e3.
    np.testing.assert_allclose(exact.osher_shu_nonconvex().breaking_time, -1 / steepest, rtol=1e-9)
    linear = exact.Characteristics(lambda p: 2 * p, initials.Cosine(-1.0, np.pi))
    assert np.isinf(linear.breaking_time)
    # Linear transport at speed 2.
    u = at(linear, 0.7, [0.3])
    np.testing.assert_allclose(u, -np.cos(np.pi * (0.3 - 1.4)), atol=1e-14)


# --- derivatives ------------------------------------------------------------------------------------------------------

# Those that stop gradients on the way (a window, a root), where autodiff could be wrong and agree with itself.
SMOOTH = [
    (exact.DeepBSDE(3, 2.0), 0.4, [0.5, -0.2, 1.0]),
    (exact.osher_shu_convex(), 0.05, [0.3]),
    (exact.osher_shu_convex(), 0.4, [0.3]),
]


@pytest.mark.parametrize(("solution", "t", "x"), SMOOTH)
def test_autodiff_against_finite_differences(solution, t, x):
    by_autodiff, by_differences = derivatives(solution, jnp.asarray(t), jnp.asarray(x))
    # Central differences are off by h²u'''/6 = 1e-9 at most here, and by ulp/h = 1e-11.
    np.testing.assert_allclose(by_autodiff, by_differences, rtol=1e-7, atol=1e-8)


@eqx.filter_jit
def derivatives(solution, t, x, h=1e-5):
    """u_t, u_x and u_xx along the first axis: by autodiff, and by central differences (of u_x for u_xx)."""
    gradient = jax.grad(solution, argnums=(0, 1))
    direction = jnp.eye(len(x))[0]
    u_xx = jax.jvp(lambda x: gradient(t, x)[1][0], (x,), (direction,))[1]
    times, steps = t + h * jnp.array([1.0, -1.0, 0.0, 0.0]), h * jnp.array([0.0, 0.0, 1.0, -1.0])
    u, slopes = jax.vmap(jax.value_and_grad(solution, argnums=1))(times, x + steps[:, None] * direction)
    differences = jnp.array([u[0] - u[1], u[2] - u[3], slopes[2, 0] - slopes[3, 0]]) / (2 * h)
    u_t, p = gradient(t, x)
    return jnp.array([u_t, p[0], u_xx]), differences


EVERY = [
    exact.Quadratic([[1.0, 0.2], [0.2, 0.5]], 1.3, 0.1),
    exact.Quadratic(0.5),
    exact.Harmonic(1.2, 0.3, 0.1, dimension=2),
    exact.MultiShock([[-1.0], [1.0]], [0.0, 0.0], 1e-4),
    exact.Periodic(2.0, [0.5], [[np.pi]], 0.1),
    exact.AbsoluteValue(1e-4, 1.3),
    exact.AbsoluteValue(0.0),
    exact.EikonalDiscs([[0.0, 0.0], [1.0, 0.0]], [0.2, 0.1]),
    exact.DeepBSDE(4, 1.0),
    exact.LinearQuadratic([[0.0, 1.0], [0.0, 0.0]], np.eye(2), np.eye(2), 0.1),
    exact.osher_shu_convex(),
]


@eqx.filter_jit
def all_gradients(solution, t, x):
    """u, and its derivatives in every parameter, t and x."""
    arrays, rest = eqx.partition(solution, eqx.is_inexact_array)
    value = lambda arrays, t, x: eqx.combine(arrays, rest)(t, x)
    return jax.value_and_grad(value, argnums=(0, 1, 2))(arrays, t, x)


@pytest.mark.parametrize("solution", EVERY, ids=lambda s: type(s).__name__)
def test_no_nan_at_special_points(solution):
    d = solution.problem().dimension
    for t in (0.0, 0.3):
        for x in (np.zeros(d), np.eye(d)[0], -np.eye(d)[0] * 0.6):
            for leaf in jax.tree.leaves(all_gradients(solution, jnp.asarray(t), jnp.asarray(x))):
                assert np.isfinite(leaf).all(), (t, x)


@pytest.mark.parametrize("t", [0.05, 0.15])
def test_characteristics_differentiate_in_the_data(t):
    # ∂u/∂a for g = a cos πy is cos πy at the foot of the characteristic (envelope theorem), y = x − t(u_x + 1).
    x = jnp.array([0.3])
    _, (by_parameter, _, slope) = all_gradients(exact.osher_shu_convex(), jnp.asarray(t), x)
    foot = x[0] - t * (slope[0] + 1)
    # Round-off.
    np.testing.assert_allclose(by_parameter.initial.amplitude, np.cos(np.pi * foot), rtol=1e-12)


@pytest.mark.parametrize("solution", EVERY, ids=lambda s: type(s).__name__)
def test_float32(solution):
    d = solution.problem().dimension
    points = np.random.default_rng(0).uniform(-1, 1, (8, d))
    expected = batched(solution, jnp.asarray(0.3), jnp.asarray(points))
    with jax.enable_x64(False):
        u = batched(solution, jnp.asarray(0.3), jnp.asarray(points, jnp.float32))
        assert u.dtype == jnp.float32
    # 40 ulp of float32 in numbers of size 1: sums of some tens of terms, and x itself rounded.
    np.testing.assert_allclose(u, expected, rtol=5e-6, atol=5e-6)


# --- problems and refusals --------------------------------------------------------------------------------------------


def test_problem_takes_a_domain_and_a_horizon():
    problem = exact.Quadratic(0.5).problem(domain=Box([-2.0, -2.0], [2.0, 2.0]), horizon=3.0)
    assert problem.dimension == 2
    assert float(problem.horizon) == 3.0


def test_periodic_finds_the_torus_that_holds_its_waves():
    # Wavelengths 1 and 2/3 along the first axis meet after 2; nothing moves along the second.
    waves = [[2 * np.pi, 0.0], [3 * np.pi, 0.0]]
    domain = exact.Periodic(3.0, [1.0, 1.0], waves, 0.1).problem().domain
    assert isinstance(domain, Torus)
    # Whole multiples of a computed wavelength: round-off.
    np.testing.assert_allclose(domain.extent, [2.0, 2.0], rtol=1e-14)


def test_traced_nonconvex_characteristics_are_nan_past_breaking():
    solution = exact.osher_shu_nonconvex()
    u = jax.jit(solution.__call__)
    assert np.isfinite(u(0.9 * float(solution.breaking_time), jnp.zeros(1)))
    assert np.isnan(u(1.1 * float(solution.breaking_time), jnp.zeros(1)))


def test_traced_linear_quadratic_is_nan_past_its_range():
    solution = exact.LinearQuadratic(-np.eye(1), np.eye(1), np.eye(1))
    u = jax.jit(solution.__call__)
    assert np.isfinite(u(31.0, jnp.ones(1)))
    assert np.isnan(u(33.0, jnp.ones(1)))


REFUSALS = [
    (lambda: exact.Quadratic(np.ones((2, 3))), r"`A` must be a number or a square matrix"),
    (lambda: exact.Quadratic([[0.0, 1.0], [0.0, 0.0]]), r"`A` must be symmetric"),
    (lambda: exact.Quadratic(c=0.0), r"`c` must be > 0; got 0"),
    (lambda: exact.Quadratic(viscosity=-0.1), r"`viscosity` must be >= 0; got -0.1"),
    (lambda: exact.Quadratic(viscosity=[0.1, 0.2]), r"`viscosity` must be a number; got shape \(2,\)"),
    (lambda: exact.Quadratic()(-1.0, jnp.ones(1)), r"`t` must be >= 0; got -1"),
    (lambda: exact.Quadratic(np.eye(2))(1.0, jnp.ones(3)), r"`x` must have 2 components; got 3"),
    (lambda: exact.Quadratic()(1.0, jnp.ones((4, 1))), r"`x` must be one point of shape \[d\]"),
    (lambda: exact.Harmonic(k=0.0), r"`k` must be > 0"),
    (lambda: exact.Harmonic(k=1.0, S0=-1.1), r"`S0` must be >= -k = -1; got -1.1"),
    (lambda: exact.Harmonic(dimension=0), r"`dimension` must be >= 1; got 0"),
    (lambda: exact.MultiShock([1.0, 2.0], [0.0, 0.0], 0.1), r"`slopes` must have shape \[N, d\]"),
    (lambda: exact.MultiShock([[1.0]], [0.0, 0.0], 0.1), r"`offsets` must have shape \[N\]"),
    (lambda: exact.MultiShock([[1.0]], [0.0], 0.0), r"`viscosity` must be > 0; got 0"),
    (lambda: exact.Periodic(1.0, [0.6, -0.4], [[1.0], [2.0]], 0.1), r"Σ\|B_m\| < mean = 1, .* got 1"),
    (
        lambda: exact.Periodic(1.0, [0.5], [[1.0]], 0.1).problem(Torus([-1.0], [1.0])),
        r"`domain` must hold whole waves",
    ),
    (
        lambda: exact.Periodic(2.0, [0.5, 0.5], [[1.0], [np.sqrt(2)]], 0.1).problem(),
        r"`wavevectors` must have a common period",
    ),
    (lambda: exact.EikonalDiscs([[0.0]], [-0.1]), r"`radii` must be >= 0; got \[-0.1\]"),
    (lambda: exact.DeepBSDE(0), r"`dimension` must be >= 1; got 0"),
    (lambda: exact.DeepBSDE(2, lam=0.0), r"`lam` must be > 0; got 0"),
    (lambda: exact.LinearQuadratic(np.eye(2), np.eye(3), np.eye(2)), r"`Q` must have shape \[2, 2\]; got \(3, 3\)"),
    (lambda: exact.LinearQuadratic([[1.0]], [[-1.0]], [[1.0]]), r"`Q` must be positive semidefinite"),
    (lambda: exact.LinearQuadratic([[1.0]], [[1.0]], [[-1.0]]), r"`S0` must be positive semidefinite"),
    (lambda: exact.LinearQuadratic([[1.0]], [[1.0]], [[1.0]])(33.0, jnp.ones(1)), r"\|F\|t <= 32 .* got 33"),
    (lambda: exact.osher_shu_nonconvex()(0.11, jnp.zeros(1)), r"`t` must be < the breaking time 0.1062.* got 0.11"),
    (lambda: exact.Characteristics(jnp.cos, initials.Cosine(2.0, np.pi), convex=True), r"`convex` must be False"),
    (lambda: exact.Characteristics(jnp.square, initials.Cosine(1.0, 1.0, 0.5)), r"`initial` must have period"),
]


@pytest.mark.parametrize(("act", "message"), REFUSALS)
def test_refusals_name_argument_bound_and_value(act, message):
    with pytest.raises(ValueError, match=message):
        act()
