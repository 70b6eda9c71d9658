"""The shared cloud: its rate in N, and what it says about itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

HopfCole = hj.methods.particle.HopfCole
rules = hj.methods.particle.rules


@pytest.mark.filterwarnings("ignore::hjsolve.HJWarning")
@pytest.mark.parametrize(
    ("d", "counts", "least"), [(1, (101, 201, 401), 1.9), (2, (24, 40, 64), 1.2), (4, (6, 9, 13), 0.75)]
)
def test_rate_in_the_number_of_nodes(d: int, counts: tuple[int, ...], least: float) -> None:
    """|x|: h² from the crease in one dimension, faster in N than N^{−2/d} where the kink is a point."""
    epsilon, x = 1.0, np.random.default_rng(1).uniform(-0.5, 0.5, size=(8, d))
    p = hj.Problem(hj.hamiltonians.Quadratic(), epsilon, hj.initials.Norm(), hj.Box([-1.0] * d, [1.0] * d), 0.5)
    solve = lambda n: np.asarray(hj.solve(p, HopfCole(nodes=n), [0.5], points=x, throw=False).u[0])
    reference = solve({2: 401, 4: 25}[d]) if d > 1 else jax.vmap(lambda z: hj.exact.AbsoluteValue(epsilon)(0.5, z))(x)
    errors = [np.abs(solve(n) - reference).mean() for n in counts]
    slope = np.polyfit(np.log(np.array(counts, float) ** d), np.log(errors), 1)[0]
    assert slope < -least


def test_resolution_and_its_report() -> None:
    p = hj.Problem(hj.hamiltonians.Quadratic(), 0.01, hj.initials.Cosine(1.0, 3.0), hj.Box([-1.0], [1.0]), 1.0)
    solve = lambda n: hj.solve(p, HopfCole(nodes=n), [0.5, 1.0], points=[[0.2]])
    fine = solve(1024)
    np.testing.assert_allclose(fine.stats["resolution"][1] / fine.stats["resolution"][0], np.sqrt(2), rtol=1e-12)
    np.testing.assert_allclose(fine.u, hj.solve(p, HopfCole(), [0.5, 1.0], points=[[0.2]]).u, rtol=0, atol=1e-13)
    assert fine.result == hj.RESULTS.successful
    with pytest.warns(hj.HJWarning, match="too coarse"):
        assert solve(48).stats["coarsening_change"].max() > 0.02


def test_points_outside_change_nothing_inside() -> None:
    p = hj.Problem(hj.hamiltonians.Quadratic(), 0.1, hj.initials.Cosine(1.0, 3.0), hj.Box([-1.0], [1.0]), 1.0)
    inside = hj.solve(p, HopfCole(nodes=400), [0.5], points=[[0.2], [0.3]])
    mixed = hj.solve(p, HopfCole(nodes=400), [0.5], points=[[0.2], [5.0]])
    assert inside.u[0, 0] == mixed.u[0, 0]
    far = hj.solve(p, HopfCole(), [0.5], points=[[0.2], [5.0]])
    np.testing.assert_allclose(mixed.u, far.u, rtol=0, atol=1e-12)


def test_given_atoms_are_a_cloud() -> None:
    cloud = rules.given(hj.initials.Atoms([[0.0], [1.0]], [0.1, 0.2], [1.0, 2.0]))
    np.testing.assert_allclose(cloud.log_weights, [0.0, np.log(2.0)])
    assert jnp.all(cloud.spacing == 0)
    assert cloud.covered
