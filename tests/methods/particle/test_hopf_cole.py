import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import atoms_solution, cauchy_1d
from scipy.special import logsumexp

import hjsolve as hj

HopfCole = hj.methods.particle.HopfCole
rules = hj.methods.particle.rules


def blend(mix, x):
    """Waves, one wave, a far well, a kink and a parabola, by their shares: data of one type, for shared programs."""
    waves, well = jnp.sin(3 * x[0]) + 0.3 * x[0] ** 2, -10 * jnp.exp(-((x[0] - 6) ** 2))
    return mix @ jnp.stack([waves, jnp.sin(2 * x[0]), well, jnp.abs(x[0]), 0.5 * x[0] ** 2])


WAVY, SINE, WELL, KINK, _ = (hj.initials.Custom(eqx.Partial(blend, row)) for row in np.eye(5))


def parabola(a: float) -> hj.initials.Custom:
    """½ a x²."""
    return hj.initials.Custom(eqx.Partial(blend, jnp.zeros(5).at[4].set(a)))


TRAPEZOID = HopfCole(nodes=1024)


def column(places, count: int = 41) -> np.ndarray:
    """Points `[count, 1]` that repeat `places`: one shape, compiled once."""
    return np.resize(places, count)[:, None]


def problem(initial, epsilon, *, c=1.0, d=1, domain=None, horizon=1.0) -> hj.Problem:
    domain = hj.Box([-1.5] * d, [1.5] * d) if domain is None else domain
    return hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, initial, domain, horizon)


@pytest.mark.parametrize(("a", "epsilon", "c"), [(1.3, 0.1, 1.0), (-0.4, 0.1, 0.5), (1.3, 0.0, 2.0)])
def test_quadratic_data(a: float, epsilon: float, c: float) -> None:
    x = np.random.default_rng(0).uniform(-1.5, 1.5, size=41)
    solution = hj.solve(problem(parabola(a), epsilon, c=c), HopfCole(), [0.5, 1.0], points=x[:, None])
    for row, slope, t in zip(solution.u, solution.gradient, (0.5, 1.0), strict=True):
        stretch = 1 + 2 * c * t * a
        expected = 0.5 * a / stretch * x**2 + epsilon / (2 * c) * np.log(stretch)
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-13)  # round-off: a few ulp of the largest energies
        np.testing.assert_allclose(slope[:, 0], a / stretch * x, rtol=0, atol=1e-12)


def two_waves(epsilon, kappa, x):
    return -epsilon * jnp.log(3.0 + 1.5 * jnp.cos(x @ kappa))


@pytest.mark.parametrize("epsilon", [1.0, 0.05])
def test_periodic_data(epsilon: float) -> None:
    """w = A + B e^{−ε|κ|²t} cos(κ·x) on a torus, written out."""
    kappa = np.array([np.pi, 2 * np.pi])
    w = lambda t, x: 3.0 + 1.5 * np.exp(-epsilon * (kappa @ kappa) * t) * np.cos(x @ kappa)
    initial = hj.initials.Custom(eqx.Partial(two_waves, np.asarray(epsilon), kappa))
    torus = hj.Torus([-1.0, -1.0], [1.0, 1.0])
    x = np.random.default_rng(0).uniform(-1, 1, size=(30, 2))
    p = problem(initial, epsilon, domain=torus, d=2, horizon=0.3)
    solution = hj.solve(p, HopfCole(nodes=192), [0.1, 0.3], points=x)
    for row, t in zip(solution.u, (0.1, 0.3), strict=True):
        np.testing.assert_allclose(row, -epsilon * np.log(w(t, x)), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("method", "count"), [(HopfCole(), 41), (TRAPEZOID, 1012), (HopfCole(samples=256), 41)])
def test_hopf_lax_of_the_absolute_value(method: HopfCole, count: int) -> None:
    x, ts = np.linspace(-2, 2, count), [0.25, 0.5]
    p = problem(KINK, 0.0, domain=hj.Box([-2.0], [2.0]), horizon=0.5)
    solution = hj.solve(p, method, ts, points=x[:, None])
    for k, t in enumerate(ts):
        expected = np.where(np.abs(x) <= 2 * t, x**2 / (4 * t), np.abs(x) - t)
        np.testing.assert_allclose(solution.u[k], expected, rtol=0, atol=1e-14)  # refined to round-off
        slope = np.where(np.abs(x) <= 2 * t, x / (2 * t), np.sign(x))
        np.testing.assert_allclose(solution.gradient[k, :, 0], slope, rtol=0, atol=1e-7)  # √ulp where the fan ends


@pytest.mark.parametrize("epsilon", [2.0, 0.1, 0.01])
@pytest.mark.parametrize("c", [1.0, 0.4])
def test_smooth_data_against_adaptive_quadrature(epsilon: float, c: float) -> None:
    g = lambda x: np.sin(3 * x) + 0.3 * x**2
    x = np.array([-1.4, -0.5, 0.1, 1.2])
    p = problem(WAVY, epsilon, c=c, horizon=0.5)
    solution = hj.solve(p, HopfCole(), [0.2, 0.5], points=column(x))
    for row, t in zip(solution.u, (0.2, 0.5), strict=True):
        expected = [cauchy_1d(g, t, place, epsilon, c) for place in x]
        np.testing.assert_allclose(row[:4], expected, rtol=0, atol=1e-11)  # the reference's own tolerance


def test_float32() -> None:
    """Waves, and a kink at an ε that its slope is a thousand times, to some ulp of the largest energy."""
    x = np.linspace(-1.4, 1.4, 41)
    for initial, g, epsilon in ((WAVY, lambda y: np.sin(3 * y) + 0.3 * y**2, 0.05), (KINK, abs, 1e-3)):
        with jax.enable_x64(False):
            solution = hj.solve(problem(initial, epsilon), HopfCole(), [1.0], points=column(x))
        assert solution.u.dtype == np.float32
        expected = [cauchy_1d(g, 1.0, a, epsilon) for a in x[::8]]
        np.testing.assert_allclose(solution.u[0, ::8], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("d", [1, 10])
@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.5])
def test_atoms_equal_the_sum_over_them(d: int, epsilon: float) -> None:
    rng = np.random.default_rng(0)
    y, g, omega = rng.normal(size=(50, d)), rng.normal(size=50), rng.uniform(0.2, 3, size=50)
    x = rng.normal(size=(30, d))
    p = problem(hj.initials.Atoms(y, g, omega), epsilon, c=0.7, d=d)
    solution = hj.solve(p, HopfCole(), [0.3, 1.0], points=x)
    for row, t in zip(solution.u, (0.3, 1.0), strict=True):
        np.testing.assert_allclose(row, atoms_solution(x, t, y, g, epsilon, 0.7, omega), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_residual_of_the_equation_atoms_really_solve() -> None:
    rng = np.random.default_rng(0)
    y, g, omega = rng.normal(size=(20, 2)), rng.normal(size=20), rng.uniform(0.2, 3, size=20)
    x = rng.normal(size=(5, 2))
    p = problem(hj.initials.Atoms(y, g, omega), 0.2, c=0.7, d=2)
    solution = hj.solve(p, HopfCole(), [0.5], points=x)
    both = jax.jit(jax.vmap(lambda z: [q.residual(solution, 0.5, z) for q in (solution.equation, p)]))
    right, bare = both(jnp.asarray(x))
    # round-off of second derivatives of size 1/(2ct) + |y|²/(4ct²ε) ~ 100
    assert np.abs(right).max() < 1e-12
    # without the source dε/(2ct) it is off by just that
    np.testing.assert_allclose(bare, -2 * 0.2 / (2 * 0.7 * 0.5), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_derivatives_in_every_number_and_the_residual() -> None:
    def u(epsilon, c, a, t, x):
        p = problem(parabola(a), epsilon, c=c)
        return hj.solve(p, HopfCole(nodes=400), t[None], points=x[None, None]).u[0, 0]

    def closed(epsilon, c, a, t, x):
        stretch = 1 + 2 * c * t * a
        return 0.5 * a / stretch * x**2 + epsilon / (2 * c) * jnp.log(stretch)

    def slopes(f):
        """The first derivatives of f, and their derivatives in x."""
        gradient = jax.grad(f, argnums=(0, 1, 2, 3, 4))
        *numbers, x = map(jnp.asarray, (0.1, 0.7, 1.3, 0.8, 0.4))
        return jax.jit(lambda *n: jax.jvp(lambda z: gradient(*n, z), (x,), (jnp.ones(()),)))(*numbers)

    first, second = slopes(u)
    expected, bent = slopes(closed)
    np.testing.assert_allclose(first, expected, rtol=0, atol=1e-9)  # the quadrature differentiated: spectral too
    np.testing.assert_allclose(second, bent, rtol=0, atol=1e-8)
    assert abs(first[3] + 0.7 * first[4] ** 2 - 0.1 * second[4]) < 1e-10


def test_semigroup() -> None:
    """From t = 0 to 0.5 at once, and to 0.2 and then 0.3 further by a trapezoid rule in NumPy."""
    x, epsilon = np.linspace(-1.5, 1.5, 11)[:, None], 0.1
    p = problem(SINE, epsilon, domain=hj.Box([-6.0], [6.0]), horizon=0.5)
    nodes = np.linspace(-6, 6, 1001)[:, None]  # |p| <= 2 for a time of 0.3, and 15 widths of noise
    solution = hj.solve(p, TRAPEZOID, [0.2, 0.5], points=np.concatenate([nodes, x]))
    first, whole = np.asarray(solution.u[0, :-11]), solution.u[1, -11:]
    exponents = -(first + (x - nodes[:, 0]) ** 2 / (4 * 0.3)) / epsilon + np.log(0.012)
    second = -epsilon * (logsumexp(exponents, axis=1) - 0.5 * np.log(4 * np.pi * epsilon * 0.3))
    np.testing.assert_allclose(second, whole, rtol=0, atol=1e-11)  # spectral: 20 nodes in a width of the kernel


def test_time_zero_returns_the_data() -> None:
    points = column([-1.4, -0.5, 0.1, 1.2])
    x = points[:, 0]
    solution = hj.solve(problem(WAVY, 0.1, horizon=0.5), HopfCole(), [0.0, 0.5], points=points)
    np.testing.assert_allclose(solution.u[0], np.sin(3 * x) + 0.3 * x**2, rtol=0, atol=1e-15)
    np.testing.assert_allclose(solution.gradient[0, :, 0], 3 * np.cos(3 * x) + 0.6 * x, rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match="`ts` must be > 0 for Atoms, which are singular at t = 0"):
        hj.solve(problem(hj.initials.Atoms([[0.0]], [0.0]), 0.1), HopfCole(), [0.0], points=points)


def test_points_outside_the_box_are_answered_as_the_cauchy_problem() -> None:
    p = problem(WAVY, 0.1, horizon=0.5)
    places = (0.1, 9.0, -1.2, 20.0)
    solution = hj.solve(p, HopfCole(), [0.2, 0.5], points=column(places))
    expected = [cauchy_1d(lambda y: np.sin(3 * y) + 0.3 * y**2, 0.5, x, 0.1) for x in places]
    # the adaptive reference's own tolerance
    np.testing.assert_allclose(solution.u[1, :4], expected, rtol=1e-12, atol=1e-11)
    inside = hj.solve(p, HopfCole(), [0.2, 0.5], points=column([0.1, 0.2, -1.2, 0.3]))
    np.testing.assert_array_equal(solution.u[:, ::2], inside.u[:, ::2])  # the others change nothing
    # atoms are all there is, so their solution is right anywhere
    y, g = np.linspace(0, 1, 50)[:, None], np.linspace(0, 0.2, 50)
    atoms = problem(hj.initials.Atoms(y, g, np.ones(50)), 0.1)
    far = hj.solve(atoms, HopfCole(), [0.5, 1.0], points=column([30.0], 30))
    np.testing.assert_allclose(far.u[1], atoms_solution(column([30.0], 30), 1.0, y, g, 0.1), rtol=1e-13)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HopfCole(nodes=2), r"`nodes` must be >= 4 per axis; got 2"),
        (
            lambda: HopfCole(nodes=(9, 9.5)),
            r"`nodes` must be a whole number, or a list of one per axis; got \(9, 9\.5\)",
        ),
        (
            lambda: run(problem(hj.initials.Norm(), 0.1, d=2), HopfCole(nodes=(9,))),
            r"`nodes` must have one entry per axis",
        ),
        (
            lambda: run(problem(hj.initials.Norm(), 0.1, d=5), HopfCole(rule=rules.Trapezoid())),
            r"HopfCole by the trapezoid rule is for d <= 4.*d = 5.*Atoms",
        ),
        (
            lambda: run(problem(hj.initials.Norm(), 0.1, d=2), HopfCole(rule=rules.GaussPanels())),
            r"GaussPanels is for d = 1; the problem has d = 2\. Use GaussHermite",
        ),
        (
            lambda: run(problem(hj.initials.Norm(), 0.1, d=1), HopfCole(rule=rules.GaussHermite())),
            r"GaussHermite is for 2 <= d <= 5; the problem has d = 1\. Use GaussPanels",
        ),
        (
            lambda: run(problem(hj.initials.Norm(), 0.1), HopfCole(rule=rules.PiecewiseLinear())),
            r"PiecewiseLinear needs `initial` = Gridded.*got Norm with d = 1",
        ),
        (lambda: HopfCole(64, samples=512), r"Only one of `nodes`, `samples` and `rule`.*got nodes and samples"),
        (
            lambda: HopfCole(rule="sobol"),
            r"`rule` must be an instance .*particle\.rules.*got 'sobol'",
        ),
        (lambda: HopfCole(samples=100), r"`samples` must be a whole number >= 256; got 100"),
        (lambda: HopfCole(samples=(512, 512)), r"`samples` must be a whole number >= 256"),
        (lambda: rules.Sampled(points="halton"), r"`points` must be 'sobol' or 'random'; got 'halton'"),
        (
            lambda: run(hj.Problem(hj.hamiltonians.Eikonal(), 0.1, hj.initials.Norm(), hj.Box([0.0], [1.0]), 1.0)),
            r"HopfCole needs `hamiltonian` = Quadratic\(c\); got Eikonal.*FiniteDifference",
        ),
        (
            lambda: run(problem(hj.initials.Norm(), hj.viscosities.Varying(lambda t, x: 0.1))),
            r"HopfCole needs a constant `viscosity`; got Varying",
        ),
        (
            lambda: run(problem(hj.initials.Custom(lambda x: x[0]), 0.1, domain=hj.Torus([0.0], [1.0]))),
            r"`initial` must be periodic for HopfCole.*jumps by 1 across axis 0.*Use a Box",
        ),
        (
            lambda: run(problem(hj.initials.Atoms([[0.0]], [0.0]), 0.1, domain=hj.Torus([0.0], [1.0]))),
            r"`domain` must not be periodic for Atoms",
        ),
        (lambda: hj.solve(problem(hj.initials.Norm(), 0.1), HopfCole(), [1.0]), r"`points` is needed: HopfCole"),
    ],
)
def test_what_it_cannot_solve_is_refused_before_starting(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def run(p: hj.Problem, method=None) -> hj.Solution:
    return hj.solve(p, method or HopfCole(), [1.0], points=np.full((1, p.dimension), 0.5))


def test_equation_is_the_problem_itself_for_function_data() -> None:
    p = problem(hj.initials.Norm(), 0.1)
    assert eqx.tree_equal(HopfCole().equation(p), p)


@pytest.mark.parametrize("a", [100.0, 1e4])
def test_steep_data_are_resolved_where_the_solution_depends_on_them(a: float) -> None:
    """The node box follows what matters, not the largest slope: quadratic data of any steepness at default nodes."""
    x, t = np.random.default_rng(1).uniform(-1, 1, size=41), 0.5
    p = problem(parabola(a), 0.1, domain=hj.Box([-1.0], [1.0]), horizon=t)
    solution = hj.solve(p, HopfCole(), [t / 2, t], points=x[:, None])
    stretch = 1 + 2 * t * a
    np.testing.assert_allclose(solution.u[1], 0.5 * a / stretch * x**2 + 0.05 * np.log(stretch), rtol=1e-12)
    assert bool(solution.result == hj.RESULTS.successful)


@pytest.mark.parametrize("epsilon", [0.0, 1e-3, 0.1])
def test_a_well_outside_the_box_is_seen(epsilon: float) -> None:
    well = lambda y: -10 * np.exp(-((y - 6) ** 2))
    p = problem(WELL, epsilon, domain=hj.Box([-2.0], [2.0]), horizon=0.5)
    u = hj.solve(p, HopfCole(), [0.25, 0.5], points=column([2.0, 1.5])).u[1, :2]
    if epsilon == 0:
        y = np.linspace(-2, 12, 2_000_001)
        expected = [(well(y) + (x - y) ** 2 / 2).min() for x in (2.0, 1.5)]
    else:
        expected = [cauchy_1d(well, 0.5, x, epsilon) for x in (2.0, 1.5)]
    np.testing.assert_allclose(u, expected, rtol=0, atol=1e-9)  # the references' own accuracy


def test_data_that_fall_too_fast_have_no_solution() -> None:
    p = problem(parabola(-2.0), 0.1, horizon=0.9)
    with pytest.raises(RuntimeError, match="no solution up to the horizon"):
        hj.solve(p, HopfCole(), [0.1, 0.9], points=np.full((41, 1), 0.5))
