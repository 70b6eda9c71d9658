"""Against exact solutions with x-dependent and periodic Hamiltonians, before and after rays cross."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.methods.particle import Characteristics, HopfLax

H = hj.hamiltonians
RNG = np.random.default_rng(7)
BREAK = 1 / np.pi**2
ONE = Characteristics(64, 4)
"""Few rays, so that tests compile and run fast; the default has 512."""


def expect(exact, t, x):
    u = jax.vmap(lambda z: exact(t, z))
    slope = jax.vmap(jax.grad(lambda z: exact(t, z)))
    return jax.jit(u)(jnp.asarray(x)), jax.jit(slope)(jnp.asarray(x))


@pytest.fixture(scope="module")
def linear_quadratic() -> tuple[hj.exact.LinearQuadratic, hj.Solution, np.ndarray]:
    exact = hj.exact.LinearQuadratic([[0.0, 1.0], [-1.0, -0.3]], [[1.0, 0.2], [0.2, 0.5]], [[1.0, 0.3], [0.3, 2.0]])
    x = RNG.uniform(-1, 1, size=(30, 2))
    return exact, hj.solve(exact.problem(), Characteristics(64, 3), [0.0, 0.4, 0.9], points=x), x


def test_linear_quadratic_flow(linear_quadratic) -> None:
    exact, solution, x = linear_quadratic
    for i, t in enumerate((0.0, 0.4, 0.9)):
        u, slope = expect(exact, t, x)
        # a hundred times the integrator's tolerance of 1e-11
        np.testing.assert_allclose(solution.u[i], u, rtol=0, atol=1e-10)
        np.testing.assert_allclose(solution.gradient[i], slope, rtol=0, atol=1e-9)
    assert (np.asarray(solution.stats["branches"]) == 1).all()
    assert not np.asarray(solution.stats["crossed"]).any()
    assert bool(solution.result == hj.RESULTS.successful)


def test_derivatives_in_every_number_to_second_order() -> None:
    """The harmonic potential: x-dependent, with ∂u/∂k an integral along the ray."""

    def solved(k, start, t, x):
        problem = hj.exact.Harmonic(k, start, 0.0, 2).problem()
        return hj.solve(problem, Characteristics(16, 1), [t], points=x[None]).u[0, 0]

    def exact(k, start, t, x):
        return hj.exact.Harmonic(k, start, 0.0, 2)(t, x)

    def all_of(u):
        def slopes(*arguments):
            value, gradient = jax.value_and_grad(u, (0, 1, 2, 3))(*arguments)
            return gradient[2:], (value, gradient)

        return jax.jit(jax.jacfwd(slopes, (0, 1, 2, 3), has_aux=True))(1.3, 0.4, 0.8, jnp.array([0.3, -0.7]))

    # 1e-8: between steps the ray is known by dense output, of lower order than the integrator
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-8), all_of(solved), all_of(exact))


PLACES = np.linspace(-1, 1, 82)[:, None]
# A method and shapes shared by several tests, which compile once.
SHARED = Characteristics(256, 6)


@functools.cache
def case(name: str) -> tuple[hj.Problem, hj.exact.Characteristics]:
    """H = ½(p + 1)² or −cos(p + 1), g = −cos πx: the problem up to t = 1, and its exact solution."""
    if name == "convex":
        exact = hj.exact.osher_shu_convex()
        hamiltonian = H.ConvexSeparable(exact.hamiltonian)
    else:
        exact = hj.exact.osher_shu_nonconvex()
        hamiltonian = H.Separable(exact.hamiltonian)
    return hj.Problem(hamiltonian, 0.0, exact.initial, hj.Torus([-1.0], [1.0]), 1.0), exact


@pytest.mark.parametrize("name", ["convex", "nonconvex"])
def test_periodic_data_before_rays_cross(name: str) -> None:
    problem, exact = case(name)
    t = 0.5 * BREAK
    solution = hj.solve(problem, SHARED, [t], points=PLACES)
    u, slope = expect(exact, t, PLACES)
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=1e-12)
    np.testing.assert_allclose(solution.gradient[0], slope, rtol=0, atol=1e-11)


def test_after_crossing_the_lowest_branch_of_a_convex_hamiltonian() -> None:
    (problem, exact), t = case("convex"), 1.5 * BREAK
    solution = hj.solve(problem, SHARED, [t], points=PLACES)
    u, slope = expect(exact, t, PLACES)
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=1e-12)
    np.testing.assert_allclose(solution.gradient[0], slope, rtol=0, atol=1e-10)
    branches, crossed = solution.stats["branches"][0], solution.stats["crossed"][0]
    assert set(np.unique(branches)) == {1, 3}
    np.testing.assert_array_equal(crossed, branches > 1)
    assert (np.asarray(solution.stats["determinant"]) > 0).all()  # a lowest branch has passed no focus


def test_after_crossing_a_hamiltonian_that_is_not_known_to_be_convex_is_a_shock() -> None:
    (problem, _), t = case("nonconvex"), 1.5 * BREAK
    with pytest.raises(RuntimeError, match="Characteristics have crossed"):
        hj.solve(problem, SHARED, [t], points=PLACES)
    solution = hj.solve(problem, SHARED, [t], points=PLACES, throw=False)
    assert bool(solution.result == hj.RESULTS.shock)
    assert 0 < int(solution.stats["crossed"].sum()) < len(PLACES)


@pytest.mark.parametrize(("name", "bend"), [("convex", np.ones_like), ("nonconvex", np.cos)])
def test_the_time_of_the_first_crossing(name: str, bend) -> None:
    # −1/min (H'(g'))' = −1/min H''(g') g'', with H'' = 1 or cos(p + 1)
    y = np.linspace(-1, 1, 2_000_001)
    slowing = bend(np.pi * np.sin(np.pi * y) + 1) * np.pi**2 * np.cos(np.pi * y)
    np.testing.assert_allclose(ONE.shock_time(case(name)[0]), -1 / slowing.min(), rtol=0, atol=1e-9)


def test_a_focus_in_two_dimensions() -> None:
    """H = |p|², g = −½x·Ax: ∂x/∂y = I − 2tA is singular at t = 1/(2 max A), everywhere at once."""
    curvature = np.array([[0.5, 0.2], [0.2, 1.0]])
    problem = hj.Problem(H.Quadratic(), 0.0, hj.initials.Quadratic(-curvature), hj.Box([-1.0] * 2, [1.0] * 2), 2.0)
    expected = 0.5 / np.linalg.eigvalsh(curvature).max()
    np.testing.assert_allclose(ONE.shock_time(problem), expected, rtol=1e-9)
    spreading = eqx.tree_at(lambda p: p.initial.A, problem, curvature)
    assert np.isinf(ONE.shock_time(spreading))


def test_rays_can_be_drawn() -> None:
    exact = hj.exact.Harmonic(1.3, 0.4)
    y, ts = np.array([[-0.5], [0.2], [0.9]]), np.array([0.0, 0.3, 0.8])
    rays = ONE.rays(exact.problem(), y, ts)
    assert rays.x.shape == (3, 3, 1)
    assert rays.u.shape == rays.determinant.shape == (3, 3)
    np.testing.assert_allclose(rays.x[0], y, rtol=0, atol=0)
    # H = p² − k²x²: ẍ = 2ṗ = 4k²x, so x = y cosh 2kt + (p₀/k) sinh 2kt with p₀ = S₀y
    for i, t in enumerate(ts):
        stretch = np.cosh(2.6 * t) + 0.4 / 1.3 * np.sinh(2.6 * t)
        # 1e-8: dense output between steps
        np.testing.assert_allclose(rays.x[i], y * stretch, rtol=0, atol=1e-8)
        np.testing.assert_allclose(rays.determinant[i], stretch, rtol=1e-8)
        u, p = expect(exact, t, rays.x[i])
        np.testing.assert_allclose(rays.u[i], u, rtol=0, atol=1e-8)
        np.testing.assert_allclose(rays.p[i], p, rtol=0, atol=1e-8)


def test_time_dependent_transport() -> None:
    """H = cos(t) p₀ + ½ x₀ p₁: x₀ = y₀ + sin t, x₁ = y₁ + ½(y₀ t + 1 − cos t); u is carried along."""
    hamiltonian = H.Linear(lambda t, x: jnp.stack([jnp.cos(t) + 0 * x[0], 0.5 * x[0]]))
    initial = hj.initials.Custom(lambda y: jnp.sin(y[0]) * y[1])
    x, t = RNG.uniform(-1, 1, size=(10, 2)), 0.9
    problem = hj.Problem(hamiltonian, 0.0, initial, hj.Box([-1.0] * 2, [1.0] * 2), 1.0)
    solution = hj.solve(problem, Characteristics(32, 2), [t], points=x)
    y0 = x[:, 0] - np.sin(t)
    y1 = x[:, 1] - 0.5 * (y0 * t + 1 - np.cos(t))
    np.testing.assert_allclose(solution.u[0], np.sin(y0) * y1, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_a_second_method_agrees_where_rays_have_crossed() -> None:
    initial = hj.initials.Custom(lambda y: jnp.cos(2 * y[0]) + 0.5 * jnp.sin(y[1] + y[0]))
    problem = hj.Problem(H.Power(0.4, 3.0), 0.0, initial, hj.Box([-1.0] * 2, [1.0] * 2), 1.0)
    x = RNG.uniform(-1, 1, size=(15, 2))
    rays = hj.solve(problem, Characteristics(512, 8), [0.6], points=x)
    lax = hj.solve(problem, HopfLax(), [0.6], points=x)
    np.testing.assert_allclose(rays.u, lax.u, rtol=0, atol=1e-9)
    # HopfLax stops at a residual of 1e-8 relative
    np.testing.assert_allclose(rays.gradient, lax.gradient, rtol=0, atol=1e-6)


def test_float32() -> None:
    problem, exact = case("convex")
    with jax.enable_x64(False):
        solution = hj.solve(problem, SHARED, [0.5 * BREAK], points=PLACES)
    assert solution.u.dtype == np.float32
    expected = expect(exact, 0.5 * BREAK, PLACES)[0]
    np.testing.assert_allclose(solution.u[0], expected, rtol=0, atol=5e-6)  # tens of ulp


def test_points_that_no_ray_reaches() -> None:
    """The kink of |x| under H = p² sends out a fan; no ray that starts off the kink enters it."""
    problem = hj.Problem(H.Quadratic(), 0.0, hj.initials.Norm(), hj.Box([-1.0], [1.0]), 1.0)
    with pytest.raises(RuntimeError, match="stopped before its tolerance"):
        hj.solve(problem, ONE, [0.5], points=[[0.5]])
    solution = hj.solve(problem, ONE, [0.5], points=[[0.5], [1.5]], throw=False)
    assert np.isnan(solution.u[0, 0])
    assert float(solution.u[0, 1]) == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: Characteristics(rays=0), r"`rays` must be a number >= 1; got 0"),
        (lambda p: Characteristics(rays=4, branches=5), r"`rays` must be >= `branches` = 5"),
        (lambda p: Characteristics(branches=1.5), r"`branches` must be a whole number"),
        (lambda p: Characteristics(tolerance=0.0), r"`tolerance` must be > 0; got 0"),
        (lambda p: ONE.check(p(viscosity=0.1)), r"Characteristics needs `viscosity` = 0; got 0\.1"),
        (lambda p: ONE.check(p(hamiltonian=H.Norm(1))), r"needs a smooth `hamiltonian`; got Norm.*HopfLax"),
        (lambda p: ONE.check(p(initial=hj.initials.Atoms([[0.0]], [0.0]))), r"got Atoms\. Use HopfLax"),
        (
            lambda p: ONE.check(p(initial=hj.initials.Custom(lambda x: x[0]), domain=hj.Torus([0.0], [1.0]))),
            r"`initial` must be periodic for Characteristics",
        ),
        (lambda p: ONE.rays(p(), [0.0], [0.1]), r"`y` must have shape \[n, 1\]; got \(1,\)"),
        (lambda p: ONE.rays(p(), [[0.0]], [0.2, 0.1]), r"`ts` must be > 0.*Times must increase"),
    ],
)
def test_what_it_cannot_solve_is_refused(build, message: str) -> None:
    def problem(hamiltonian=None, viscosity=0.0, initial=None, domain=None) -> hj.Problem:
        return hj.Problem(
            hamiltonian or H.Quadratic(),
            viscosity,
            initial or hj.initials.Quadratic(),
            domain or hj.Box([-1.0], [1.0]),
            1.0,
        )

    with pytest.raises((ValueError, TypeError), match=message):
        build(problem)
