"""Against exact solutions with x-dependent and periodic Hamiltonians, before and after rays cross."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import hjsolve as hj
from hjsolve.methods.particle import Characteristics

H = hj.hamiltonians
BREAK = 1 / np.pi**2
ONE = Characteristics(64, 4)
"""Few rays, so that tests compile and run fast; the default has 512."""


@eqx.filter_jit
def on_all(exact, t, x):
    return jax.vmap(jax.value_and_grad(lambda z: exact(t, z)))(x)


def expect(exact, t, x):
    return on_all(exact, jnp.asarray(t), jnp.asarray(x))


@pytest.mark.slow
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


def two_laws(shares, p):
    """½(p + 1)² and −cos(p + 1) by their shares: a Hamiltonian of one type, compiled once."""
    return shares[0] * 0.5 * (p + 1) ** 2 - shares[1] * jnp.cos(p + 1)


def osher_shu(name: str, t: float, throw: bool = True) -> hj.Solution:
    """From g = −cos πx. The type does not say whether the Hamiltonian is convex."""
    exact, hamiltonian = (
        EXACT[name],
        H.Separable(eqx.Partial(two_laws, np.array([name == "convex", name != "convex"], float))),
    )
    problem = hj.Problem(hamiltonian, 0.0, exact.initial, hj.Torus([-1.0], [1.0]), 1.0)
    return hj.solve(problem, Characteristics(256, 6), [t], points=PLACES, throw=throw)


EXACT = {"convex": hj.exact.osher_shu_convex(), "nonconvex": hj.exact.osher_shu_nonconvex()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convex", "nonconvex"])
def test_periodic_data_before_rays_cross(name: str) -> None:
    t = 0.5 * BREAK
    solution = osher_shu(name, t)
    u, slope = expect(EXACT[name], t, PLACES)
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=1e-12)
    np.testing.assert_allclose(solution.gradient[0], slope, rtol=0, atol=1e-11)


@pytest.mark.slow
def test_after_crossing_the_lowest_branch_of_a_convex_hamiltonian() -> None:
    t = 1.5 * BREAK
    solution = osher_shu("convex", t, throw=False)
    u, slope = expect(EXACT["convex"], t, PLACES)
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=1e-12)
    np.testing.assert_allclose(solution.gradient[0], slope, rtol=0, atol=1e-10)
    branches, crossed = solution.stats["branches"][0], solution.stats["crossed"][0]
    assert set(np.unique(branches)) == {1, 3}
    np.testing.assert_array_equal(crossed, branches > 1)
    assert (np.asarray(solution.stats["determinant"]) > 0).all()  # a lowest branch has passed no focus


@pytest.mark.slow
def test_more_branches_than_are_followed() -> None:
    """Up to nine rays reach a point, of which six are followed: the lowest must be among them. H is known as convex."""
    exact = EXACT["convex"]
    problem = hj.Problem(H.ConvexSeparable(exact.hamiltonian), 0.0, exact.initial, hj.Torus([-1.0], [1.0]), 1.0)
    solution = hj.solve(problem, Characteristics(256, 6), [1.0], points=PLACES)
    y = np.linspace(-7, 7, 400_001)
    # L(v) = v²/2 − v; half a spacing off the minimiser E = −cos πy + L(x − y) is 1e-9 higher
    lowest = [np.min(-np.cos(np.pi * y) + (x - y) ** 2 / 2 - (x - y)) for x in PLACES[:, 0]]
    np.testing.assert_allclose(solution.u[0], lowest, rtol=0, atol=3e-9)
    assert solution.result == hj.RESULTS.successful


def test_after_crossing_a_hamiltonian_that_is_not_known_to_be_convex_is_a_shock() -> None:
    t = 1.5 * BREAK
    with pytest.raises(RuntimeError, match="Characteristics have crossed"):
        osher_shu("nonconvex", t)
    solution = osher_shu("nonconvex", t, throw=False)
    assert bool(solution.result == hj.RESULTS.shock)
    assert 0 < int(solution.stats["crossed"].sum()) < len(PLACES)


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


def wind(strength, F, t, x):
    return strength * jnp.stack([jnp.cos(t) + 0 * x[0], 0.5 * x[0]]) + jnp.tensordot(F, x, axes=1)


def plane_data(mix, y):
    wave = jnp.cos(2 * y[0]) + 0.5 * jnp.sin(y[1] + y[0])
    return mix @ jnp.stack([jnp.sin(y[0]) * y[1], wave, jnp.cos(2 * y[0]), jnp.abs(y[0]), -0.5 * y @ BEND @ y])


BEND = np.array([[0.5, 0.2], [0.2, 1.0]])
STILL = np.zeros((2, 2))
PLACES_2D = np.random.default_rng(8).uniform(-1, 1, size=(15, 2))


def plane(mix: list[float], c: float, exponent: float, strength: float = 0.0, F=STILL) -> hj.Problem:
    """H = c|p|^exponent with a wind, in the plane: a type of problem that several tests share, compiled once."""
    hamiltonian = H.WithDrift(H.Power(c, exponent), eqx.Partial(wind, np.asarray(strength), F))
    initial = hj.initials.Custom(eqx.Partial(plane_data, np.array(mix, float)))
    return hj.Problem(hamiltonian, 0.0, initial, hj.Box([-1.0] * 2, [1.0] * 2), 2.0)


def in_the_plane(problem: hj.Problem, t: float, x: np.ndarray, throw: bool = True) -> hj.Solution:
    return hj.solve(problem, Characteristics(512, 8), [t], points=x, throw=throw)


@pytest.mark.slow
def test_linear_quadratic_flow() -> None:
    F = np.array([[0.0, 1.0], [-1.0, -0.3]])
    exact = hj.exact.LinearQuadratic(F, 0.4 * np.eye(2), BEND)
    for t in (0.0, 0.4, 0.9):
        solution = in_the_plane(plane([0, 0, 0, 0, -1], 0.4, 2.0, F=F), t, PLACES_2D)
        u, slope = expect(exact, t, PLACES_2D)
        # a hundred times the integrator's tolerance of 1e-11
        np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=1e-10)
        np.testing.assert_allclose(solution.gradient[0], slope, rtol=0, atol=1e-9)
        assert (np.asarray(solution.stats["branches"]) == 1).all()
        assert not np.asarray(solution.stats["crossed"]).any()
        assert bool(solution.result == hj.RESULTS.successful)


def test_time_dependent_transport() -> None:
    """H = cos(t) p₀ + ½ x₀ p₁: x₀ = y₀ + sin t, x₁ = y₁ + ½(y₀ t + 1 − cos t); u is carried along."""
    x, t = PLACES_2D, 0.9
    solution = in_the_plane(plane([1.0, 0, 0, 0, 0], 1e-30, 3.0, strength=1.0), t, x)  # |p|³ is lost in round-off
    y0 = x[:, 0] - np.sin(t)
    y1 = x[:, 1] - 0.5 * (y0 * t + 1 - np.cos(t))
    np.testing.assert_allclose(solution.u[0], np.sin(y0) * y1, rtol=0, atol=1e-10)


def lowest_by_search(x: np.ndarray, t: float) -> tuple[float, np.ndarray]:
    """min_y g(y) + tL((x−y)/t) and its slope in x for H = 0.4|p|³, by SciPy from the best nodes of a grid."""
    g = lambda y: np.cos(2 * y[0]) + 0.5 * np.sin(y[1] + y[0])
    cost = lambda length: (2 / 3) * length**1.5 / np.sqrt(1.2 * t)  # tL(v/t), |∇L(v)| = √(|v|/1.2)
    energy = lambda y: g(y) + cost(np.hypot(*(x - y)))

    def slope(y):
        v = (x - y) / t
        wave = 0.5 * np.cos(y[1] + y[0])
        return np.array([-2 * np.sin(2 * y[0]) + wave, wave]) - v / np.sqrt(1.2 * np.hypot(*v))

    axis = np.linspace(-4, 4, 161)
    nodes = np.stack(np.meshgrid(x[0] + axis, x[1] + axis + 0.01, indexing="ij")).reshape(2, -1)
    rows = g(nodes) + cost(np.hypot(*(x[:, None] - nodes)))
    starts = nodes[:, np.argsort(rows)[:3]].T
    found = [minimize(energy, y, jac=slope, method="BFGS", options={"gtol": 1e-9}) for y in starts]
    best = min(found, key=lambda result: result.fun)
    v = (x - best.x) / t
    return best.fun, v / np.sqrt(1.2 * np.hypot(*v))


def test_a_global_search_agrees_where_rays_have_crossed() -> None:
    rays = in_the_plane(plane([0, 1.0, 0, 0, 0], 0.4, 3.0), 0.6, PLACES_2D)
    assert bool(rays.result == hj.RESULTS.successful)  # known to be convex: a crossing is no shock
    assert (np.asarray(rays.stats["branches"]) > 1).any()
    values, slopes = zip(*(lowest_by_search(x, 0.6) for x in PLACES_2D), strict=True)
    np.testing.assert_allclose(rays.u[0], values, rtol=0, atol=1e-9)
    # the search stops at a slope of 1e-9 or where an ulp of the energy hides it
    np.testing.assert_allclose(rays.gradient[0], slopes, rtol=0, atol=1e-6)


def test_points_that_no_ray_reaches() -> None:
    """The kink of |x₀| under H = |p|² sends out a fan; no ray that starts off the kink enters it."""
    problem = plane([0, 0, 0, 1.0, 0], 1.0, 2.0)
    x = np.where(np.arange(15)[:, None] < 5, [0.5, 0.0], [1.5, 0.3])
    with pytest.raises(RuntimeError, match="stopped before its tolerance"):
        in_the_plane(problem, 0.5, x)
    solution = in_the_plane(problem, 0.5, x, throw=False)
    assert np.isnan(solution.u[0, :5]).all()
    np.testing.assert_allclose(solution.u[0, 5:], 1.0, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_the_time_of_the_first_crossing() -> None:
    """H = 0.4|p|³ and g = cos 2y₀: −1/min (H'(g'))' = −1/min H''(g') g'', with H'' = 2.4|p|."""
    y = np.linspace(-1, 1, 2_000_001)
    slowing = 2.4 * np.abs(2 * np.sin(2 * y)) * -4 * np.cos(2 * y)
    found = ONE.shock_time(plane([0, 0, 1.0, 0, 0], 0.4, 3.0))
    np.testing.assert_allclose(found, -1 / slowing.min(), rtol=0, atol=1e-9)


def test_a_focus_in_two_dimensions() -> None:
    """H = |p|², g = −½x·Ax: ∂x/∂y = I − 2tA is singular at t = 1/(2 max A), everywhere at once."""
    expected = 0.5 / np.linalg.eigvalsh(BEND).max()
    np.testing.assert_allclose(ONE.shock_time(plane([0, 0, 0, 0, 1.0], 1.0, 2.0)), expected, rtol=1e-9)
    assert np.isinf(ONE.shock_time(plane([0, 0, 0, 0, -1.0], 1.0, 2.0)))


@pytest.mark.slow
def test_float32() -> None:
    x, t = np.linspace(-1, 1, 9), 0.6
    problem = hj.Problem(H.Quadratic(0.8), 0.0, hj.initials.Quadratic(1.3), hj.Box([-1.0], [1.0]), 1.0)
    with jax.enable_x64(False):
        solution = hj.solve(problem, Characteristics(16, 1), [t], points=x[:, None])
    assert solution.u.dtype == np.float32
    stretch = 1 + 2 * 0.8 * t * 1.3
    np.testing.assert_allclose(solution.u[0], 0.65 / stretch * x**2, rtol=0, atol=5e-6)  # tens of ulp
    np.testing.assert_allclose(solution.gradient[0, :, 0], 1.3 / stretch * x, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: Characteristics(rays=0), r"`rays` must be a whole number >= 1; got 0"),
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
