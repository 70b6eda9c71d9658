"""The shared cloud: its rate in N, and what it says about itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import ncx2

import hjsolve as hj

HopfCole = hj.methods.particle.HopfCole
rules = hj.methods.particle.rules
QUADRATIC = hj.hamiltonians.Quadratic()


def norm_solution(x: np.ndarray) -> float:
    """−log E e^{−|X|}, X normal around x with unit variance: |X|² is noncentral χ² in any dimension."""
    density = lambda r: 2 * r * ncx2.pdf(r * r, len(x), x @ x)
    return -np.log(quad(lambda r: np.exp(-r) * density(r), 0, 14, epsabs=0, epsrel=1e-11, limit=200)[0])


@pytest.mark.filterwarnings("ignore::hjsolve.HJWarning")
@pytest.mark.parametrize(
    ("d", "nodes", "least"), [(1, 201, 1.9), pytest.param(2, 64, 1.2, marks=pytest.mark.slow), (4, 17, 0.75)]
)
def test_rate_in_the_number_of_nodes(d: int, nodes: int, least: float) -> None:
    """|x|: h² from the crease in one dimension, faster in N than N^{−2/d} where the kink is a point.

    The box grows at a fixed number of nodes, so that one program serves: N = h^{−d} is the nodes in a unit volume.
    """
    x = np.random.default_rng(1).uniform(-0.5, 0.5, size=(8, d))
    reference = np.array([norm_solution(z) for z in x])
    spacings, errors = [], []
    for half in (0.5, 1.5, 3.0, 5.0, 7.0, 10.0):
        p = hj.Problem(QUADRATIC, 1.0, hj.initials.Norm(), hj.Box([-half] * d, [half] * d), 0.5)
        solution = hj.solve(p, HopfCole(nodes=nodes), [0.5], points=x, throw=False)
        spacings.append(1 / float(solution.stats["resolution"][0]))  # the width √(2εt) is 1
        errors.append(np.abs(solution.u[0] - reference).mean())
    print(d, spacings, errors)
    assert spacings[-1] > 1.8 * spacings[0]
    slope = np.polyfit(-d * np.log(spacings), np.log(errors), 1)[0]
    assert slope < -least


def waves(epsilon: float) -> hj.Problem:
    return hj.Problem(QUADRATIC, epsilon, hj.initials.Cosine(1.0, 3.0), hj.Box([-1.0], [1.0]), 1.0)


@pytest.mark.slow
def test_resolution_and_its_report() -> None:
    solve = lambda epsilon, method: hj.solve(waves(epsilon), method, [0.5, 1.0], points=[[0.2], [0.3]])
    fine = solve(0.01, HopfCole(nodes=1024))
    np.testing.assert_allclose(fine.stats["resolution"][1] / fine.stats["resolution"][0], np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(fine.u, solve(0.01, HopfCole()).u, rtol=0, atol=1e-13)
    assert fine.result == hj.RESULTS.successful
    with pytest.warns(hj.HJWarning, match="too coarse"):
        assert solve(2e-5, HopfCole(nodes=1024)).stats["coarsening_change"].max() > 0.02


@pytest.mark.slow
def test_points_outside_change_nothing_inside() -> None:
    solve = lambda method, *x: hj.solve(waves(0.1), method, [0.5, 1.0], points=np.array(x)[:, None]).u
    inside, mixed = solve(HopfCole(nodes=1024), 0.2, 0.3), solve(HopfCole(nodes=1024), 0.2, 5.0)
    np.testing.assert_array_equal(inside[:, 0], mixed[:, 0])
    np.testing.assert_allclose(mixed, solve(HopfCole(), 0.2, 5.0), rtol=0, atol=1e-12)


def test_given_atoms_are_a_cloud() -> None:
    cloud = rules.given(hj.initials.Atoms([[0.0], [1.0]], [0.1, 0.2], [1.0, 2.0]))
    np.testing.assert_allclose(cloud.log_weights, [0.0, np.log(2.0)])
    assert jnp.all(cloud.spacing == 0)
    assert cloud.covered
