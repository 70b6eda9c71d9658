"""Gaussian tails against 50-digit arithmetic."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from hjsolve.kernels.special import log_erfc, log_erfcx, log_ndtr

# Both tails, the sewing points, and the neighbourhood of 0 where log_erfc vanishes; −20 is where JAX's own is off.
Z = np.unique(np.concatenate([np.linspace(-40, 37, 155), [-20.0, 0.0, 0.5, 0.5000001], -np.geomspace(1e-9, 1e3, 49)]))


def exact_log_ndtr(z):
    return mp.log(mp.erfc(-z / mp.sqrt(2)) / 2) if z < 0 else mp.log1p(-mp.erfc(z / mp.sqrt(2)) / 2)


def exact_log_erfc(z):
    return mp.log1p(-mp.erf(z)) if z < 3 else mp.log(mp.erfc(z))


def exact_log_erfcx(z):
    return z**2 + exact_log_erfc(z)


def hazard(z):
    return mp.npdf(z) / (mp.erfc(-z / mp.sqrt(2)) / 2)


def relative_error(function, reference, points):
    values = np.asarray(jax.jit(function)(jnp.asarray(points)))
    worst = 0.0
    # log1p(-erf) near erf = -1 and z² + log erfc cancel in the references themselves: digits in reserve.
    with mp.workdps(60):
        for value, z in zip(values.tolist(), points.tolist(), strict=True):
            expected = reference(mp.mpf(z))
            worst = max(worst, float(abs(value - expected) / abs(expected)) if expected else abs(value))
    return worst


@pytest.mark.parametrize(
    ("function", "reference", "points"),
    [(log_ndtr, exact_log_ndtr, Z), (log_erfc, exact_log_erfc, -Z), (log_erfcx, exact_log_erfcx, -Z)],
)
def test_values_to_round_off(function, reference, points):
    # Measured 3e-15 to 7e-15: a few ulp of exp, log1p and the 29-term recurrence.
    assert relative_error(function, reference, points) < 1e-14


def test_first_derivative_of_log_ndtr_is_the_hazard():
    # As for the values (measured 4e-16); at z = 37, 1e-298, a factor of the derivative is subnormal already.
    assert relative_error(jax.vmap(jax.grad(log_ndtr)), hazard, Z[Z <= 36]) < 1e-14


def test_second_derivative_of_log_ndtr_does_not_cancel_in_the_tail():
    # −r(z + r) cancels to 1e-10 at z = −1e3 if formed from the hazard r; differentiating the polynomial gave 1.3e-14.
    second = jax.vmap(jax.grad(jax.grad(log_ndtr)))
    assert relative_error(second, lambda z: -hazard(z) * (z + hazard(z)), Z[Z <= 36]) < 1e-13


def test_saturation_is_exact_and_differentiable():
    value, slope = jax.jit(jax.value_and_grad(log_ndtr))(40.0)
    assert value == 0.0
    assert slope == 0.0


@pytest.mark.parametrize("function", [log_ndtr, log_erfc, log_erfcx])
def test_float32_agrees_to_its_own_round_off(function):
    # Up to z = 10, where 1 − Φ(z) = 8e-24 is still a normal float32.
    points = Z[(Z > -1e2) & (Z < 10)] * (1 if function is log_ndtr else -1)
    points = points.astype(np.float32)
    exact = np.asarray(jax.jit(function)(jnp.asarray(points, jnp.float64)))
    values = jax.jit(function)(jnp.asarray(points))
    assert values.dtype == jnp.float32
    # 2e-6 is 16 ulp of float32: the recurrence and log1p, as in float64.
    np.testing.assert_allclose(np.asarray(values), exact, rtol=2e-6)
