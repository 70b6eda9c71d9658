"""The separable propagator against exact solutions, the direct sum, and a distance transform.

A program takes longer to compile than to run, so tests differ in numbers and share programs: one on a torus, one for
points on a mixed box, one with derivatives, and one for each kind of splitting.
"""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import cauchy_1d, central, orders
from scipy.ndimage import distance_transform_edt
from scipy.special import logsumexp

import hjsolve as hj

Propagator = hj.methods.grid.Propagator
QUADRATIC = hj.hamiltonians.Quadratic()


@eqx.filter_jit
def on_all(exact, t, x):
    return jax.vmap(jax.value_and_grad(lambda p: exact(t, p)))(x)


def errors(solution: hj.Solution, exact) -> tuple[float, float]:
    """Largest errors of u and ∇u at the last time."""
    u, gradient = on_all(exact, solution.ts[-1], solution.points)
    return float(jnp.abs(u - solution.u[-1]).max()), float(jnp.abs(gradient - solution.gradient[-1]).max())


CELLS = (256, 224)


def picture(shares, table, waves, x):
    """A look-up of nodes on [0, 256] x [0, 224] and smooth waves, by their shares."""
    node = tuple(jnp.round(x).astype(int) % np.array(CELLS))
    return shares @ jnp.stack([jnp.asarray(table)[node], waves(x)])


NO_WAVES = hj.exact.Periodic(3.0, [1.5, 0.7], [[1, 2], [3, -1]], 1.0).problem().initial


def on_the_torus(epsilon: float, extent, t: float, table=None, waves=None) -> hj.Solution:
    shares = np.array([float(table is not None), float(waves is not None)])
    table = np.zeros(CELLS) if table is None else table
    data = hj.initials.Custom(eqx.Partial(picture, shares, table, NO_WAVES if waves is None else waves))
    problem = hj.Problem(QUADRATIC, epsilon, data, hj.Torus([0.0, 0.0], extent), 2.0)
    return hj.solve(problem, Propagator(CELLS), [t])


@pytest.mark.parametrize("epsilon", [1e-3, pytest.param(1e-2, marks=pytest.mark.slow), 0.3])
def test_periodic_solution_to_round_off_for_every_viscosity(epsilon: float) -> None:
    exact = hj.exact.Periodic(3.0, [1.5, 0.7], [[1, 2], [3, -1]], epsilon)
    solution = on_the_torus(epsilon, [2 * np.pi] * 2, 1.5, waves=exact.problem().initial)
    u, gradient = errors(solution, exact)
    assert u < 1e-14  # |u| < 0.5: a few ulp
    assert gradient < 1e-13
    assert solution.stats["interpolated_lines"][0] == 0
    assert solution.stats["steps"] == 1


def test_inviscid_limit_is_the_distance_transform_exactly() -> None:
    white = np.random.default_rng(0).uniform(size=CELLS) > 0.03
    solution = on_the_torus(0.0, CELLS, 0.25, table=np.where(white, 1e4, 0.0))
    n, m = CELLS
    periodic = distance_transform_edt(np.tile(white, (3, 3)))[n : 2 * n, m : 2 * m]
    np.testing.assert_array_equal(np.sqrt(np.asarray(solution.u[0])).reshape(CELLS), periodic)


def test_what_the_result_says_and_that_new_numbers_do_not_recompile() -> None:
    rough = np.random.default_rng(1).uniform(size=CELLS)
    with pytest.warns(hj.HJWarning, match="too coarse"):
        coarse = on_the_torus(1e-4, CELLS, 0.1, table=rough)
    assert coarse.result == hj.RESULTS.under_resolved
    with pytest.warns(hj.HJWarning, match="too coarse"):
        again = on_the_torus(1e-3, [256.0, 224.0], 0.2, table=2 * rough)
    assert again.stats["compile_seconds"] == 0


def terms(shares, x):
    """A wave along the periodic axis, and along the free one what is smooth, what is kinked and what falls."""
    y = x[1]
    return shares @ jnp.stack([jnp.cos(np.pi * x[0]), jnp.sqrt(1 + y * y), jnp.abs(y), -y * y])


def mixed_axes(shares, epsilon: float) -> hj.Problem:
    data = hj.initials.Custom(eqx.Partial(terms, np.array(shares, float)))
    domain = hj.Box([-1.0, -1.0], [1.0, 1.0], periodic=[True, False])
    return hj.Problem(QUADRATIC, epsilon, data, domain, 1.0)


@functools.cache
def blank() -> hj.Solution:
    """Traced, but not run."""
    problem, method, ts = mixed_axes(np.zeros(4), 0.1), Propagator(64), np.ones(1)
    traced = eqx.filter_eval_shape(hj.solve, problem, method, ts)
    shaped = lambda a: jnp.zeros(a.shape, a.dtype) if isinstance(a, jax.ShapeDtypeStruct) else a
    return dataclasses.replace(jax.tree.map(shaped, traced), method=method, ts=ts)


def on_mixed_axes(shares, epsilon: float, t: float, points: np.ndarray):
    """`solution.evaluate(t, points)`, periodic in the first axis and free in the second.

    What was computed for the saved times plays no part in it, as no state is kept: evaluation alone is compiled.
    """
    solution = dataclasses.replace(blank(), problem=mixed_axes(shares, epsilon))
    return solution.evaluate(t, np.resize(points, (65, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-30, 0.0])
def test_kink_on_a_node_is_exact_for_every_viscosity(epsilon: float) -> None:
    line = np.linspace(-1, 1, 65)
    found = on_mixed_axes([0, 0, 1, 0], epsilon, 1.0, np.stack([line[::-1], line], axis=1))
    u, gradient = on_all(hj.exact.AbsoluteValue(epsilon), jnp.ones(()), jnp.asarray(line[:, None]))
    # lines of slope ±1 and a kink on a node are their own interpolant. At ε = 0 the minimum over nodes is 2ct = 64
    # spacings away from x: whole, so a node
    np.testing.assert_allclose(found.u, u, rtol=0, atol=1e-14)
    if epsilon != 1e-30:  # below round-off of u, exponents u/ε cannot weigh the two sides of a kink
        # the derivative of the log of a Gibbs average: round-off of v = u/ε
        np.testing.assert_allclose(found.gradient[:, 1:], gradient, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.gradient[:, 0], 0.0, rtol=0, atol=1e-10)


@pytest.mark.slow
def test_mixed_axes_and_points_between_nodes() -> None:
    """Periodic in the first axis, free in the second: a sum of one-dimensional solutions."""
    epsilon, t = 0.1, 0.3
    points = np.array([[0.3, 0.2], [2.7, 0.9], [-1.0, -0.5], [0.45, -0.97], [-0.6, 0.43]])
    data = on_mixed_axes([1, 1, 0, 0], epsilon, 0.0, points)
    x, y = points.T
    np.testing.assert_allclose(data.u[:5], np.cos(np.pi * x) + np.sqrt(1 + y * y), rtol=1e-14)
    np.testing.assert_allclose(data.gradient[:5, 0], -np.pi * np.sin(np.pi * x), rtol=0, atol=1e-13)
    found = on_mixed_axes([1, 1, 0, 0], epsilon, t, points)
    waves = [functools.partial(cauchy_1d, lambda z: np.cos(np.pi * z), t, epsilon=epsilon)(x=a) for a in x]
    others = [functools.partial(cauchy_1d, lambda z: np.sqrt(1 + z * z), t, epsilon=epsilon)(x=b) for b in y]
    np.testing.assert_allclose(found.u[:5], np.add(waves, others), rtol=0, atol=1e-6)  # quintics: h⁶ of the waves
    assert found.result == hj.RESULTS.successful


def test_data_that_fall_too_fast_have_no_solution() -> None:
    for epsilon in (0.1, 0.0):
        for t, result in ((0.1, hj.RESULTS.successful), (0.9, hj.RESULTS.unbounded)):  # −y² focuses at t = 1/4
            assert on_mixed_axes([0, 0, 0, 1], epsilon, t, np.zeros((65, 2))).result == result


def dense(g, t: float, x: np.ndarray, epsilon: float, c: float = 1.0) -> np.ndarray:
    """The one-dimensional Cauchy problem by a trapezoid rule of 50,000 nodes a unit length."""
    y = np.arange(-4.5, 4.5, 2e-5)
    values = g(y)
    log_w = np.array([logsumexp(-(c * values + (place - y) ** 2 / (4 * t)) / epsilon) for place in x]) + np.log(2e-5)
    return -(epsilon / c) * (log_w - np.log(4 * np.pi * epsilon * t) / 2)


NODES, BETWEEN = np.arange(-8, 8) / 8, np.array([0.13, -0.4])
POINTS = np.concatenate([NODES, BETWEEN])[:, None]


def of_waves(epsilon, c, amplitude, t, half) -> hj.Solution:
    data = hj.initials.Cosine(amplitude, np.pi)
    problem = hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, data, hj.Torus([-half], [half]), 1.0)
    return hj.solve(problem, Propagator(64), jnp.stack([t]), points=POINTS, throw=False)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1, 2, 3), has_aux=True)
def total(epsilon, c, amplitude, t, half):
    """Of a solution on [−half, half]: a functional with its derivatives, and u at the nodes."""
    solution = of_waves(epsilon, c, amplitude, t, half)
    u, gradient = solution.u[0, -2:], solution.gradient[0, -2:]
    return u[0] + 2 * u[1] + 0.1 * jnp.sum(gradient), solution.u[0, :-2]


@pytest.mark.slow
def test_second_order_uniformly_in_the_viscosity() -> None:
    """Smooth data, convex and concave; shocks have formed."""
    for epsilon in (0.05, 1e-2, 1e-3, 1e-4, 1e-6):
        reference = dense(lambda y: np.cos(np.pi * y), 0.4, NODES, epsilon)
        # h = 1/16 and 1/32
        found = [np.abs(total(epsilon, 1.0, 1.0, 0.4, half)[0][1] - reference).max() for half in (2.0, 1.0)]
        print(epsilon, found)
        assert found[0] < np.pi**2 / 16**2 / 8  # h²/8 times the largest second derivative: interpolation
        assert found[1] < max(found[0] / 3, 1e-8)  # the reference's own aliasing aside


@pytest.mark.slow
def test_batches_of_problems_mix_rules() -> None:
    """Plain sums (0.2), the interpolant and the envelope (0) side by side, against each alone and a direct sum."""
    epsilons = np.array([0.2, 0.0, 0.01, 1e-5])
    batch = jax.jit(jax.vmap(lambda e: of_waves(e, 0.8, 0.7, jnp.asarray(0.4), 2.0).u[0, :-2]))(epsilons)
    for k, epsilon in enumerate(epsilons):
        # a plain number, as everywhere: NumPy's is of another type, for which it would compile again
        np.testing.assert_allclose(batch[k], total(float(epsilon), 0.8, 0.7, 0.4, 2.0)[0][1], rtol=0, atol=1e-13)
    reference = dense(lambda y: 0.7 * np.cos(np.pi * y), 0.4, NODES, 0.2, 0.8)
    np.testing.assert_allclose(batch[0], reference, rtol=0, atol=1e-9)  # nodes resolve the integrand


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.2, 0.004, 1e-5, 0.0])
def test_reverse_mode_through_every_rule(epsilon: float) -> None:
    """Plain sums (0.2), the interpolant before them (0.004) and alone (1e-5), and the envelope (0)."""
    place = (epsilon, 0.8, 0.7, 0.4)
    slopes = total(*place, 2.0)[1]
    assert np.isfinite(np.asarray(slopes)).all()
    for k in range(0 if epsilon else 1, 4):
        varied = lambda a, k=k: total(*place[:k], a, *place[k + 1 :], 2.0)[0][0]
        np.testing.assert_allclose(slopes[k], central(varied, place[k], 1e-4 * place[k]), rtol=2e-6, atol=1e-8)


def wells(x):
    return 0.4 * jnp.sin(3 * x[0]) + 0.3 * jnp.cos(2 * x[1] - x[2]) + 0.2 * x[2] ** 2


def wells_solution(x: np.ndarray, epsilon: float, c: float, t: float) -> tuple[float, np.ndarray]:
    """u and ∇u for `wells` by the trapezoid rule in NumPy: spectral, nine nodes in a width of the kernel."""
    s = np.linspace(-6, 6, 401)  # of 0.28; the kernel falls to e^{−320} over 6
    weigh = lambda exponent: (np.log(np.exp(exponent - exponent.max()).sum()) + exponent.max(), exponent)
    near = lambda a: -(a**2) / (4 * epsilon * t)
    line, first = weigh(-c / epsilon * 0.4 * np.sin(3 * (x[0] + s)) + near(s))
    y, z = s[:, None] + x[1], s[None, :] + x[2]
    plane, rest = weigh(-c / epsilon * (0.3 * np.cos(2 * y - z) + 0.2 * z**2) + near(s)[:, None] + near(s)[None, :])
    u = -(epsilon / c) * (line + plane + 3 * np.log(s[1] - s[0]) - 1.5 * np.log(4 * np.pi * epsilon * t))
    weights = np.exp(rest - plane)
    moments = [np.exp(first - line) @ s, weights.sum(1) @ s, weights.sum(0) @ s]
    return u, -np.array(moments) / (2 * c * t)


@pytest.mark.slow
def test_float32_equals_the_direct_sum_in_three_dimensions() -> None:
    epsilon, t = 0.1, 0.4
    # 3 sin's period along the first axis, on its own nodes; the others are free
    domain = hj.Box([-np.pi / 3, -1.0, -1.0], [np.pi / 3, 1.0, 1.0], periodic=[True, False, False])
    problem = hj.Problem(hj.hamiltonians.Quadratic(0.7), epsilon, hj.initials.Custom(wells), domain, t)
    with jax.enable_x64(False):
        solution = hj.solve(problem, Propagator(24, sources=96), [t])
    assert solution.stats["interpolated_lines"][0] == 0
    assert solution.u.dtype == jnp.float32
    chosen = np.random.default_rng(0).integers(0, 24 * 25**2, 60)
    places = np.asarray(solution.points)[chosen].astype(float)
    u, gradient = zip(*(wells_solution(x, epsilon, 0.7, t) for x in places), strict=True)
    np.testing.assert_allclose(solution.u[0][chosen], u, rtol=0, atol=2e-6)  # ulp of energies of 10
    np.testing.assert_allclose(solution.gradient[0][chosen], gradient, rtol=0, atol=5e-5)


def linear_drift(a, t, x):
    return a * x


def well(k, x):
    return k**2 * jnp.sum(x * x, axis=0)


def splits(k: float, a: float, start: float, viscosity: float) -> hj.Problem:
    """H = p² + a x p − k²x² and g = ½ start x²: a type that several tests share, compiled once for each order."""
    drift = hj.hamiltonians.WithDrift(QUADRATIC, eqx.Partial(linear_drift, np.asarray(a)))
    hamiltonian = hj.hamiltonians.WithPotential(drift, eqx.Partial(well, np.asarray(k)))
    return hj.Problem(hamiltonian, viscosity, hj.initials.Quadratic([[start]]), hj.Box([-1.0], [1.0]), 1.0)


@pytest.mark.parametrize(
    ("order", "steps", "least"), [(2, (8, 16), 1.9), pytest.param(4, (4, 8), 3.8, marks=pytest.mark.slow)]
)
def test_orders_of_the_splitting_with_a_potential(order: int, steps: tuple[int, ...], least: float) -> None:
    exact = hj.exact.Harmonic(k=1.0, S0=0.3, viscosity=0.2)
    problem = exact.problem() if order == 2 else splits(1.0, 0.0, 0.3, 0.2)
    solved = [hj.solve(problem, Propagator(40, order=order, dt=1 / n), [0.5, 1.0]) for n in steps]
    found = np.array([errors(s, exact) for s in solved])
    print(order, found)
    assert (orders(found[:, 0])[-1] > least) and (orders(found[:, 1])[-1] > least)
    assert solved[-1].stats["steps"] == steps[-1]


@pytest.mark.slow
def test_inviscid_splitting() -> None:
    exact = hj.exact.Harmonic(k=1.0, S0=0.3)
    problem = splits(1.0, 0.0, 0.3, 0.0)
    solution = hj.solve(problem, Propagator(40, order=4, dt=1 / 8), [0.5, 1.0], throw=False)
    # every step adds the linear interpolant's error h²S/8 on nodes refined four times: 8 + 16 of them
    assert errors(solution, exact)[0] < 5e-3


def test_fourth_order_of_the_splitting_with_a_drift() -> None:
    exact = hj.exact.LinearQuadratic([[-0.5]], [[1.0]], [[0.5]], viscosity=0.3)
    problem = splits(0.0, -0.5, 0.5, 0.3)
    found = [errors(hj.solve(problem, Propagator(40, order=4, dt=0.5 / n), [0.5, 1.0]), exact) for n in (2, 4)]
    print(found)
    assert (orders(np.array(found))[0] > 3.8).all()


@pytest.mark.slow
def test_drift_that_depends_on_time_moves_a_wave() -> None:
    """A uniform wind b(t) shifts the solution by ∫b, whatever the viscosity; with the potential as source."""
    exact = hj.exact.Periodic(2.0, [1.0], [[np.pi]], 0.1)
    problem = exact.problem(hj.Torus([-1.0], [1.0]), 0.5)
    wind = hj.hamiltonians.WithDrift(QUADRATIC, lambda t, x: jnp.full_like(x, jnp.cos(2 * t)))
    moved = eqx.tree_at(lambda p: p.hamiltonian, problem, hj.hamiltonians.WithPotential(wind, lambda x: 0.7 + 0 * x[0]))
    solution = hj.solve(moved, Propagator(48, dt=0.1), [0.5])
    shifted = jax.vmap(lambda x: exact(0.5, x - np.sin(1.0) / 2) + 0.35)(solution.points)
    # the parts commute: only the Runge-Kutta step in time and quintics at the feet are left
    np.testing.assert_allclose(solution.u[0], shifted, rtol=0, atol=1e-6)


def test_a_splitting_of_data_that_fall_too_fast() -> None:
    with pytest.raises(RuntimeError, match="no solution up to the horizon"):
        hj.solve(splits(0.0, 0.0, -1.0, 0.1), Propagator(40, order=4, dt=1 / 8), [0.5, 1.0])


BOX, WAVE = hj.Box([-1.0], [1.0]), hj.initials.Cosine(1.0, np.pi)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"cells": 5}, r"`cells` must be >= 6"),
        ({"cells": 8, "sources": 2}, r"`sources` must be >= 6"),
        ({"cells": 8, "order": 3}, r"`order` must be 2 or 4; got 3"),
        ({"cells": 8, "dt": -1.0}, r"`dt` must be > 0"),
    ],
)
def test_bad_arguments(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Propagator(**arguments)


@pytest.mark.parametrize(
    ("method", "problem", "match"),
    [
        (Propagator((8, 8)), hj.Problem(QUADRATIC, 0.1, WAVE, BOX, 1.0), r"one entry per axis \(1\)"),
        (Propagator(8, sources=(8, 8)), hj.Problem(QUADRATIC, 0.1, WAVE, BOX, 1.0), r"`sources` must have one entry"),
        (Propagator(8), hj.Problem(hj.hamiltonians.Eikonal(), 0.1, WAVE, BOX, 1.0), "FiniteDifference"),
        (Propagator(8), hj.Problem(QUADRATIC, 0.1, hj.initials.Atoms([[0.0]], [0.0]), BOX, 1.0), "HopfCole"),
        (
            Propagator(8),
            hj.Problem(QUADRATIC, 0.1, WAVE, hj.Box([-1.0], [1.0], boundary=hj.boundaries.Neumann()), 1.0),
            "`boundary`",
        ),
        (Propagator(8), hj.Problem(QUADRATIC, 0.1, hj.initials.Quadratic(), hj.Torus([-1.0], [2.0]), 1.0), "periodic"),
        (
            Propagator(8),
            hj.Problem(QUADRATIC, hj.viscosities.Varying(lambda t, x: 0.1 + 0 * x[0]), WAVE, BOX, 1.0),
            "constant `viscosity`",
        ),
    ],
)
def test_what_it_refuses(method: Propagator, problem: hj.Problem, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        hj.solve(problem, method, [0.5])
    assert method.equation(problem) is problem
