"""Sampling: the deep-BSDE problem in 100 dimensions, kinks in one, and honest reports where it fails."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

HopfCole = hj.methods.particle.HopfCole
rules = hj.methods.particle.rules


@eqx.filter_jit
def on_all(exact, times, x):
    return jax.vmap(jax.vmap(jax.value_and_grad(exact, argnums=1), (None, 0)), (0, None))(times, x)


@pytest.mark.parametrize(
    ("lam", "published"),
    [(1, 4.590161724605), (10, 4.492929491), (20, 4.367139028), (40, 4.013074027), (50, 3.724175923)],
)
def test_the_deep_bsde_problem_in_100_dimensions(lam: float, published: float) -> None:
    """At default settings; the mass lies in a shell, far from the minimiser."""
    p = hj.exact.DeepBSDE(100, lam).problem()
    solution = hj.solve(p, HopfCole(), [1.0], points=np.zeros((1, 100)))
    np.testing.assert_allclose(solution.u[0, 0], published, rtol=3e-4)
    error = abs(float(solution.u[0, 0]) - published)
    assert error < 4 * float(solution.stats["standard_error"][0, 0]) + 1e-6
    assert solution.stats["effective_sample_size"][0, 0] > 3000


def test_keys_are_replicates_and_the_same_key_repeats() -> None:
    exact = hj.exact.DeepBSDE(100, 1.0)
    run = lambda seed: hj.solve(exact.problem(), HopfCole(), [1.0], points=np.zeros((1, 100)), key=jax.random.key(seed))
    solutions = [run(seed) for seed in range(6)]
    values = np.array([float(s.u[0, 0]) for s in solutions])
    assert values[0] == float(run(0).u[0, 0])
    assert len(set(values)) == 6
    # the blocks of a net spread more than the net itself errs
    ratios = [
        (v - 4.590161724605) / float(s.stats["standard_error"][0, 0]) for v, s in zip(values, solutions, strict=True)
    ]
    assert 0.1 < np.sqrt(np.mean(np.square(ratios))) < 1.5
    assert np.abs(values / 4.590161724605 - 1).max() < 8e-4


def test_gradients_and_places_in_20_dimensions() -> None:
    exact = hj.exact.DeepBSDE(20, 2.0)
    x = np.random.default_rng(0).normal(size=(3, 20))
    solution = hj.solve(exact.problem(), HopfCole(), [0.2, 1.0], points=x)
    u, slope = on_all(exact, jnp.array([0.2, 1.0]), jnp.asarray(x))
    np.testing.assert_allclose(solution.u, u, rtol=3e-4)
    np.testing.assert_allclose(solution.gradient, slope, rtol=0, atol=2e-3)  # 4096 samples of slopes of size 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("points", "tolerance"), [("sobol", 1e-6), ("random", 1e-4)])
def test_a_kink_at_small_viscosity(points: str, tolerance: float) -> None:
    """ε = 1e-3, g = |y|: Sobol to 1e-6 in u; Monte Carlo to ε/√4096 and a little."""
    exact = hj.exact.AbsoluteValue(1e-3)
    x = np.linspace(-1.5, 1.5, 7)[:, None]
    solution = hj.solve(exact.problem(), HopfCole(rule=rules.Sampled(4096, points)), [1.0], points=x)
    expected = on_all(exact, jnp.ones(1), jnp.asarray(x))[0]
    np.testing.assert_allclose(solution.u, expected, rtol=0, atol=tolerance)


def test_kinks_in_100_dimensions_are_flagged() -> None:
    d = 100
    p = hj.Problem(hj.hamiltonians.Quadratic(), 0.1, hj.initials.Norm(1), hj.Box([-1.0] * d, [1.0] * d), 1.0)
    with pytest.warns(hj.HJWarning, match="effective sample size fell below 50"):
        solution = hj.solve(p, HopfCole(), [1.0], points=np.full((1, d), 0.5))
    assert solution.result == hj.RESULTS.under_sampled
