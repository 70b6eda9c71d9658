"""The public contract runs as written, and its three methods agree with an adaptive quadrature."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import cauchy_1d
from scipy.special import logsumexp

import hjsolve as hj

W = np.array([[1.0, 0.0], [-0.5, 0.8], [0.2, -1.1]])
b = np.array([0.1, -0.2, 0.3])
x = jnp.array([0.4, -0.3])


@pytest.fixture(scope="module")
def contract() -> dict:
    problem = hj.Problem(
        hamiltonian=hj.hamiltonians.Quadratic(c=1.0),
        viscosity=hj.viscosities.Constant(0.1),
        initial=hj.initials.Custom(lambda x: jnp.sin(3 * x[0]) + 0.3 * x[0] ** 2),
        domain=hj.Box(lower=[-8.0], upper=[8.0]),
        horizon=0.5,
    )
    points = jnp.linspace(-2.0, 2.0, 101)[:, None]
    exact = hj.solve(problem, hj.methods.particle.HopfCole(), ts=[0.25, 0.5], points=points)
    grid = hj.solve(problem, hj.methods.grid.FiniteDifference(cells=400), ts=[0.25, 0.5], points=points)
    return {"points": points, "exact": exact, "grid": grid}


def test_shapes(contract: dict) -> None:
    for solution in (contract["exact"], contract["grid"]):
        assert solution.u.shape == (2, 101)
        assert solution.gradient.shape == (2, 101, 1)
        assert solution.result == hj.RESULTS.successful
        assert solution.stats["compile_seconds"] > 0
        assert solution.stats["seconds"] > 0
    assert contract["grid"].stats["steps"] > 10
    np.testing.assert_allclose(contract["grid"].stats["cfl"], 0.7, rtol=1e-12)
    assert contract["grid"].equation.viscosity.epsilon == 0.1


def test_values(contract: dict) -> None:
    rows = np.arange(0, 101, 10)
    places = np.asarray(contract["points"])[rows, 0]
    for k, t in enumerate((0.25, 0.5)):
        expected = [cauchy_1d(lambda y: np.sin(3 * y) + 0.3 * y**2, t, place, 0.1) for place in places]
        np.testing.assert_allclose(contract["exact"].u[k][rows], expected, rtol=0, atol=1e-10)  # smooth and resolved
        # Δx = 0.04 resolves the layer 2ε/[p] = 0.04 of the collapsing waves with one cell
        np.testing.assert_allclose(contract["grid"].u[k][rows], expected, rtol=0, atol=5e-3)
    print("grid against particles", float(jnp.abs(contract["grid"].u - contract["exact"].u).max()))
    assert jnp.abs(contract["grid"].u - contract["exact"].u).mean() < 1e-3
    assert jnp.abs(contract["grid"].gradient - contract["exact"].gradient).mean() < 3e-2


def test_layer_to_equation_and_back() -> None:
    layer = hj.methods.network.LSE(weights=W, bias=b, temperature=0.3)
    np.testing.assert_allclose(layer(x), 0.3 * logsumexp((W @ np.asarray(x) + b) / 0.3), rtol=1e-14)
    read = hj.theory.as_problem(layer, time=1.0)
    np.testing.assert_allclose(read.initial.y, 2 * W, rtol=1e-15)
    np.testing.assert_allclose(read.initial.g, -b - (W**2).sum(1), rtol=1e-14)
    pi = hj.theory.gibbs.weights(read, t=1.0, x=x)
    scores = (W @ np.asarray(x) + b) / 0.3
    np.testing.assert_allclose(pi, np.exp(scores - logsumexp(scores)), rtol=1e-13)
    back = hj.theory.as_network(read, time=1.0)
    np.testing.assert_allclose(back.weights, W, rtol=1e-15)
    np.testing.assert_allclose(back.bias, b, rtol=0, atol=1e-15)
    np.testing.assert_allclose(back.temperature, 0.3, rtol=1e-14)
    np.testing.assert_allclose(back(x), layer(x), rtol=1e-14)
