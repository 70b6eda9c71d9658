"""Policy iteration: few improvements on every grid, orders 1 and 2, exact kinks, and agreement with sweeping."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

import hjsolve as hj

H = hj.hamiltonians
PI, FS = hj.methods.grid.PolicyIteration, hj.methods.grid.FastSweeping
SQUARE = hj.Box([-1.0, -1.0], [1.0, 1.0])
DISC = hj.Target(lambda x: jnp.linalg.norm(x) - 0.3)


def manufactured(epsilon: float, c: float = 0.1, rate: float = 1.5) -> hj.StationaryProblem:
    """λu + c|∇u|² = ε Δu + f with u = sin πx + sin πy on the torus."""
    u = lambda x: jnp.sum(jnp.sin(jnp.pi * x))
    hamiltonian = H.Quadratic(c)

    def source(x):
        curved = epsilon * jnp.trace(jax.hessian(u)(x))
        return rate * u(x) + hamiltonian(jnp.zeros(()), x, jax.grad(u)(x)) - curved

    return hj.StationaryProblem(hamiltonian, epsilon, hj.Torus([-1.0] * 2, [1.0] * 2), discount=rate, source=source)


def run(problem: hj.StationaryProblem, exact, cells) -> tuple[np.ndarray, list[int]]:
    """(mean errors, improvements) by grid."""
    solutions = [hj.solve(problem, PI(n)) for n in cells]
    found = [np.abs(s.u[0] - exact(np.asarray(s.points))).mean() for s in solutions]
    counts = [int(s.stats["improvements"]) for s in solutions]
    print(found, orders(found), counts, [int(s.stats["cycles"]) for s in solutions])
    return np.array(found), counts


waves = lambda x: np.sin(np.pi * x).sum(1)


def test_second_order_and_six_improvements_where_viscosity_decides() -> None:
    found, counts = run(manufactured(1.0), waves, (16, 32, 64))
    assert orders(found)[-1] > 1.9
    assert max(counts) <= 7  # superlinear: as many on every grid


def test_first_order_where_transport_decides() -> None:
    found, counts = run(manufactured(1e-6, c=0.7), waves, (16, 32))
    assert orders(found)[-1] > 0.75
    assert max(counts) <= 12


def test_discounted_exit_with_a_kink() -> None:
    """λu + |u'| = 1, u(±1) = 0: u = (1 − e^{−λ(1−|x|)})/λ."""
    rate = 1.5
    domain = hj.Box([-1.0], [1.0], boundary=hj.boundaries.Dirichlet(0.0))
    problem = hj.StationaryProblem(H.Eikonal(), 0.0, domain, discount=rate, source=1.0)
    exact = lambda x: (1 - np.exp(-rate * (1 - np.abs(x[:, 0])))) / rate
    found, _ = run(problem, exact, (40, 80))
    assert orders(found)[-1] > 0.9
    assert found[-1] < 5e-3


def test_a_viscous_layer_against_its_closed_form() -> None:
    """|u'| = εu'' + 1 on [−1, 1], u(±1) = 0, exit times of a controlled diffusion: slopes ∓(1 − e^{−|x|/ε})."""
    epsilon = 0.2
    domain = hj.Box([-1.0], [1.0], boundary=hj.boundaries.Dirichlet(0.0))
    problem = hj.StationaryProblem(H.Eikonal(), epsilon, domain, source=1.0)

    def exact(x):
        r = np.abs(x[:, 0])
        return 1 - r - epsilon * (np.exp(-r / epsilon) - np.exp(-1 / epsilon))

    found, counts = run(problem, exact, (20, 40, 80))
    assert orders(found)[-1] > 1.8  # Δx = 0.025 is far below 2ε
    assert max(counts) <= 8


@pytest.mark.parametrize(
    "problem",
    [
        hj.StationaryProblem(H.Eikonal(), 0.0, SQUARE, target=DISC, source=1.0),
        hj.StationaryProblem(H.Norm(2, 1.0, [1.0, 2.0]), 0.0, SQUARE, target=DISC, source=1.0, discount=0.5),
        hj.StationaryProblem(
            H.WithPotential(H.Quadratic(0.5), lambda x: 1 + x[0] ** 2), 0.0, SQUARE, target=DISC, discount=1.0
        ),
    ],
    ids=["eikonal", "norm", "potential"],
)
def test_sweeping_solves_the_same_discrete_equation(problem: hj.StationaryProblem) -> None:
    """Godunov's difference scheme both times, at ε = 0: equal up to the tolerances."""
    swept, improved = (hj.solve(problem, method).u for method in (FS(24), PI(24)))
    np.testing.assert_allclose(improved, swept, rtol=0, atol=1e-7)


def test_a_reflecting_wall_is_the_even_continuation() -> None:
    source = lambda x: jnp.cos(jnp.pi * x[0])
    wall = hj.Box([0.0], [1.0], boundary=hj.boundaries.Neumann())
    half, whole = (
        hj.solve(hj.StationaryProblem(H.Quadratic(), 0.1, domain, discount=0.5, source=source), PI(n)).u[0]
        for domain, n in ((wall, 32), (hj.Torus([-1.0], [1.0]), 64))
    )
    np.testing.assert_allclose(half[:32], whole[32:], rtol=0, atol=1e-8)  # the tolerance


def test_gradient_is_that_of_finite_differences() -> None:
    def mean_square(theta):
        problem = hj.StationaryProblem(
            H.Quadratic(theta[0]), theta[1], hj.Torus([-1.0], [1.0]), discount=theta[2],
            source=lambda x: jnp.sin(jnp.pi * x[0]),
        )  # fmt: skip
        return jnp.mean(hj.solve(problem, PI(16, tolerance=1e-13), throw=False).u ** 2)

    theta, step = jnp.array([0.5, 0.3, 1.2]), 1e-5
    function = eqx.filter_jit(mean_square)
    expected = [(function(theta.at[k].add(step)) - function(theta.at[k].add(-step))) / (2 * step) for k in range(3)]
    np.testing.assert_allclose(jax.grad(mean_square)(theta), expected, rtol=0, atol=1e-7)  # step² and 1e-13/step


def test_refusals() -> None:
    custom = H.Custom(lambda t, x, p: jnp.cos(p[0]))
    with pytest.raises(ValueError, match=r"`hamiltonian` must be convex.*Custom.*FastSweeping"):
        hj.solve(hj.StationaryProblem(custom, 0.1, SQUARE, discount=1.0), PI(16))
    with pytest.raises(ValueError, match=r"`target` holds no node"):
        target = hj.Target(lambda x: jnp.linalg.norm(x - 0.013) - 1e-3)
        hj.solve(hj.StationaryProblem(H.Eikonal(), 0.0, SQUARE, target=target, source=1.0), PI(16))
    with pytest.raises(RuntimeError, match=r"stopped before its tolerance"):
        hj.solve(manufactured(1.0), PI(16, max_improvements=1))
