"""Against closed forms, the secular equation, SciPy's bounded optimiser, and brute force on fine grids.

A program takes longer to compile than to run, so tests differ in numbers and share programs.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central
from scipy.optimize import brentq, linprog, minimize

import hjsolve as hj
from hjsolve.methods.particle import Hopf, HopfLax

H = hj.hamiltonians
RNG = np.random.default_rng(5)
T = 0.7


class Bowl(hj.initials.AbstractInitial):
    """½ yᵀAy + b·y."""

    A: jax.Array
    b: jax.Array

    def __call__(self, y):
        return 0.5 * y @ (self.A @ y) + self.b @ y


@eqx.filter_jit
def on_all(exact, t, x):
    return jax.vmap(jax.value_and_grad(lambda z: exact(t, z)))(x)


def expect(exact, t, x) -> tuple[np.ndarray, np.ndarray]:
    u, slope = on_all(exact, jnp.asarray(t), jnp.asarray(x))
    return np.asarray(u), np.asarray(slope)


def bowl(d: int, condition: float) -> tuple[np.ndarray, np.ndarray]:
    frame = np.linalg.qr(RNG.normal(size=(d, d)))[0]
    return (frame * np.geomspace(0.05, 0.05 * condition, d)) @ frame.T, RNG.normal(size=d)


def solve(hamiltonian, initial, x, *, t=T, method=None, half=2.0, **kwargs) -> hj.Solution:
    d = np.shape(x)[1]
    problem = hj.Problem(hamiltonian, 0.0, initial, hj.Box([-half] * d, [half] * d), 2.0)
    return hj.solve(problem, method or HopfLax(starts=1), [t], points=x, **kwargs)


def by_resolvent(A, b, x, t):
    """H = ½|p|²: (I + tA) y = x − tb."""
    return np.linalg.solve(np.eye(len(b)) + t * A, x - t * b)


def by_secular_equation(A, b, x, t):
    """H = |p|: the least of the quadratic over the ball |y − x| <= t, by the multiplier of the constraint."""
    values, frame = np.linalg.eigh(A)
    pull = frame.T @ (A @ x + b)
    length = lambda mu: np.linalg.norm(pull / (values + mu))
    mu = (
        0.0
        if length(0.0) <= t
        else brentq(lambda m: length(m) - t, 0, np.linalg.norm(pull) / t, xtol=1e-15, rtol=1e-14)
    )
    return x - frame @ (pull / (values + mu))


def by_bounds(A, b, x, t):
    """H = |p|₁: the least over the box |y − x|_∞ <= t, by L-BFGS-B and one solve on the free coordinates."""
    found = minimize(
        lambda y: (0.5 * y @ A @ y + b @ y, A @ y + b),
        x,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(x - t, x + t, strict=True)),
        options={"ftol": 1e-16, "gtol": 1e-9, "maxiter": 5000, "maxfun": 50000},
    ).x
    free = np.abs(found - x) < t * (1 - 1e-9)
    y = np.where(free, found, x + t * np.sign(found - x))
    y[free] = np.linalg.solve(A[np.ix_(free, free)], -(b[free] + A[np.ix_(free, ~free)] @ y[~free]))
    return y


HIGH = {
    "half square": (H.Quadratic(0.5), by_resolvent, lambda v: 0.5 * v @ v, lambda p: 0.5 * p @ p),
    "eikonal": (H.Eikonal(), by_secular_equation, lambda v: 0.0, np.linalg.norm),
    "one-norm": (H.Norm(1), by_bounds, lambda v: 0.0, lambda p: np.abs(p).sum()),
}


@pytest.mark.parametrize("name", sorted(HIGH))
@pytest.mark.parametrize("condition", [pytest.param(5.0, marks=pytest.mark.slow), 100.0])
def test_a_hundred_dimensions(name: str, condition: float) -> None:
    hamiltonian, reference, lagrangian, energy = HIGH[name]
    A, b = bowl(100, condition)
    x = RNG.normal(size=(20, 100))
    several = name == "half square"  # what starts are compared by knows nothing of H
    solution = solve(hamiltonian, Bowl(A, b), x, method=HopfLax() if several else HopfLax(starts=1))
    u, gradient, gaps = (np.asarray(a[0]) for a in (solution.u, solution.gradient, solution.stats["gap"]))
    for i, place in enumerate(x):
        y = reference(A, b, place, T)
        expected = 0.5 * y @ A @ y + b @ y + T * lagrangian((place - y) / T)
        slope = A @ y + b
        # the reference is optimal itself: its own duality gap
        gap = T * (lagrangian((place - y) / T) + energy(slope)) - slope @ (place - y)
        assert abs(gap) < 1e-9
        # u is stationary at the minimiser: its error is of second order in that of y
        np.testing.assert_allclose(u[i], expected, rtol=0, atol=2e-10)
        np.testing.assert_allclose(gradient[i], slope, rtol=0, atol=1e-6)
        assert u[i] - expected <= gaps[i] + 1e-12  # it is a bound
    assert (gaps <= 4e-11 * (1 + np.abs(u))).all()


def test_a_thousand_dimensions() -> None:
    hamiltonian, reference, lagrangian, _ = HIGH["eikonal"]
    A, b = bowl(1000, 10.0)
    x = RNG.normal(size=(2, 1000))
    solution = solve(hamiltonian, Bowl(A, b), x)
    y = reference(A, b, x[0], T)
    expected = 0.5 * y @ A @ y + b @ y + T * lagrangian((x[0] - y) / T)
    np.testing.assert_allclose(solution.u[0, 0], expected, rtol=1e-11)


def wells(shares, y):
    """An egg box, and two tilted wells an axis, by their shares."""
    return shares @ jnp.stack([jnp.sum(jnp.sin(3 * y) + 0.2 * y**2), jnp.sum((y**2 - 1) ** 2 / 4 + 0.1 * y)])


def from_wells(c: float, exponent: float, shares: list[float], t: float, x) -> hj.Solution:
    """H = c|p|^exponent in the plane: one program for 40 points."""
    initial = hj.initials.Custom(eqx.Partial(wells, np.array(shares)))
    problem = hj.Problem(H.Power(c, exponent), 0.0, initial, hj.Box([-2.0] * 2, [2.0] * 2), t)
    return hj.solve(problem, HopfLax(), [t], points=np.resize(x, (40, 2)))


@pytest.mark.parametrize(
    "exponent", [1.5, pytest.param(3.0, marks=pytest.mark.slow), pytest.param(4.0, marks=pytest.mark.slow)]
)
def test_powers_and_data_with_many_wells_against_brute_force(exponent: float) -> None:
    c, t = 0.6, 0.8
    x = RNG.uniform(-2, 2, size=(6, 2))
    solution = from_wells(c, exponent, [1.0, 0.0], t, x)
    assert float(solution.stats["agreement"].min()) < 1  # starts end in different wells
    dual = exponent / (exponent - 1)
    scale = (1 - 1 / exponent) * (c * exponent) ** (-1 / (exponent - 1))
    for place, value in zip(x, np.asarray(solution.u[0, :6]), strict=True):
        centre, half = place, 4.0
        for _ in range(10):  # ever finer grids around the best node
            axes = [np.linspace(a - half, a + half, 201) for a in centre]
            y = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
            heights = np.sin(3 * y).sum(1) + 0.2 * (y**2).sum(1)
            heights = heights + t * scale * (np.linalg.norm(place - y, axis=1) / t) ** dual
            centre, half = y[heights.argmin()], half / 10
        np.testing.assert_allclose(value, heights.min(), rtol=0, atol=1e-12)


def test_wells_nearer_than_the_reach_of_steep_data() -> None:
    """At long times the starts lie far apart; minima on lines through the best end lead to the lowest of four wells."""
    x, y = np.random.default_rng(1).uniform(-1, 1, size=(40, 2)), np.linspace(-4, 4, 80_001)
    for t in (10.0, 1000.0):
        one = (y**2 - 1) ** 2 / 4 + 0.1 * y + (x[..., None] - y) ** 2 / (4 * t)
        solution = from_wells(1.0, 2.0, [0.0, 1.0], t, x)
        np.testing.assert_allclose(solution.u[0], one.min(2).sum(1), rtol=0, atol=1e-8)  # of the sampling


@pytest.mark.slow
def test_the_kinked_convex_case_of_osher_and_shu() -> None:
    exact = hj.exact.osher_shu_convex()
    x, t = np.linspace(-1, 1, 41)[:, None], 1.5 / np.pi**2
    hamiltonian = H.ConvexSeparable(exact.hamiltonian)
    problem = hj.Problem(hamiltonian, 0.0, exact.initial, hj.Torus([-1.0], [1.0]), 1.0)
    solution = hj.solve(problem, HopfLax(), [t], points=x)
    u, slope = expect(exact, t, x)
    np.testing.assert_allclose(solution.u[0], u, rtol=0, atol=1e-13)
    np.testing.assert_allclose(solution.gradient[0], slope, rtol=0, atol=1e-7)  # no grid point lies on the kink


@pytest.mark.slow
def test_discs_that_merge() -> None:
    exact = hj.exact.EikonalDiscs([[-0.5, 0.1], [0.6, -0.2], [0.1, 0.7]], [0.2, 0.1, 0.3], 1.2)
    x = RNG.uniform(-1.5, 1.5, size=(60, 2))
    solution = hj.solve(exact.problem(), HopfLax(), [0.2, 0.5], points=x)
    for row, t in zip(solution.u, (0.2, 0.5), strict=True):
        # where a centre is within reach the minimum is the tip of a cone, found without derivatives
        np.testing.assert_allclose(row, expect(exact, t, x)[0], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_absolute_value_and_its_fan() -> None:
    exact = hj.exact.AbsoluteValue(0.0, 0.7)
    x = np.linspace(-2, 2, 42)[:, None]
    solution = hj.solve(exact.problem(), HopfLax(), [0.0, T], points=x)
    np.testing.assert_allclose(solution.u[0], np.abs(x[:, 0]), rtol=0, atol=0)  # time 0: the data themselves
    np.testing.assert_allclose(solution.gradient[0], np.sign(x), rtol=1e-15)
    u, slope = expect(exact, T, x)
    np.testing.assert_allclose(solution.u[1], u, rtol=0, atol=1e-13)
    np.testing.assert_allclose(solution.gradient[1], slope, rtol=0, atol=1e-9)
    assert float(solution.stats["gap"].max()) < 1e-10


class KinkedBowl(Bowl):
    """½ yᵀAy + b·y + k|y|."""

    k: jax.Array

    def __call__(self, y):
        return super().__call__(y) + self.k * hj.initials.Norm()(y)


@pytest.mark.slow
def test_problems_batch_with_kinks_and_without() -> None:
    """In three dimensions g = |y|, H = ½|p|²: the Huber function of x; and a bowl with H = c|p|²."""
    A, b = bowl(3, 10.0)
    x = RNG.normal(size=(20, 3))
    data = KinkedBowl(np.stack([0 * A, A, A]), np.stack([0 * b, b, b]), np.array([1.0, 0.0, 0.0]))
    one = lambda c, initial: solve(H.Quadratic(c), initial, x, method=HopfLax(starts=4)).u[0]
    huber, *others = np.asarray(eqx.filter_vmap(one)(np.array([0.5, 0.5, 1.1]), data))
    r = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(huber, np.where(r <= T, r**2 / (2 * T), r - T / 2), rtol=0, atol=1e-10)
    for c, row in zip((0.5, 1.1), others, strict=True):
        for place, value in zip(x, row, strict=True):
            y = by_resolvent(A, b, place, 2 * c * T)
            expected = 0.5 * y @ A @ y + b @ y + (place - y) @ (place - y) / (4 * c * T)
            np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_polyhedral_hamiltonians() -> None:
    """For g = p₀·y: u = p₀·x − tH(p₀). For a bowl and |p|_1 as the maximum of 8 planes: the least over a box."""
    slopes, offsets = RNG.normal(size=(6, 3)), RNG.normal(size=6)
    p, x = RNG.normal(size=3), RNG.normal(size=(5, 3))
    solution = solve(H.Polyhedral(slopes, offsets), hj.initials.Custom(lambda y: jnp.sum(p * y)), x)
    np.testing.assert_allclose(solution.u[0], x @ p - T * (slopes @ p + offsets).max(), rtol=0, atol=1e-12)
    signs = np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)
    A, b = bowl(3, 10.0)
    solution = solve(H.Polyhedral(signs), Bowl(A, b), x)
    for place, value, slope in zip(x, *map(np.asarray, (solution.u[0], solution.gradient[0])), strict=True):
        y = by_bounds(A, b, place, T)
        np.testing.assert_allclose(value, 0.5 * y @ A @ y + b @ y, rtol=0, atol=1e-10)
        np.testing.assert_allclose(slope, A @ y + b, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_cross_polytope_against_linear_programming() -> None:
    """g = max_k a_k·y + b_k over |x − y|_1 <= t: a linear programme, kinks at the minimiser included."""
    pieces, heights = RNG.normal(size=(5, 2)), RNG.normal(size=5)
    x = RNG.normal(size=(12, 2))
    initial = hj.initials.Custom(lambda y: jnp.max(pieces @ y + heights))
    solution = solve(H.Norm(np.inf), initial, x)
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    for place, value in zip(x, np.asarray(solution.u[0]), strict=True):
        best = linprog(
            [0, 0, 1],
            A_ub=np.block([[pieces, -np.ones((5, 1))], [signs, np.zeros((4, 1))]]),
            b_ub=np.concatenate([-heights, T + signs @ place]),
            bounds=[(None, None)] * 3,
        )
        np.testing.assert_allclose(value, best.fun, rtol=0, atol=1e-9)  # the programme's own tolerance


@pytest.mark.parametrize("hamiltonian", [H.Quadratic(0.7), H.Power(0.5, 3.0), H.Norm(np.inf, 2.0)], ids=str)
def test_atoms_are_compared_directly(hamiltonian) -> None:
    y, g, x = RNG.normal(size=(700, 3)), RNG.normal(size=700), RNG.normal(size=(40, 3))
    problem = hj.Problem(hamiltonian, 0.0, hj.initials.Atoms(y, g), hj.Box([-1.0] * 3, [1.0] * 3), 2.0)
    solution = hj.solve(problem, HopfLax(), [1.5], points=x)
    v = (x[:, None] - y[None]) / 1.5
    speed = np.linalg.norm(v, axis=2)
    costs = {
        "Quadratic": lambda: speed**2 / 2.8,
        "Power": lambda: (2 / 3) * speed * (speed / 1.5) ** 0.5,
        "Norm": lambda: np.where(np.abs(v).sum(2) <= 2.0, 0.0, np.inf),
    }[type(hamiltonian).__name__]()
    np.testing.assert_allclose(solution.u[0], (g + 1.5 * costs).min(1), rtol=1e-13, atol=1e-14)
    if isinstance(hamiltonian, H.Quadratic):
        coles = hj.solve(problem, hj.methods.particle.HopfCole(), [1.5], points=x)
        np.testing.assert_allclose(solution.gradient, coles.gradient, rtol=0, atol=1e-12)


def test_atoms_out_of_reach_leave_no_solution() -> None:
    problem = hj.Problem(H.Eikonal(), 0.0, hj.initials.Atoms([[0.0]], [0.0]), hj.Box([-1.0], [1.0]), 1.0)
    assert float(hj.solve(problem, HopfLax(), [0.5], points=[[0.4]]).u[0, 0]) == 0.0
    with pytest.raises(RuntimeError, match="NaN or infinite"):
        hj.solve(problem, HopfLax(), [0.5], points=[[0.6]])


@pytest.mark.slow
def test_derivatives_are_those_of_the_envelope() -> None:
    """Also where the constraint |x − y| <= st is active: ∂u/∂t = −s|p|, ∂u/∂s = −t|p|."""
    A, b = bowl(4, 10.0)

    def u(arguments, epsilon):
        speed, t, scale, x = arguments[0], arguments[1], arguments[2], arguments[3:]
        problem = hj.Problem(H.Eikonal(speed), epsilon, Bowl(scale * A, b), hj.Box([-2.0] * 4, [2.0] * 4), 2.0)
        return hj.solve(problem, HopfLax(starts=1), [t], points=x[None]).u[0, 0]

    @jax.jit
    def all_of(arguments, epsilon):
        value, forward = jax.linearize(lambda a: u(a, epsilon), arguments)
        (slopes,) = jax.linear_transpose(forward, arguments)(1.0)
        return value, slopes, forward(jnp.ones(7))

    start = np.array([0.8, 0.6, 1.3, 0.4, -1.0, 0.3, 1.2])
    _, slopes, along = map(np.asarray, all_of(start, 0.0))
    for i in range(7):
        varied = lambda a, i=i: float(all_of(np.where(np.arange(7) == i, a, start), 0.0)[0])
        difference = central(varied, start[i])
        np.testing.assert_allclose(slopes[i], difference, rtol=0, atol=1e-7)  # 1e-11 in u over a step of 1e-4
    np.testing.assert_allclose(along, slopes.sum(), rtol=1e-12)  # forward mode
    assert np.isnan(all_of(start, 0.1)[0])  # a traced viscosity that is not zero gives no number


@pytest.mark.slow
def test_float32() -> None:
    A, b = bowl(100, 5.0)
    x = RNG.normal(size=(20, 100))
    with jax.enable_x64(False):
        low = solve(H.Norm(1), Bowl(A, b), x)
    assert low.u.dtype == np.float32
    high = solve(H.Norm(1), Bowl(A, b), x)
    # the tolerance of float32, 2e-5 (1 + |u|)
    np.testing.assert_allclose(low.u, high.u, rtol=2e-5, atol=2e-5)


def test_what_is_not_reached_is_said_and_bounded() -> None:
    A, b = bowl(100, 100.0)
    x = RNG.normal(size=(20, 100))
    short = HopfLax(starts=1, max_iterations=3)
    with pytest.raises(RuntimeError, match="stopped before its tolerance"):
        solve(H.Norm(1), Bowl(A, b), x, method=short)
    solution = solve(H.Norm(1), Bowl(A, b), x, method=short, throw=False)
    error = np.asarray(solution.u) - np.asarray(solve(H.Norm(1), Bowl(A, b), x).u)
    assert error.max() > 1e-3
    assert (error <= np.asarray(solution.stats["gap"]) + 1e-10).all()  # the gap bounds it even then


def not_convex(shares, t, x, p):
    """|p₁| − |p₂| and −Σ cos(2p + 1) by their shares."""
    difference, cosine = jnp.abs(p[0]) - jnp.abs(p[1]), -jnp.sum(jnp.cos(2 * p + 1), axis=0)
    return shares[0] * difference + shares[1] * cosine


@pytest.mark.slow
@pytest.mark.parametrize("name", ["difference", "cosine"])
def test_hopf_formula_for_hamiltonians_that_are_not_convex(name: str) -> None:
    shares, formula = {
        "difference": ([1.0, 0.0], lambda p: np.abs(p[..., 0]) - np.abs(p[..., 1])),
        "cosine": ([0.0, 1.0], lambda p: -np.cos(2 * p + 1).sum(-1)),
    }[name]
    hamiltonian = H.Custom(eqx.Partial(not_convex, np.array(shares)))
    A = np.array([[1.0, 0.3], [0.3, 2.0]])
    x = RNG.normal(size=(6, 2))
    for t in (0.5, 1.3):
        solution = solve(hamiltonian, hj.initials.Quadratic(A), x, t=t, method=Hopf(), half=4.0)
        for place, value, slope in zip(x, *map(np.asarray, (solution.u[0], solution.gradient[0])), strict=True):
            centre, half = np.zeros(2), 10.0
            for nodes in [801, *[201] * 11]:  # ever finer grids around the best node
                axes = [np.linspace(a - half, a + half, nodes) for a in centre]
                p = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
                heights = p @ place - 0.5 * ((p @ np.linalg.inv(A)) * p).sum(1) - t * formula(p)
                centre, half = p[heights.argmax()], half / 10
            np.testing.assert_allclose(value, heights.max(), rtol=0, atol=1e-10)
            np.testing.assert_allclose(slope, centre, rtol=0, atol=1e-4)  # the root of the values' round-off


@pytest.mark.slow
def test_hopf_formula_in_higher_dimensions_and_its_derivative() -> None:
    A, b = bowl(8, 10.0)
    x = RNG.normal(size=(5, 8))

    def u(c):
        return solve(H.Quadratic(c), Bowl(A, b), x, method=Hopf(starts=1)).u[0]

    value, slope = map(np.asarray, jax.jit(lambda c: jax.jvp(u, (c,), (1.0,)))(0.5))
    for place, at, rate in zip(x, value, slope, strict=True):
        y = by_resolvent(A, b, place, T)
        p = A @ y + b
        np.testing.assert_allclose(at, 0.5 * y @ A @ y + b @ y + 0.5 * T * p @ p, rtol=0, atol=1e-10)
        np.testing.assert_allclose(rate, -T * p @ p, rtol=1e-6)  # twice the relative error of p


def problem(hamiltonian=None, viscosity=0.0, initial=None, domain=None) -> hj.Problem:
    return hj.Problem(
        hamiltonian or H.Eikonal(), viscosity, initial or hj.initials.Norm(), domain or hj.Box([-1.0], [1.0]), 1.0
    )


ATOMS = hj.initials.Atoms([[0.0]], [0.0])
POTENTIAL = H.WithPotential(H.Quadratic(), lambda x: jnp.sum(x**2, axis=0))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: HopfLax(starts=0), r"`starts` must be a whole number >= 1; got 0"),
        (lambda: HopfLax(starts=2.5), r"`starts` must be a whole number"),
        (lambda: HopfLax(max_iterations=0), r"`max_iterations` must be a whole number >= 1"),
        (lambda: HopfLax(tolerance=-1.0), r"`tolerance` must be > 0; got -1"),
        (lambda: HopfLax().check(problem(viscosity=0.1)), r"needs `viscosity` = 0; got 0\.1.*HopfCole.*Finite"),
        (
            lambda: HopfLax().check(problem(viscosity=hj.viscosities.Varying(lambda t, x: 0.0))),
            r"needs `viscosity` = 0; got Varying",
        ),
        (lambda: HopfLax().check(problem(POTENTIAL)), r"convex `hamiltonian` of p alone.*got WithPotential.*Charact"),
        (lambda: HopfLax().check(problem(H.Custom(lambda t, x, p: p[0]))), r"got Custom\. For convex data.*Hopf"),
        (
            lambda: HopfLax().check(problem(initial=ATOMS, domain=hj.Torus([0.0], [1.0]))),
            r"`domain` must not be periodic for Atoms",
        ),
        (
            lambda: HopfLax().check(problem(initial=hj.initials.Custom(lambda x: x[0]), domain=hj.Torus([0.0], [1.0]))),
            r"`initial` must be periodic for HopfLax",
        ),
        (lambda: Hopf().check(problem(viscosity=0.1)), r"Hopf needs `viscosity` = 0"),
        (lambda: Hopf().check(problem(POTENTIAL)), r"Hopf needs a `hamiltonian` of p alone; WithPotential depends"),
        (
            lambda: Hopf().check(problem(H.Custom(lambda t, x, p: x[0] * p[0]))),
            r"Hopf needs a `hamiltonian` of p alone; Custom depends",
        ),
        (
            lambda: Hopf().check(problem(initial=hj.initials.Cosine(1.0, 3.0))),
            r"`initial` must be convex for Hopf; between two points.*rises",
        ),
        (lambda: Hopf().check(problem(initial=ATOMS)), r"Hopf needs `initial` to be a smooth convex function"),
        (lambda: Hopf(starts=0), r"`starts` must be a whole number >= 1; got 0"),
    ],
)
def test_what_it_cannot_solve_is_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_the_equation_is_the_problem_itself() -> None:
    for method in (HopfLax(), Hopf()):
        assert eqx.tree_equal(method.equation(problem()), problem())
