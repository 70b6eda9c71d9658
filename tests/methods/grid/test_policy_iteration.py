"""Policy iteration: few improvements on every grid, orders 1 and 2, exact kinks, and agreement with sweeping.

A program takes longer to compile than to run: a coarse grid is as many cells on a larger domain.
"""

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


def forcing(epsilon, c, rate, x):
    """What makes λu + c|∇u|² = ε Δu + f hold for u = Σ sin πx_i."""
    u = jnp.sum(jnp.sin(jnp.pi * x))
    return rate * u + c * jnp.sum((jnp.pi * jnp.cos(jnp.pi * x)) ** 2) + epsilon * jnp.pi**2 * u


def manufactured(epsilon: float, c: float = 0.1, d: int = 2, half: float = 1.0) -> hj.StationaryProblem:
    rate, torus = 1.5, hj.Torus([-half] * d, [half] * d)
    source = eqx.Partial(forcing, *map(np.asarray, (epsilon, c, rate)))
    return hj.StationaryProblem(H.Quadratic(c), epsilon, torus, discount=rate, source=source)


def exit_of(half: float, epsilon: float = 0.0, rate: float = 0.0) -> hj.StationaryProblem:
    """λu + |u'| = εu'' + 1, u(±half) = 0."""
    domain = hj.Box([-half], [half], boundary=hj.boundaries.Dirichlet(0.0))
    return hj.StationaryProblem(H.Eikonal(), epsilon, domain, discount=rate, source=1.0)


def run(problems, exact, cells: int, inside) -> tuple[np.ndarray, list[int]]:
    """(mean errors of nodes `inside`, improvements) by problem."""
    solutions = [hj.solve(problem, PI(cells)) for problem in problems]
    found = []
    for problem, solution in zip(problems, solutions, strict=True):
        x, half = np.asarray(solution.points), float(problem.domain.upper[0])
        near = inside(x, half)
        found.append(np.abs(solution.u[0] - exact(x, half))[near].mean())
    counts = [int(s.stats["improvements"]) for s in solutions]
    print(found, orders(found), counts, [int(s.stats["cycles"]) for s in solutions])
    return np.array(found), counts


everywhere = lambda x, half: np.ones(len(x), bool)
waves = lambda x, half: np.sin(np.pi * x).sum(1)


@pytest.mark.slow
def test_second_order_and_six_improvements_where_viscosity_decides() -> None:
    """On 16, 32 and 64 cells a wave."""
    found, counts = run([manufactured(1.0, half=half) for half in (4.0, 2.0, 1.0)], waves, 64, everywhere)
    assert orders(found)[-1] > 1.9
    assert max(counts) <= 7  # superlinear: as many on every grid


@pytest.mark.slow
def test_first_order_where_transport_decides() -> None:
    """On 16 and 32 cells a wave."""
    found, counts = run([manufactured(1e-6, 0.7, half=half) for half in (4.0, 2.0)], waves, 64, everywhere)
    assert orders(found)[-1] > 0.75
    assert max(counts) <= 12


@pytest.mark.slow
def test_discounted_exit_with_a_kink() -> None:
    """λu + |u'| = 1, u(±L) = 0: u = (1 − e^{−λ(L−|x|)})/λ, up to a distance of 1 from the faces."""
    rate = 1.5
    exact = lambda x, half: (1 - np.exp(-rate * (half - np.abs(x[:, 0])))) / rate
    near = lambda x, half: half - np.abs(x[:, 0]) < 1 + 1e-9
    found, _ = run([exit_of(half, rate=rate) for half in (2.0, 1.0)], exact, 80, near)
    assert orders(found)[-1] > 0.9
    assert found[-1] < 5e-3


def test_a_viscous_layer_against_its_closed_form() -> None:
    """|u'| = εu'' + 1 on [−L, L], u(±L) = 0, exit times of a controlled diffusion: slopes ∓(1 − e^{−|x|/ε})."""
    epsilon = 0.2

    def exact(x, half):
        r = np.abs(x[:, 0])
        return half - r - epsilon * (np.exp(-r / epsilon) - np.exp(-half / epsilon))

    near = lambda x, half: np.abs(x[:, 0]) < 1 + 1e-9
    found, counts = run([exit_of(half, epsilon) for half in (4.0, 2.0, 1.0)], exact, 80, near)
    assert orders(found)[-1] > 1.8  # Δx = 0.025 is far below 2ε
    assert max(counts) <= 8


PULLED = H.WithPotential(H.Quadratic(0.5), lambda x: 1 + x[0] ** 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hamiltonian", "options"),
    [
        (H.Norm(2, 1.0, [1.0, 1.0]), {"source": 1.0, "discount": 0.0}),  # |p|
        (H.Norm(2, 1.0, [1.0, 2.0]), {"source": 1.0, "discount": 0.5}),
        (PULLED, {"discount": 1.0}),
    ],
    ids=["eikonal", "norm", "potential"],
)
def test_sweeping_solves_the_same_discrete_equation(hamiltonian, options) -> None:
    """Godunov's difference scheme both times, at ε = 0: equal up to the tolerances."""
    problem = hj.StationaryProblem(hamiltonian, 0.0, SQUARE, target=DISC, **options)
    swept, improved = (hj.solve(problem, method).u for method in (FS(24), PI(24)))
    np.testing.assert_allclose(improved, swept, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_a_reflecting_wall_is_the_even_continuation() -> None:
    source = lambda x: jnp.cos(jnp.pi * x[0])
    wall = hj.Box([0.0], [1.0], boundary=hj.boundaries.Neumann())
    half, whole = (
        hj.solve(hj.StationaryProblem(H.Quadratic(), 0.1, domain, discount=0.5, source=source), PI(n)).u[0]
        for domain, n in ((wall, 32), (hj.Torus([-1.0], [1.0]), 64))
    )
    np.testing.assert_allclose(half[:32], whole[32:], rtol=0, atol=1e-8)  # the tolerance


def test_gradient_is_that_of_finite_differences() -> None:
    @jax.jit
    @jax.value_and_grad
    def mean_square(theta):
        problem = hj.StationaryProblem(
            H.Quadratic(theta[0]), theta[1], hj.Torus([-1.0], [1.0]), discount=theta[2],
            source=lambda x: jnp.sin(jnp.pi * x[0]),
        )  # fmt: skip
        return jnp.mean(hj.solve(problem, PI(16, tolerance=1e-13), throw=False).u ** 2)

    theta, step = jnp.array([0.5, 0.3, 1.2]), 1e-5
    shifts = step * np.eye(3)
    expected = [(mean_square(theta + shift)[0] - mean_square(theta - shift)[0]) / (2 * step) for shift in shifts]
    np.testing.assert_allclose(mean_square(theta)[1], expected, rtol=0, atol=1e-7)  # step² and 1e-13/step


def test_refusals() -> None:
    custom = H.Custom(lambda t, x, p: jnp.cos(p[0]))
    with pytest.raises(ValueError, match=r"`hamiltonian` must be convex.*Custom.*FastSweeping"):
        hj.solve(hj.StationaryProblem(custom, 0.1, SQUARE, discount=1.0), PI(16))
    with pytest.raises(ValueError, match=r"`target` holds no node"):
        target = hj.Target(lambda x: jnp.linalg.norm(x - 0.013) - 1e-3)
        hj.solve(hj.StationaryProblem(H.Eikonal(), 0.0, SQUARE, target=target, source=1.0), PI(16))
    with pytest.raises(RuntimeError, match=r"stopped before its tolerance"):
        hj.solve(manufactured(1.0, d=1), PI(16, max_improvements=1))
