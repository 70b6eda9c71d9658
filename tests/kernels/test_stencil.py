import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

from hjsolve.kernels import stencil


def nodes(width: int, n: int = 9, h: float = 0.1) -> np.ndarray:
    return 0.4 + h * (np.arange(n + 2 * width) - width)


@pytest.mark.parametrize("degree", [0, 1])
def test_upwind1_is_exact_on_linear_data(degree: int) -> None:
    x = nodes(1)
    minus, plus = stencil.upwind1(jnp.asarray(x**degree), 0.1)
    for slopes in (minus, plus):
        np.testing.assert_allclose(slopes, np.full(9, float(degree)), rtol=0, atol=1e-14)  # 1/h ulp


def test_upwind1_looks_to_its_own_side() -> None:
    kink = np.abs(nodes(1) - nodes(1)[5])
    minus, plus = stencil.upwind1(jnp.asarray(kink), 0.1)
    np.testing.assert_allclose([minus[4], plus[4]], [-1.0, 1.0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_weno5_is_exact_on_cubics(degree: int) -> None:
    """Each of its three stencils is, so that any weights are; a quartic is exact with the linear weights alone."""
    x = nodes(3)
    minus, plus = stencil.weno5(jnp.asarray(x**degree), 0.1)
    for slopes in (minus, plus):
        expected = degree * x[3:-3] ** max(degree - 1, 0)
        np.testing.assert_allclose(slopes, expected, rtol=0, atol=5e-14)  # differences of numbers <= 2 over h = 0.1


def test_weno5_has_order_five_on_smooth_data() -> None:
    f, slope = (lambda x: np.sin(x) + 0.3 * np.sin(2 * x)), (lambda x: np.cos(x) + 0.6 * np.cos(2 * x))
    errors = []
    for n in (40, 80, 160, 320):
        h = 2 * np.pi / n
        x = h * np.arange(-3, n + 3)
        minus, plus = stencil.weno5(jnp.asarray(f(x)), h)
        errors.append([np.abs(side - slope(x[3:-3])).mean() for side in (minus, plus)])
    found = np.array([orders(side) for side in np.array(errors).T])
    assert (found[:, -1] > 4.6).all()
    assert (found[:, -1] < 5.6).all()


def test_weno5_does_not_oscillate_at_a_kink() -> None:
    x = nodes(3, n=21) - nodes(3, n=21)[13]
    minus, plus = stencil.weno5(jnp.asarray(np.abs(x)), 0.1)
    for slopes in (minus, plus):
        assert np.abs(slopes).max() < 1 + 1e-4  # nonlinear weights leave 1e-6-relative traces of the far side


def test_weno5_does_not_depend_on_the_unit_of_u() -> None:
    values = np.sin(3 * nodes(3, n=30)) + np.abs(nodes(3, n=30) - 1.4)
    one = np.array(stencil.weno5(jnp.asarray(values), 0.1))
    for unit in (1e-8, 1e8):
        scaled = np.array(stencil.weno5(jnp.asarray(unit * values), 0.1)) / unit
        np.testing.assert_allclose(scaled, one, rtol=0, atol=1e-10)  # the floor in the weights is tiny, not zero


@pytest.mark.parametrize(("order", "degree"), [(o, k) for o in (2, 4, 6) for k in range(o + 2)])
def test_second_derivative_is_exact_on_polynomials(order: int, degree: int) -> None:
    """Symmetry gives one degree more than the order demands: x^(order+1) is exact too."""
    half = order // 2
    x = nodes(half)
    computed = stencil.second_derivative(jnp.asarray(x**degree), 0.1, order=order)
    expected = degree * (degree - 1) * x[half:-half] ** max(degree - 2, 0)
    # values reach 1.4^7 = 10, over h² = 0.01
    np.testing.assert_allclose(computed, expected, rtol=0, atol=2e-11)


@pytest.mark.parametrize("order", [2, 4, 6])
def test_second_derivative_has_its_order_and_no_more(order: int) -> None:
    errors = []
    for n in (16, 32):
        h = 2 * np.pi / n
        x = h * np.arange(-(order // 2), n + order // 2)
        computed = stencil.second_derivative(jnp.asarray(np.sin(x)), h, order=order)
        errors.append(np.abs(computed + np.sin(x[order // 2 : -(order // 2)])).max())
    assert abs(orders(errors)[0] - order) < 0.2  # the next term is O(h²) of the leading one


@pytest.mark.parametrize("degree", range(7))
def test_first_derivative_is_exact_on_sextics(degree: int) -> None:
    x = nodes(3)
    expected = degree * x[3:-3] ** max(degree - 1, 0)
    computed = stencil.first_derivative(jnp.asarray(x**degree), 0.1)
    np.testing.assert_allclose(computed, expected, rtol=0, atol=2e-13)  # values <= 18 over h
