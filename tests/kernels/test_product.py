"""The Gaussian transform of piecewise-linear data against 40-digit tails and dense quadrature."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.special import logsumexp

from hjsolve.kernels.product import transform
from hjsolve.kernels.special import mills

RNG = np.random.default_rng(0)
transformed = jax.jit(transform)  # one compilation for all cases of a shape


def exact_free(v: np.ndarray, x: float, y: np.ndarray, kappa: float) -> mp.mpf:
    """log of the transform, cell by cell from erfc in 60 digits; the ends continue linearly."""
    with mp.workdps(60):
        k, total = mp.mpf(kappa), mp.mpf(0)
        slopes = np.diff(v) / np.diff(y)
        edges = [mp.ninf, *y[1:-1].tolist(), mp.inf]
        for j, slope in enumerate(slopes.tolist()):
            q = mp.mpf(slope)
            vertex = mp.mpf(x) + q / (2 * k)
            height = mp.mpf(v[j].item()) + q * (mp.mpf(x) - mp.mpf(y[j].item())) + q**2 / (4 * k)
            low, high = (mp.sqrt(k) * (mp.mpf(edge) - vertex) for edge in edges[j : j + 2])
            if high < 0:
                low, high = -high, -low
            total += mp.exp(height) * (mp.erfc(low) - mp.erfc(high)) / 2
        return mp.log(total)


@pytest.mark.parametrize("kappa", [0.5, 30.0, 2e3, 1e6])
@pytest.mark.parametrize("temperature", [1.0, 1e-2, 1e-5])
def test_free_ends_against_60_digits(kappa: float, temperature: float) -> None:
    y = np.linspace(-1, 1, 24)
    v = (np.abs(y) - 0.7 * np.sin(5 * y)) / temperature
    x = np.array([-1.6, -0.93, 0.0, 0.21, 1.0, 1.4])
    lse, averages, _ = transformed(
        jnp.asarray(v)[:, None], jnp.zeros((0, 24, 1)), jnp.asarray(x), jnp.asarray(y), kappa
    )
    expected = np.array([float(exact_free(v, place, y, kappa)) for place in x])
    # a few ulp of the exponents, and of the 1/δ by which two tails of a cell δ kernels wide cancel
    steepest = np.abs(np.diff(v)).max() * 11.5
    size = np.abs(expected).max() + np.abs(v).max() + steepest**2 / (4 * kappa)
    cells = 2 / 23 * np.sqrt(2 * kappa)
    np.testing.assert_allclose(lse[:, 0], expected, rtol=0, atol=1e-15 * (8 * size + 20 + 20 / min(cells, 1)))
    step = 1e-4 / np.sqrt(kappa)
    slope = [float(exact_free(v, p + step, y, kappa) - exact_free(v, p - step, y, kappa)) / (2 * step) for p in x]
    np.testing.assert_allclose(averages[-1, :, 0], slope, rtol=1e-6, atol=1e-7 * steepest)


@pytest.mark.parametrize("n", [6, 40])
def test_periodic_data_and_fields_against_dense_quadrature(n: int) -> None:
    period, lines = 2.0, 3
    y = -1 + period / n * np.arange(n)
    kappa = 0.5 / (2.5 * period / n) ** 2  # the widest kernel that is asked for
    v, fields = 20 * RNG.normal(size=(n, lines)), RNG.normal(size=(2, n, lines))
    lse, averages, _ = transformed(
        jnp.asarray(v), jnp.asarray(fields), jnp.asarray(y), jnp.asarray(y), jnp.asarray(kappa), jnp.asarray(period)
    )
    s, w = leggauss(60)
    s, w = (s + 1) / 2, w / 2 * period / n
    places = (y[:, None] + period / n * s).ravel()
    blend = lambda a: (a[..., None, :] * (1 - s[:, None]) + np.roll(a, -1, axis=-2)[..., None, :] * s[:, None]).reshape(
        *a.shape[:-2], -1, lines
    )
    images = period * np.arange(-8, 9)
    r = y[:, None, None] - places[None, :, None] - images
    heat = logsumexp(-kappa * r**2, axis=2) + np.log(np.tile(w, n)) + 0.5 * np.log(kappa / np.pi)
    scores = heat[:, :, None] + blend(v)[None]
    expected = logsumexp(scores, axis=1)
    weights = np.exp(scores - expected[:, None])
    np.testing.assert_allclose(lse, expected, rtol=0, atol=1e-12)  # 60 nodes a cell: round-off
    for k in range(2):
        np.testing.assert_allclose(averages[k], (weights * blend(fields)[k]).sum(1), rtol=0, atol=1e-12)


def test_vanishing_width_is_the_hopf_lax_formula_of_the_interpolant() -> None:
    y = np.linspace(-1, 1, 17)
    u, a = np.abs(y) + 0.3 * np.cos(4 * y), 0.8
    x = np.linspace(-0.9, 0.9, 23)
    fine = np.linspace(-1, 1, 16 * 4000 + 1)
    expected = (np.interp(fine, y, u) + a * (x[:, None] - fine) ** 2).min(1)
    for temperature in (1e-6, 1e-12):
        lse, _, _ = transformed(
            jnp.asarray(-u / temperature)[:, None],
            jnp.zeros((0, 17, 1)),
            jnp.asarray(x),
            jnp.asarray(y),
            jnp.asarray(a / temperature),
        )
        # T log of a prefactor, and the spacing of the brute force: a h²/4
        np.testing.assert_allclose(-temperature * lse[:, 0], expected, rtol=0, atol=10 * temperature + 1e-9)


def test_float32_and_derivatives() -> None:
    y = np.linspace(-1, 1, 33)
    v, x = -np.abs(y)[:, None] / 0.01 * np.array([1.0, 0.5]), np.linspace(-0.8, 0.8, 7)

    @jax.jit
    def mean(v, kappa):
        return jnp.mean(
            transform(v, jnp.zeros((0, *v.shape), v.dtype), jnp.asarray(x, v.dtype), jnp.asarray(y, v.dtype), kappa).lse
        )

    exact, slopes = jax.value_and_grad(mean, argnums=(0, 1))(jnp.asarray(v), jnp.asarray(300.0))
    single = mean(jnp.asarray(v, jnp.float32), jnp.float32(300.0))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=2e-6)
    direction = RNG.normal(size=v.shape)
    h = 1e-5
    change = (mean(v + h * direction, jnp.asarray(300.0)) - mean(v - h * direction, jnp.asarray(300.0))) / (2 * h)
    np.testing.assert_allclose(jnp.sum(slopes[0] * direction), change, rtol=1e-7)
    change = (mean(jnp.asarray(v), jnp.asarray(300.1)) - mean(jnp.asarray(v), jnp.asarray(299.9))) / 0.2
    np.testing.assert_allclose(slopes[1], change, rtol=1e-6)


def test_mills_ratio_to_round_off() -> None:
    z = np.concatenate([[0.0], np.geomspace(1e-8, 1e6, 60)])
    with mp.workdps(40):
        exact = [float(mp.exp(mp.mpf(s) ** 2 / 2) * mp.erfc(mp.mpf(s) / mp.sqrt(2)) * mp.sqrt(mp.pi / 2)) if s < 300
                 else float(1 / mp.mpf(s) - 1 / mp.mpf(s) ** 3 + 3 / mp.mpf(s) ** 5) for s in z]  # fmt: skip
    np.testing.assert_allclose(mills(z), exact, rtol=4e-15)
    np.testing.assert_allclose(mills(z.astype(np.float32)), exact, rtol=1e-6)
