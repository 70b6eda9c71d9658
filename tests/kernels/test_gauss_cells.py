"""The Gaussian transform by Gauss-Legendre cells against the exact one by Gaussian tails."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hjsolve.kernels.gauss_cells import NARROWEST, WIDEST, gauss_transform
from hjsolve.kernels.product import transform

RNG = np.random.default_rng(0)


@functools.partial(jax.jit, static_argnums=5)
def both(v, fields, x, y, kappa, period):
    mine = gauss_transform(v, fields, x, y, kappa, period, jnp.asarray(True))
    exact = transform(v, fields, x, y, kappa, period)
    return mine.lse, mine.averages, exact.lse, exact.averages


@pytest.mark.parametrize(("n", "period"), [(6, 2.0), (70, 2.0), (70, None)])
@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.slow)])
def test_equals_the_transform_by_tails(n: int, period: float | None, dtype: type) -> None:
    """Random data as steep as is allowed, with a kink on every node."""
    h = 2 / n if period else 2 / (n - 1)
    y = -1 + h * np.arange(n)
    x = y if period else np.linspace(-1, 0.9, 55)
    v = np.cumsum(RNG.uniform(-1, 1, size=(n, 3)), axis=0)
    v -= np.linspace(0, 1, n, endpoint=not period)[:, None] * (v[-1:] - v[:1])
    fields = RNG.normal(size=(2, n, 3))
    for width in (NARROWEST, 2.0, WIDEST):
        arrays = (jnp.asarray(a, dtype) for a in (v, fields, x, y, 0.5 / (width * h) ** 2))
        lse, averages, exact, exact_averages = both(*arrays, period)
        assert lse.dtype == dtype
        # Gauss-Legendre in cells of 1.3 widths, and ulp of v
        tolerance = 1e-13 if dtype is np.float64 else 1e-5
        np.testing.assert_allclose(lse, exact, rtol=0, atol=tolerance)
        np.testing.assert_allclose(averages[:2], exact_averages[:2], rtol=0, atol=8 * tolerance)
        np.testing.assert_allclose(averages[2], exact_averages[2], rtol=0, atol=8 * tolerance / h)


def test_slope_is_left_out_where_it_is_not_wanted() -> None:
    y = jnp.linspace(-1, 1, 30)
    v = jnp.sin(3 * y)[:, None]
    kappa = jnp.asarray(0.5 / (2 * (y[1] - y[0])) ** 2)
    run = jax.jit(lambda wanted: gauss_transform(v, jnp.zeros((0, 30, 1)), y, y, kappa, None, wanted))
    without, with_slope = run(jnp.asarray(False)), run(jnp.asarray(True))
    np.testing.assert_array_equal(without.lse, with_slope.lse)
    assert not np.any(without.averages)
    assert np.all(np.abs(with_slope.averages[0, 10:20]) > 0)
