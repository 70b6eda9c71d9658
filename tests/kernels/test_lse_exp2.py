import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hjsolve.kernels.exp2 import exp2_below_zero


@pytest.mark.parametrize(("dtype", "lowest"), [(np.float32, -126.0), (np.float64, -1022.0)])
def test_within_two_ulp_of_the_true_power(dtype: type, lowest: float) -> None:
    s = np.concatenate([-np.geomspace(1e-9, -lowest, 50_001), np.linspace(lowest, 0, 50_001)]).astype(dtype)
    with jax.enable_x64(dtype is np.float64):
        found = np.asarray(jax.jit(exp2_below_zero)(jnp.asarray(s)))
    assert found.dtype == dtype
    exact = np.exp2(s.astype(np.longdouble))  # 64 bits of mantissa
    assert np.max(np.abs(found - exact) / exact) < 2 * np.finfo(dtype).eps


@pytest.mark.parametrize(("dtype", "lowest"), [(np.float32, -127.0), (np.float64, -1023.0)])
def test_exact_at_the_ends(dtype: type, lowest: float) -> None:
    s = np.array([0.0, -1.0, -2.0, lowest, 2 * lowest, -1e30, -np.inf], dtype)
    with jax.enable_x64(dtype is np.float64):
        found = np.asarray(exp2_below_zero(jnp.asarray(s)))
    np.testing.assert_array_equal(found, [1.0, 0.5, 0.25, 0.0, 0.0, 0.0, 0.0])


def test_other_types_are_left_to_xla() -> None:
    assert exp2_below_zero(jnp.asarray([-1.0], jnp.bfloat16)).dtype == jnp.bfloat16
