"""Lower envelopes of parabolas against all pairs, and as a distance transform against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from hjsolve.kernels.envelope import lower_envelope

RNG = np.random.default_rng(0)


def all_pairs(u: np.ndarray, x: np.ndarray, y: np.ndarray, a: float) -> np.ndarray:
    return (u[None] + a * (x[:, None] - y[None])[:, :, None] ** 2).min(1).T


@pytest.mark.parametrize(("n", "m", "lines"), [(1, 4, 3), (2, 1, 1), (50, 37, 5), (257, 64, 1100)])
@pytest.mark.parametrize("a", [1e-4, 3.0, 1e6])
def test_equals_all_pairs(n: int, m: int, lines: int, a: float) -> None:
    u, y, x = RNG.normal(size=(n, lines)), np.linspace(-1, 1, n), np.linspace(-1.5, 1.2, m)
    value, (chosen, slope) = lower_envelope(
        jnp.asarray(u), (jnp.broadcast_to(y[:, None], u.shape),), jnp.asarray(x), jnp.asarray(y), jnp.asarray(a)
    )
    # the same expression at the same node, but for fused multiply-adds
    np.testing.assert_allclose(value, all_pairs(u, x, y, a), rtol=0, atol=1e-15 * (1 + a))
    np.testing.assert_allclose(slope, 2 * a * (x - np.asarray(chosen)), rtol=1e-14)


def test_two_passes_are_the_distance_transform_exactly() -> None:
    picture = RNG.uniform(size=(60, 45)) > 0.02
    nodes = [jnp.arange(float(n)) for n in picture.shape]
    far = jnp.where(jnp.asarray(picture), 1e6, 0.0)
    turned, _ = lower_envelope(far, (), nodes[0], nodes[0], jnp.asarray(1.0))
    squared, _ = lower_envelope(turned, (), nodes[1], nodes[1], jnp.asarray(1.0))
    # whole numbers below 2^53: no rounding at all
    np.testing.assert_array_equal(np.sqrt(np.asarray(squared)), distance_transform_edt(picture))


def test_ties_plateaus_and_float32() -> None:
    u = np.zeros((64, 3), np.float32)
    u[:, 1] = np.abs(np.arange(64) - 31.5)
    u[::7, 2] = -1
    y = np.arange(64, dtype=np.float32)
    value, _ = lower_envelope(jnp.asarray(u), (), jnp.asarray(y), jnp.asarray(y), jnp.float32(0.25))
    assert value.dtype == jnp.float32
    np.testing.assert_array_equal(value, all_pairs(u, y, y, np.float32(0.25)))  # quarters of whole numbers: exact


def test_gradient_is_that_of_the_lowest_parabola() -> None:
    u, y, x = jnp.asarray(RNG.normal(size=(40, 2))), jnp.linspace(-1, 1, 40), jnp.linspace(-1, 1, 9)
    total = lambda u, a: jnp.sum(lower_envelope(u, (), x, y, a)[0])
    du, da = jax.grad(total, argnums=(0, 1))(u, jnp.asarray(2.0))
    energies = np.asarray(u)[None] + 2 * (np.asarray(x)[:, None] - np.asarray(y))[:, :, None] ** 2
    best = energies.argmin(1)
    expected = np.zeros_like(u)
    for line in range(2):
        np.add.at(expected[:, line], best[:, line], 1.0)
    np.testing.assert_array_equal(du, expected)
    np.testing.assert_allclose(da, ((np.asarray(x)[:, None] - np.asarray(y)[best]) ** 2).sum(), rtol=1e-14)
