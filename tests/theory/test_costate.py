"""Backpropagation as the discrete co-state, and the continuous one that it tends to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

import hjsolve as hj

Flow = hj.methods.network.ResidualFlow
costate = hj.theory.costate
X = np.array([0.4, -0.2, 0.7])


def flow(kind: str, *, shared: bool = False) -> Flow:
    return Flow.random(3, layers=5, cell=kind, hidden=6, shared=shared, key=jax.random.key(4))


def terminal(x):
    return jnp.sum(jnp.sin(x)) + x[0] * x[1]


@pytest.mark.parametrize("kind", ["residual", "recurrent", "lstm"])
def test_the_discrete_costate_is_backpropagation(kind: str) -> None:
    network = flow(kind)
    found = costate.discrete(network, X, terminal)
    gradient = jax.grad(lambda x: terminal(network.states(x)[-1]))(jnp.asarray(X))
    np.testing.assert_allclose(found.costates[0], gradient, rtol=1e-14, atol=1e-15)
    # and in the middle: the gradient with respect to a hidden state, through the remaining layers in NumPy's order
    after = lambda x: terminal(network.states(x, duration=jnp.asarray(2 / 5))[-1])
    np.testing.assert_allclose(found.costates[3], jax.grad(after)(found.states[3]), rtol=1e-13, atol=1e-15)


def test_of_a_residual_layer_it_is_the_recursion_of_pontryagin() -> None:
    """p_l = p_{l+1} + h (∂f/∂x)ᵀ p_{l+1} with the Jacobian Wᵀ diag(1 − tanh²) A by hand."""
    network, h = flow("residual"), 1 / 5
    found = costate.discrete(network, X, terminal)
    p = np.asarray(jax.grad(terminal)(found.states[-1]))
    for layer in reversed(range(5)):
        inner, shift, outer = (np.asarray(a)[layer] for a in jax.tree.leaves(network.cell))
        bend = 1 - np.tanh(inner @ np.asarray(found.states[layer]) + shift) ** 2
        p = p + h * (outer @ (bend[:, None] * inner)).T @ p
    np.testing.assert_allclose(found.costates[0], p, rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["residual", "lstm"])
def test_it_tends_to_the_continuous_costate_at_first_order(kind: str) -> None:
    network = flow(kind)
    exact = costate.continuous(network, X, terminal)
    assert exact.times.shape == (6,)
    gaps = []
    for splits in (4, 8, 16, 32):
        found = costate.discrete(network.refined(splits), X, terminal)
        gaps.append(float(np.abs(found.costates[::splits] - exact.costates).max()))
    np.testing.assert_allclose(orders(gaps), 1.0, atol=0.12)


@pytest.mark.slow
def test_the_hamiltonian_is_conserved_where_layers_share_their_weights() -> None:
    network = flow("residual", shared=True)
    assert network.autonomous
    exact = costate.continuous(network, X, terminal)
    np.testing.assert_allclose(exact.hamiltonian, exact.hamiltonian[0], rtol=1e-6)
    drift = [np.ptp(costate.discrete(network.refined(n), X, terminal).hamiltonian) for n in (8, 16, 32)]
    np.testing.assert_allclose(orders(drift), 1.0, atol=0.15)
    own = costate.continuous(flow("residual"), X, terminal).hamiltonian
    assert np.ptp(own) > 1e-2 * np.abs(own).max()


def test_the_continuous_costate_is_the_derivative_of_the_exact_flow() -> None:
    """By central differences of the terminal cost, the flow itself by the same integrator."""
    network, h = flow("recurrent"), 1e-4
    cost = lambda x: float(terminal(costate.continuous(network, x, terminal, tolerance=1e-10).states[-1]))
    slope = [(cost(X + h * e) - cost(X - h * e)) / (2 * h) for e in np.eye(3)]
    found = costate.continuous(network, X, terminal, tolerance=1e-10)
    np.testing.assert_allclose(found.costates[0], slope, rtol=1e-6, atol=1e-7)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="`x` must have 3 components"):
        costate.discrete(flow("residual"), np.zeros(2), terminal)
    with pytest.raises(TypeError, match="ResidualFlow"):
        costate.discrete(terminal, X, terminal)
    with pytest.raises(ValueError, match="`terminal` must give one number"):
        costate.continuous(flow("residual"), X, lambda x: x)
    with pytest.raises(ValueError, match="`tolerance` must be > 0"):
        costate.continuous(flow("residual"), X, terminal, tolerance=0.0)
