"""The Fourier method: round-off in space, order 4 in time, and a flag where waves cannot hold the solution."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import cauchy_1d, orders

import hjsolve as hj
from hjsolve.methods.grid.exponential import phis

Spectral = hj.methods.grid.Spectral


def blend(shares, x):
    return shares @ jnp.stack([jnp.cos(x[0]) + 0.5 * jnp.sin(2 * x[0]), jnp.abs(x[0] - np.pi)])


BENT, KINKED = (hj.initials.Custom(eqx.Partial(blend, row)) for row in np.eye(2))
CIRCLE = hj.Torus([0.0], [2 * np.pi])


def waves(d: int, viscosity: float = 0.2) -> hj.exact.Periodic:
    """One wave an axis, on [−1, 1]^d."""
    return hj.exact.Periodic(1.0, [0.3 / d] * d, np.pi * np.eye(d), viscosity, phases=0.2 + 0.5 * np.arange(d))


@eqx.filter_jit
def on_all(exact, t, x):
    return jax.vmap(jax.value_and_grad(lambda z: exact(t, z)))(x)


def errors(solution: hj.Solution, exact, points=None) -> tuple[float, float]:
    """Of u and ∇u at the last time, on the nodes or at `points`."""
    t, x = solution.ts[-1], solution.points if points is None else jnp.asarray(points)
    found = (solution.u[-1], solution.gradient[-1])
    if points is not None:
        there = solution.evaluate(t, x)
        found = (there.u, there.gradient)
    return tuple(float(jnp.abs(a - b).max()) for a, b in zip(found, on_all(exact, t, x), strict=True))


@pytest.mark.parametrize(
    ("d", "cells", "steps"),
    [(1, 48, 200), (2, (32, 40), 100), pytest.param(3, (32, 28, 33), 50, marks=pytest.mark.slow)],
)
def test_round_off_on_nodes_and_between_them(d: int, cells, steps: int) -> None:
    """Waves fall by 0.15 and less from one to the next, and nine are kept; Δt⁴ is below 1e-12 too. Odd axes."""
    exact = waves(d, viscosity=0.2 / d)
    problem = exact.problem(horizon=0.5)
    solution = hj.solve(problem, Spectral(cells, dt=0.5 / steps), [0.5])
    places = np.random.default_rng(0).uniform(-1, 1, size=(70, d))
    on, between = errors(solution, exact), errors(solution, exact, places)
    print(d, on, between, solution.stats["tail"])
    assert on[0] < 1e-12 and between[0] < 1e-12
    assert on[1] < 1e-10 and between[1] < 1e-10  # the highest waves kept are 8π and 15π


def test_order_four_in_time() -> None:
    exact, found = waves(1), []
    for steps in (10, 20, 40):
        found.append(errors(hj.solve(exact.problem(horizon=0.5), Spectral(48, dt=0.5 / steps), [0.5]), exact)[0])
    print(found, orders(found))
    assert abs(orders(found)[-1] - 4) < 0.05
    assert found[0] < 2e-8


def test_hamiltonians_that_depend_on_time_and_place_by_a_manufactured_solution() -> None:
    """u = e^{−t} cos x + t under H = cos(p) − f(t, x), not a product of two waves; the mean moves by t."""

    def source(t, x):
        c, s, e = jnp.cos(x[0]), jnp.sin(x[0]), jnp.exp(-t)
        return -e * c + 1 + jnp.cos(e * s) + 0.1 * e * c

    hamiltonian = hj.hamiltonians.Custom(lambda t, x, p: jnp.cos(p[0]) - source(t, x))
    problem = hj.Problem(hamiltonian, 0.1, hj.initials.Cosine(1.0, 1.0), CIRCLE, 1.0)
    found = []
    for steps in (8, 16, 32):
        solution = hj.solve(problem, Spectral(48, dt=1 / steps), [1.0])
        exact = np.exp(-1.0) * np.cos(solution.points[:, 0]) + 1.0
        found.append(float(np.abs(solution.u[0] - exact).max()))
    print(found, orders(found))
    assert abs(orders(found)[-1] - 4) < 0.1


def test_steep_but_resolved_against_adaptive_quadrature() -> None:
    problem = hj.Problem(hj.hamiltonians.Quadratic(0.5), 0.1, BENT, CIRCLE, 1.0)
    solution = hj.solve(problem, Spectral(192), [1.0])
    places = np.asarray(solution.points)[::16, 0]
    reference = [cauchy_1d(lambda y: np.cos(y) + 0.5 * np.sin(2 * y), 1.0, x, 0.1, 0.5) for x in places]
    # steps of half a cell: (Δt · rates)⁴, and a tail of 4e-5
    np.testing.assert_allclose(np.asarray(solution.u)[0, ::16], reference, rtol=0, atol=2e-7)
    assert solution.stats["tail"][0] < 1e-3
    assert solution.result == hj.RESULTS.successful


@pytest.mark.parametrize(
    ("initial", "viscosity", "resolved"),
    [
        (BENT, 0.1, True),
        (BENT, 0.03, False),
        pytest.param(BENT, 0.003, False, marks=pytest.mark.slow),
        (KINKED, 0.1, False),
    ],
    ids=["six cells", "two cells", "sharp", "kinked data"],
)
def test_layers_of_two_cells_and_kinks_are_flagged(initial, viscosity: float, resolved: bool) -> None:
    """On 128 cells. Layers form at t = 0.5 and spread again; the flag stays, as what they spoilt does."""
    problem = hj.Problem(hj.hamiltonians.Quadratic(0.5), viscosity, initial, CIRCLE, 3.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hj.HJWarning)
        solution = hj.solve(problem, Spectral(128), [0.5, 1.0, 3.0], throw=False)
    exact = hj.solve(problem, hj.methods.grid.Propagator(2048), [0.5, 1.0, 3.0], points=solution.points)
    error = float(jnp.abs(solution.u - exact.u).max())
    print(error, solution.stats["tail"], int(solution.stats["steps"]))
    if resolved:
        assert solution.result == hj.RESULTS.successful
        assert error < 1e-4  # what a tail of 1e-2 may cost
    else:
        assert solution.result == hj.RESULTS.under_resolved
        assert solution.stats["tail"][-1] > 1e-2
        assert error > 1e-4  # it was not a false alarm


def test_a_run_that_blows_up_says_so() -> None:
    problem = hj.Problem(hj.hamiltonians.Quadratic(), 1e-5, BENT, CIRCLE, 3.0)
    with pytest.raises(RuntimeError, match="NaN or infinite"):
        hj.solve(problem, Spectral(32, dt=0.5), [3.0])


@pytest.mark.slow
def test_float32_new_numbers_gradients_and_batches() -> None:
    exact = waves(1, 0.3)
    data, domain = exact.problem().initial, hj.Torus([-1.0], [1.0])
    problem = lambda e: hj.Problem(hj.hamiltonians.Quadratic(), e, data, domain, 0.2)
    method = Spectral(24, dt=0.02)
    hj.solve(problem(0.3), method, [0.2])
    assert hj.solve(problem(0.4), Spectral(24, dt=0.01), [0.2]).stats["compile_seconds"] == 0

    def mean_square(e: jax.Array) -> jax.Array:
        return jnp.mean(hj.solve(problem(e), method, [0.2], max_steps=16).u ** 2)

    alone = jax.jit(jax.value_and_grad(mean_square))
    # a central difference: 1e-8 of the third derivative, and rounding over 1e-4
    difference = (alone(0.3001)[0] - alone(0.2999)[0]) / 2e-4
    np.testing.assert_allclose(alone(0.3)[1], difference, rtol=1e-6)
    both = jax.jit(jax.vmap(mean_square))(jnp.array([0.3, 0.5]))
    np.testing.assert_allclose(both, [alone(0.3)[0], alone(0.5)[0]], rtol=1e-12)  # another program
    with jax.enable_x64(False):
        solution = hj.solve(problem(0.3), method, [0.2])
        assert solution.u.dtype == jnp.float32
        assert errors(solution, exact)[0] < 2e-6  # ten steps of a few roundings each


def test_phi_functions_on_both_branches() -> None:
    """Against their Taylor series and, far out, their quotients in long double."""
    z = -np.concatenate([[0.0, 1e-300, 1e-12, 1e-3, 0.5, 0.999999, 1.0, 1.000001], np.geomspace(1.1, 1e6, 12)])
    wide = z.astype(np.longdouble)
    terms = np.arange(60)
    for k, found in enumerate(phis(jnp.asarray(z)), start=1):
        factorials = np.cumprod(np.concatenate([[1.0], np.arange(1.0, 64.0)]).astype(np.longdouble))
        series = sum(np.where(wide > -2, wide, 0) ** j / factorials[j + k] for j in terms)
        far = np.exp(wide)
        for j in range(k):
            far = (far - 1 / factorials[j]) / np.where(z < -1, wide, 1)
        np.testing.assert_allclose(found, np.where(z > -2, series, far).astype(float), rtol=5e-15, atol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"viscosity": 0.0}, "`viscosity` must be > 0; got 0.0"),
        ({"viscosity": hj.viscosities.Varying(lambda t, x: 1 + 0 * x[0])}, "`viscosity` must be Constant for Spectral"),
        ({"domain": hj.Box([0.0], [2 * np.pi])}, "`domain` must be periodic"),
        ({"initial": hj.initials.Quadratic()}, "`initial` must be periodic for Spectral"),
    ],
)
def test_problems_it_cannot_solve_are_refused(change: dict, words: str) -> None:
    parts = {"hamiltonian": hj.hamiltonians.Quadratic(), "viscosity": 0.1, "initial": BENT, "domain": CIRCLE} | change
    with pytest.raises(ValueError, match=words):
        hj.solve(hj.Problem(**parts, horizon=1.0), Spectral(32), [1.0])


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="`cells` must be >= 8; got 4"):
        Spectral(4)
    with pytest.raises(ValueError, match="`dt` must be > 0"):
        Spectral(32, dt=0.0)
    with pytest.raises(ValueError, match=r"`cells` must have one entry per axis \(1\)"):
        hj.solve(waves(1).problem(), Spectral((32, 32)), [0.5])
