import jax.numpy as jnp
import numpy as np
from scipy.integrate import trapezoid

from hjsolve.kernels.quadrature import tensor_nodes, trapezoid_log_weights


def test_nodes_run_last_axis_fastest() -> None:
    nodes = tensor_nodes(jnp.array([0.0, 10.0]), jnp.array([1.0, 13.0]), (3, 4))
    expected = [[x, y] for x in (0.0, 0.5, 1.0) for y in (10.0, 11.0, 12.0, 13.0)]
    np.testing.assert_array_equal(nodes, expected)


def test_weights_are_the_trapezoid_rule() -> None:
    lower, upper, counts = jnp.array([0.0, -1.0]), jnp.array([2.0, 1.0]), (5, 8)
    nodes = np.asarray(tensor_nodes(lower, upper, counts))
    values = np.exp(nodes[:, 0]) * (1 + nodes[:, 1] ** 3)
    mine = np.exp(trapezoid_log_weights(lower, upper, counts)) @ values
    table = values.reshape(counts)
    other = trapezoid(trapezoid(table, np.linspace(-1, 1, 8), axis=1), np.linspace(0, 2, 5))
    np.testing.assert_allclose(mine, other, rtol=1e-14)
