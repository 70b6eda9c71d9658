"""One axis of the heat kernel: the periodic kernel in 40 digits, and sums over nodes against SciPy's log-sum-exp."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy.special import logsumexp

from hjsolve.kernels.separable import heat_kernel, periodic_kernel, sum_over_nodes

RNG = np.random.default_rng(0)


def test_periodic_kernel_to_round_off_on_both_sides_of_the_switch() -> None:
    r, period = np.array([-0.7, 0.0, 0.3, 0.999, 1.0, 2.6]), 2.0
    for kappa in (1e-3, 0.2, 0.999, 1.001, 4.0, 300.0):
        log_theta, slope = periodic_kernel(jnp.asarray(r), jnp.asarray(kappa), jnp.asarray(period))
        with mp.workdps(40):
            images = range(-200, 201) if kappa < 0.1 else range(-30, 31)
            place = lambda x, m: mp.mpf(float(x)) + 2 * m
            sums = [mp.fsum(mp.exp(-mp.mpf(kappa) * place(x, m) ** 2) for m in images) for x in r]
            pulls = [
                mp.fsum(-2 * mp.mpf(kappa) * place(x, m) * mp.exp(-mp.mpf(kappa) * place(x, m) ** 2) for m in images)
                for x in r
            ]
            exact = [float(mp.log(s)) for s in sums]
            exact_slope = [float(p / s) for p, s in zip(pulls, sums, strict=True)]
        # the exponent κr² itself is rounded
        np.testing.assert_allclose(log_theta, exact, rtol=4e-15, atol=2e-15)
        np.testing.assert_allclose(slope, exact_slope, rtol=1e-13, atol=1e-13 * (1 + kappa))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("sources", "targets", "periodic"),
    [(7, 7, True), pytest.param(65, 65, True, marks=pytest.mark.slow), (70, 41, False)],
)
def test_sums_for_flat_and_for_steep_data(dtype: type, sources: int, targets: int, periodic: bool) -> None:
    """Steep data vary by e^1000 (e^200 in float32) in a chunk: products would underflow, so the log domain serves."""
    y = np.linspace(-1, 1, sources, endpoint=not periodic)
    x = y if periodic else np.linspace(-0.9, 0.8, targets)
    period = jnp.asarray(2.0, dtype) if periodic else None
    fields = RNG.normal(size=(2, sources, 3))

    @jax.jit
    def run(v, kappa):
        kernel = heat_kernel(jnp.asarray(x, dtype), jnp.asarray(y, dtype), kappa, period)
        return sum_over_nodes(v, jnp.asarray(fields, dtype), kernel, (jnp.ones(targets, bool), jnp.ones(3, bool)))

    # on seven nodes the steep data would not be resolved, which `coarsening` says
    for scale, kappa in ((1.0, 3.0), (1e3 if dtype is np.float64 else 200.0, 400.0))[: 1 if sources == 7 else 2]:
        v = scale * np.sin(np.pi * y)[:, None] * np.array([1.0, -0.7, 0.2])
        done = run(jnp.asarray(v, dtype), jnp.asarray(kappa, dtype))
        r = x[:, None] - y
        if periodic:
            heat, pull = (np.asarray(a) for a in periodic_kernel(jnp.asarray(r), kappa, 2.0))
        else:
            heat, pull = -kappa * r**2, -2 * kappa * r
        scores = heat[:, :, None] + v[None]
        expected = logsumexp(scores, axis=1)
        weights = np.exp(scores - expected[:, None])
        # some ulp of the largest exponents; the averages feel them through the weights
        ulp = np.finfo(dtype).eps * (scale + 5 * kappa)
        np.testing.assert_allclose(done.lse, expected, rtol=0, atol=8 * ulp)
        averages = [(weights * f).sum(1) for f in fields] + [(weights * pull[:, :, None]).sum(1)]
        for mine, other, size in zip(done.averages, averages, (3, 3, 4 * kappa), strict=True):
            np.testing.assert_allclose(mine, other, rtol=0, atol=16 * ulp * size)
        assert done.lse.dtype == dtype


def test_coarsening_measures_what_leaving_out_nodes_changes() -> None:
    h, width = 1 / 16, 0.05
    y = h * np.arange(-48, 48)  # a node at the peak, where aliases add up
    v = -(y**2) / (2 * width**2) * 0.5
    kernel = heat_kernel(jnp.zeros(2), jnp.asarray(y), jnp.asarray(0.25 / width**2), None)
    masks = (jnp.ones(1, bool), jnp.ones(1, bool))
    kernel_at = lambda i, j: kernel(0 * i, j)  # one target
    half, quarter = sum_over_nodes(jnp.asarray(v)[:, None], jnp.zeros((0, 96, 1)), kernel_at, masks).coarsening
    terms = np.exp(-(y**2) / (2 * width**2))
    np.testing.assert_allclose(half, abs(2 * terms[::2].sum() / terms.sum() - 1), rtol=1e-9)
    q = np.exp(-2 * (np.pi * width / (2 * h)) ** 2)
    np.testing.assert_allclose(half, 2 * q, rtol=1e-3)  # the Gaussian's own Fourier transform at 1/2h
    np.testing.assert_allclose(quarter, 2 * q**0.25, rtol=2e-2)  # without the alias at 3/4h
