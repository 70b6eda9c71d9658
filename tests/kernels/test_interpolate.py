import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

from hjsolve.kernels.interpolate import interpolate

PLACES = np.random.default_rng(0).uniform(0.0, 1.0, size=(50, 1))


@pytest.mark.parametrize("order", [1, 3, 5])
def test_polynomials_of_the_order_are_exact_up_to_the_faces(order: int) -> None:
    x = np.linspace(0.0, 1.0, 8)
    places = np.concatenate([PLACES, [[0.0], [1.0], [1e-9], [1 - 1e-9]]])
    for degree in range(order + 1):
        computed = interpolate(
            jnp.asarray(x**degree), np.zeros(1), np.full(1, 1 / 7), (False,), jnp.asarray(places), order=order
        )
        np.testing.assert_allclose(computed, places[:, 0] ** degree, rtol=0, atol=1e-14)  # Lebesgue constant < 4


@pytest.mark.parametrize("order", [1, 3, 5])
def test_order_of_convergence(order: int) -> None:
    errors = []
    for n in (16, 32, 64):
        x = np.linspace(0.0, 1.0, n + 1)
        computed = interpolate(
            jnp.asarray(np.sin(5 * x)), np.zeros(1), np.full(1, 1 / n), (False,), jnp.asarray(PLACES), order=order
        )
        errors.append(np.abs(computed - np.sin(5 * PLACES[:, 0])).max())
    assert abs(orders(errors)[-1] - (order + 1)) < 0.5  # the fixed places fall differently inside the cells


def test_quintics_in_two_dimensions_with_a_trailing_axis() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(0, 3, 8), indexing="ij")
    f = lambda x, y: np.stack([x**5 * y**4 - y, x * y**5], axis=-1)
    places = np.random.default_rng(1).uniform((-1, 0), (1, 3), size=(40, 2))
    spacing, lower = np.array([0.25, 3 / 7]), np.array([-1.0, 0.0])
    computed = interpolate(jnp.asarray(f(x, y)), lower, spacing, (False, False), jnp.asarray(places))
    np.testing.assert_allclose(computed, f(*places.T), rtol=0, atol=1e-11)  # values reach 3^5 = 243


def test_periodic_axis_wraps_at_any_distance() -> None:
    n = 24
    x = np.arange(n) / n
    f = lambda x: np.exp(np.sin(2 * np.pi * x))
    places = np.array([-3.01, -0.001, 0.5, 0.999, 1.0, 7.3])[:, None]
    computed = interpolate(jnp.asarray(f(x)), np.zeros(1), np.full(1, 1 / n), (True,), jnp.asarray(places))
    inside = interpolate(jnp.asarray(f(x)), np.zeros(1), np.full(1, 1 / n), (True,), jnp.asarray(places % 1.0))
    np.testing.assert_allclose(computed, inside, rtol=0, atol=1e-12)  # the same place to an ulp of 7.3
    # 6th order: (2π/24)^6 is 3e-4, times a constant of 1/46 and derivatives of ~20
    np.testing.assert_allclose(computed, f(places[:, 0]), rtol=0, atol=3e-4)


def test_continuation_beyond_a_face_is_the_tangent() -> None:
    x = np.linspace(0.0, 1.0, 11)
    at = lambda z: interpolate(jnp.asarray(np.exp(x)), np.zeros(1), np.full(1, 0.1), (False,), z)
    slope = jax.jacfwd(lambda s: at(s[None, None])[0])
    for face, sign in ((0.0, -1.0), (1.0, 1.0)):
        # one-sided derivative of the quintic at the face, by small steps inside
        inner = (at(jnp.array([[face - sign * 1e-6]]))[0] - at(jnp.array([[face]]))[0]) / (-sign * 1e-6)
        beyond = at(jnp.array([[face + sign * 0.3]]))[0] - at(jnp.array([[face]]))[0]
        np.testing.assert_allclose(beyond / (sign * 0.3), inner, rtol=0, atol=3e-6)  # the step's own curvature term
        np.testing.assert_allclose(slope(jnp.asarray(face + sign * 0.3)), np.exp(face), rtol=1e-4)  # quintic's slope


def test_gradient_in_the_values_is_the_weights() -> None:
    values = jnp.asarray(np.random.default_rng(2).normal(size=12))
    f = lambda v: interpolate(v, np.zeros(1), np.full(1, 1 / 11), (False,), jnp.asarray([[0.37]]))[0]
    weights = jax.grad(f)(values)
    np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-14)
    np.testing.assert_allclose(weights @ values, f(values), atol=1e-14)
