import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

from hjsolve.kernels import stencil

PAIRS = {
    "upwind1": (stencil.upwind1, 1, 1, 1.0),
    "eno2": (stencil.eno2, 2, 2, 2.0),
    "eno3": (stencil.eno3, 3, 3, 3.0),
    "weno3": (stencil.weno3, 2, 2, 2.5),
    "weno5": (stencil.weno5, 3, 3, 4.8),
    "wenoz": (stencil.wenoz, 3, 3, 4.9),
}
"""Function, width, degree of the polynomials it is exact on whatever its weights, least order at 160 to 320 nodes."""


def nodes(width: int, n: int = 9, h: float = 0.1) -> np.ndarray:
    return 0.4 + h * (np.arange(n + 2 * width) - width)


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_are_exact_on_polynomials(name: str) -> None:
    pair, width, highest, _ = PAIRS[name]
    x = nodes(width)
    for degree in range(highest + 1):
        for slopes in pair(jnp.asarray(x**degree), 0.1):
            expected = degree * x[width:-width] ** max(degree - 1, 0)
            np.testing.assert_allclose(slopes, expected, rtol=0, atol=5e-14)  # differences of numbers <= 2 over 0.1


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_have_their_order_on_smooth_data(name: str) -> None:
    pair, width, _, least = PAIRS[name]
    f, slope = (lambda x: np.sin(x) + 0.3 * np.sin(2 * x)), (lambda x: np.cos(x) + 0.6 * np.cos(2 * x))
    errors = []
    for n in (80, 160, 320):
        h = 2 * np.pi / n
        x = h * np.arange(-width, n + width)
        errors.append([np.abs(side - slope(x[width:-width])).mean() for side in pair(jnp.asarray(f(x)), h)])
    found = np.array([orders(side) for side in np.array(errors).T])
    assert (found[:, -1] > least - 0.05).all(), found
    assert (found[:, -1] < least + 0.8).all(), found


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_look_to_their_own_side_of_a_kink(name: str) -> None:
    pair, width, *_ = PAIRS[name]
    kink = np.abs(nodes(width, n=21) - nodes(width, n=21)[width + 10])
    minus, plus = pair(jnp.asarray(kink), 0.1)
    np.testing.assert_allclose([minus[10], plus[10]], [-1.0, 1.0], rtol=0, atol=1e-4)
    for slopes in (minus, plus):
        assert np.abs(slopes).max() < 1 + 1e-4  # nonlinear weights leave 1e-6-relative traces of the far side


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_do_not_depend_on_the_unit_of_u(name: str) -> None:
    """Within 1e-8 to 1e8 in float64, and 1e-6 to 1e6 in float32, where powers of slopes could leave the range."""
    pair, width, *_ = PAIRS[name]
    x = nodes(width, n=30)
    values = np.sin(3 * x) + np.abs(x - 1.4)
    for dtype, units, allowed in ((np.float64, (1e-8, 1e8), 1e-10), (np.float32, (2.0**-27, 2.0**27), 1e-6)):
        one = np.array(pair(jnp.asarray(values, dtype), dtype(0.1)))
        for unit in units:
            scaled = np.array(pair(jnp.asarray(unit * values.astype(dtype), dtype), dtype(0.1))) / unit
            np.testing.assert_allclose(scaled, one, rtol=0, atol=allowed)
    constant = np.array(pair(jnp.full(40, 3.0), 0.1))
    assert (constant == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_have_derivatives_where_u_is_flat_small_or_large(name: str, dtype: type) -> None:
    """Against differences of the pair in float64, along a line through u; flat u has a derivative too."""
    pair, width, *_ = PAIRS[name]
    rng = np.random.default_rng(3)
    x = nodes(width, n=30)
    values, change = np.sin(3 * x) + np.abs(x - 1.4), rng.normal(size=len(x))
    weights = rng.normal(size=(2, 30))
    total = lambda v, unit, h=0.1: jnp.sum(weights * jnp.stack(pair(v, h))) / unit
    difference = (total(values + 1e-6 * change, 1.0) - total(values - 1e-6 * change, 1.0)) / 2e-6
    for unit in (2.0**-27, 1.0, 2.0**27):
        pulled, of_spacing = jax.grad(total, argnums=(0, 2))(dtype(unit * values), unit, dtype(0.1))
        tolerance = 2e-3 if dtype is np.float32 else 1e-5  # of the weights at the kink, where they are steep
        np.testing.assert_allclose(np.sum(np.float64(pulled) * unit * change), difference, rtol=tolerance)
        # slopes are in proportion to 1/Δx
        np.testing.assert_allclose(of_spacing, -total(values, 1.0) / 0.1, rtol=tolerance)
    for flat in (0.0, 3.0):
        gradient = jax.grad(lambda v: total(v, 1.0))(jnp.full(30 + 2 * width, flat, dtype))
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 1


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_work_along_any_axis_and_are_mirror_images(name: str) -> None:
    pair = PAIRS[name][0]
    values = np.random.default_rng(0).normal(size=(12, 5, 7))
    along = [np.array(pair(jnp.asarray(np.moveaxis(values, 0, k)), 0.1, k)) for k in range(3)]
    for k in (1, 2):
        np.testing.assert_array_equal(np.moveaxis(along[k], k + 1, 1), along[0])
    minus, plus = pair(jnp.asarray(values[::-1]), 0.1)
    np.testing.assert_allclose([-np.array(plus)[::-1], -np.array(minus)[::-1]], along[0], rtol=0, atol=1e-12)


def test_wenoz_keeps_its_order_where_the_second_derivative_vanishes() -> None:
    """At x = 0 of sin x the weights of WENO5 fall to order 3; those of WENO-Z do not."""
    errors = {}
    for name in ("weno5", "wenoz"):
        pair = PAIRS[name][0]
        errors[name] = [
            abs(float(pair(jnp.asarray(np.sin(h * np.arange(-3, 4))), h)[0][0]) - 1.0) for h in (0.1, 0.05, 0.025)
        ]
    assert orders(errors["wenoz"])[-1] > 4.5
    assert errors["wenoz"][-1] < errors["weno5"][-1]


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


@pytest.mark.parametrize(("order", "degree"), [(o, k) for o in (2, 4, 6) for k in range(o + 1)])
def test_first_derivative_is_exact_on_polynomials(order: int, degree: int) -> None:
    half = order // 2
    x = nodes(half)
    expected = degree * x[half:-half] ** max(degree - 1, 0)
    computed = stencil.first_derivative(jnp.asarray(x**degree), 0.1, order=order)
    np.testing.assert_allclose(computed, expected, rtol=0, atol=2e-13)  # values <= 18 over h
