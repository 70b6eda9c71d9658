import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hjsolve.kernels.recurrence import linear_recurrence

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("length", [1, 7, 64])
def test_both_ways_equal_the_loop(length: int) -> None:
    decay = RNG.uniform(0.2, 1, size=(length, 3)) * np.exp(1j * RNG.normal(size=(length, 3)))
    drive = RNG.normal(size=(length, 3))
    h, expected = np.zeros(3), []
    for a, b in zip(decay, drive, strict=True):
        h = a * h + b
        expected.append(h)
    for parallel in (True, False, None):
        found = linear_recurrence(jnp.asarray(decay), jnp.asarray(drive), parallel=parallel)
        # tens of roundings of numbers about 1
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_one_decay_for_all_and_derivatives() -> None:
    decay, drive = jnp.asarray(RNG.uniform(0.5, 1, size=20)), jnp.asarray(RNG.normal(size=(20, 4)))
    slopes = [
        jax.grad(lambda a, b, parallel=parallel: jnp.sum(linear_recurrence(a, b, parallel=parallel) ** 2), (0, 1))(
            decay, drive
        )
        for parallel in (True, False)
    ]
    for parallel, marched in zip(*slopes, strict=True):
        np.testing.assert_allclose(parallel, marched, rtol=0, atol=1e-11)  # sums of some hundred products about 10
