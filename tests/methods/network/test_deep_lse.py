"""Deep compositions of log-sum-exp layers: the forward pass, the identity in the features, and concave targets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp

import hjsolve as hj

DeepLSE = hj.methods.network.DeepLSE
RNG = np.random.default_rng(0)


def test_forward_equals_numpy_and_units_are_layers_of_two_atoms() -> None:
    network = DeepLSE.random(2, (5, 4), 7, temperature=0.3, key=jax.random.key(0))
    x = np.array([0.3, -1.2])
    z = x
    for layer in network.features:
        pre = np.asarray(layer.weights) @ z + np.asarray(layer.bias)
        after = 0.3 * np.logaddexp(0, pre / 0.3)
        units = [layer.unit(i)(jnp.asarray(z)) for i in range(len(pre))]
        np.testing.assert_allclose(units, after, rtol=0, atol=1e-15)
        z = after
    expected = 0.3 * logsumexp((np.asarray(network.readout.weights) @ z + np.asarray(network.readout.bias)) / 0.3)
    np.testing.assert_allclose(network(jnp.asarray(x)), expected, rtol=1e-13)


def test_in_its_features_it_is_a_solution() -> None:
    """f + u = |φ|²/4t with u by the sum over atoms of the equation that the readout carries."""
    network = DeepLSE.random(2, (3,), 9, temperature=0.4, key=jax.random.key(1))
    x = jnp.asarray(RNG.normal(size=(6, 2)))
    lifted = jax.vmap(network.lift)(x)
    problem = hj.theory.as_problem(network.readout, time=1.0)
    u = hj.solve(problem, hj.methods.particle.HopfCole(), [1.0], points=lifted).u[0]
    np.testing.assert_allclose(jax.vmap(network)(x) + u, np.sum(lifted**2, axis=1) / 4, rtol=0, atol=1e-12)


def test_it_learns_what_is_not_convex() -> None:
    """−|x|, of which a single layer has the best affine function at most: error 1/2 in the mean."""
    x = RNG.uniform(-2, 2, size=(512, 1))
    data = hj.Data(x, -np.abs(x[:, 0]))
    recipe = hj.Recipe(steps=1500, batch=128, optimiser=optax.adam(0.01))
    deep = DeepLSE.random(1, (8,), 8, temperature=0.1, key=jax.random.key(2))
    single = hj.methods.network.LSE.random(16, 1, temperature=0.1, key=jax.random.key(2))
    off = [
        np.abs(jax.vmap(hj.fit(data, network, recipe, key=jax.random.key(3))[0])(x) + np.abs(x[:, 0])).mean()
        for network in (deep, single)
    ]
    assert off[0] < 0.05 and off[1] > 0.3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DeepLSE([], hj.methods.network.LSE(np.ones((2, 1)), np.zeros(2), 1.0)), "at least one layer"),
        (
            lambda: DeepLSE([softplus()], hj.methods.network.LSE(np.ones((2, 3)), np.zeros(2), 1.0)),
            "a layer of 4 units",
        ),
        (lambda: softplus(temperature=0.0), "`temperature` must be > 0"),
        (lambda: softplus(bias=np.zeros(3)), r"`weights` and `bias` must have shapes \[n, d\] and \[n\]"),
        (lambda: DeepLSE.random(2, (0,), 3, temperature=1.0, key=jax.random.key(0)), "must be a whole number >= 1"),
        (lambda: hj.methods.network.SoftplusLayer([[np.nan]], [0.0], 0.1), r"`weights` must not contain NaN"),
    ],
)
def test_bad_input_is_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def softplus(temperature=1.0, bias=None):
    return hj.methods.network.SoftplusLayer(np.ones((4, 2)), np.zeros(4) if bias is None else bias, temperature)
