"""The spherical-radial rule: moments in closed form, and the data it is for against their chi-square integral."""

from math import gamma, prod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.methods.particle.rules.spherical import around


@pytest.mark.parametrize("d", [4, 5])
@pytest.mark.parametrize("check", [0, 1])
def test_moments_of_the_ball(d: int, check: int) -> None:
    """∫ Π z_i^{a_i} over the ball of radius R, z = Lᵀ(y − centre): Folland 2001, doi:10.2307/2695802."""
    rng = np.random.default_rng(d)
    matrix = rng.normal(size=(d, d))
    factor = np.linalg.cholesky(matrix @ matrix.T + np.eye(d))
    centre, radius = rng.normal(size=d), 1.7
    y, logs = jax.jit(around, static_argnums=3)(centre, factor, radius, check)
    z = (np.asarray(y) - centre) @ factor
    for powers in (
        [0] * d,
        [2] + [0] * (d - 1),
        [2, 2, 4] + [0] * (d - 3),
        [0] * (d - 1) + [6],
        [1, 3] + [0] * (d - 2),
    ):
        found = np.exp(logs) @ np.prod(z ** np.array(powers), axis=1) * np.linalg.det(factor)
        sphere = 2 * prod(gamma((a + 1) / 2) for a in powers) / gamma((sum(powers) + d) / 2)
        exact = 0.0 if any(a % 2 for a in powers) else sphere * radius ** (sum(powers) + d) / (sum(powers) + d)
        np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-9)  # five radial nodes a panel, degree 13


@eqx.filter_jit
def at_zero(exact, t):
    return exact(t, jnp.zeros(exact.dimension))


@pytest.mark.slow
@pytest.mark.parametrize("d", [4, 5])
def test_a_narrow_core_in_wide_tails(d: int) -> None:
    """Data for which Gauss-Hermite is off by 1e-3: log((1 + |y|²)/2), whose Gibbs density falls like a power first."""
    times, x = np.array([0.2, 1.0]), np.zeros((1, d))
    for lam in (1.0, 10.0):
        exact = hj.exact.DeepBSDE(dimension=d, lam=lam)
        solution = hj.solve(exact.problem(), hj.methods.particle.HopfCole(), times, points=x)
        expected = [at_zero(exact, jnp.asarray(t)) for t in times]
        np.testing.assert_allclose(solution.u[:, 0], expected, rtol=2e-7)  # the rules stop at a change of 1e-7
        assert solution.result == hj.RESULTS.successful
