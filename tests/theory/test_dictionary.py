import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

RNG = np.random.default_rng(0)
LAYER = hj.methods.network.LSE(RNG.normal(size=(6, 3)), RNG.normal(size=6), 0.2, time=0.7)


@pytest.mark.parametrize("time", [None, 0.7, 2.0])
def test_round_trip(time: float | None) -> None:
    read = hj.theory.as_problem(LAYER, time=time)
    back = hj.theory.as_network(read)
    np.testing.assert_allclose(back.weights, LAYER.weights, rtol=1e-14)
    np.testing.assert_allclose(back.bias, LAYER.bias, rtol=0, atol=1e-13)
    np.testing.assert_allclose(back.temperature, 0.2, rtol=1e-14)
    assert back.time == (0.7 if time is None else time) == read.horizon


def test_the_domain_is_the_atoms_box_with_a_margin() -> None:
    read = hj.theory.as_problem(LAYER)
    y = np.asarray(read.initial.y)
    margin = 0.25 * np.ptp(y, axis=0).max()
    np.testing.assert_allclose(read.domain.lower, y.min(0) - margin, rtol=1e-13)
    np.testing.assert_allclose(read.domain.upper, y.max(0) + margin, rtol=1e-13)
    single = hj.theory.as_problem(hj.methods.network.LSE([[1.0, 2.0]], [0.0], 0.1))
    np.testing.assert_allclose(np.asarray(single.domain.extent), 0.5)  # one atom still has a box


def test_at_another_time_the_layer_keeps_its_atoms() -> None:
    """The network of the same problem at time s has weights y/2s, not the old ones."""
    read = hj.theory.as_problem(LAYER, time=2.0)
    moved = hj.theory.as_network(read, time=0.5)
    np.testing.assert_allclose(moved.weights, 4 * LAYER.weights, rtol=1e-14)
    np.testing.assert_allclose(moved.atoms().g, read.initial.g, rtol=0, atol=1e-13)


def test_quadrature_weights_enter_the_bias() -> None:
    y, g, omega = RNG.normal(size=(5, 1)), RNG.normal(size=5), RNG.uniform(0.5, 2, size=5)
    problem = hj.Problem(hj.hamiltonians.Quadratic(), 0.3, hj.initials.Atoms(y, g, omega), hj.Box([-1.0], [1.0]), 1.0)
    layer = hj.theory.as_network(problem)
    np.testing.assert_allclose(layer.bias, -g - (y[:, 0] / 2) ** 2 + 0.3 * np.log(omega), rtol=0, atol=1e-14)


def test_reading_is_differentiable() -> None:
    """u_N(t, 0) = −f(0), whose ε-derivative is minus the entropy of softmax(b/ε)."""

    def u(epsilon):
        layer = hj.methods.network.LSE(LAYER.weights, LAYER.bias, epsilon, time=0.7, learn_temperature=True)
        return hj.theory.gibbs.free_energy(hj.theory.as_problem(layer), t=0.7, x=jnp.zeros(3))

    pi = np.exp(LAYER.bias / 0.2) / np.exp(LAYER.bias / 0.2).sum()
    value, slope = jax.value_and_grad(u)(0.2)
    np.testing.assert_allclose(value, -0.2 * np.log(np.exp(LAYER.bias / 0.2).sum()), rtol=1e-13)
    np.testing.assert_allclose(slope, (pi * np.log(pi)).sum(), rtol=1e-11)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hj.theory.as_problem(lambda x: x), r"`network` must be one of LSE, Attention, .* got function"),
        (lambda: hj.theory.as_problem(LAYER, time=0.0), r"`time` must be > 0; got 0\.0"),
        (lambda: hj.theory.as_network(hj.theory.as_problem(LAYER), time=-1.0), r"`time` must be > 0; got -1\.0"),
        (
            lambda: hj.theory.as_network(hj.theory.as_problem(LAYER), family="cnn"),
            r"`family` must be one of .*; got 'cnn'",
        ),
        (lambda: hj.theory.as_network(inviscid()), r"`viscosity` must be > 0; got 0\.0.*max-plus"),
        (lambda: hj.theory.as_network(inviscid(hj.hamiltonians.Eikonal())), r"An LSE network needs.*got Eikonal"),
    ],
)
def test_what_has_no_translation_is_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def inviscid(hamiltonian=None) -> hj.Problem:
    hamiltonian = hamiltonian or hj.hamiltonians.Quadratic()
    return hj.Problem(hamiltonian, 0.0, hj.initials.Norm(), hj.Box([-1.0], [1.0]), 1.0)
