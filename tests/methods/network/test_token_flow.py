"""Particle transformers: their velocity by hand, the Hopf-Cole descent, and the transport equation they carry."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.integrate import solve_ivp
from scipy.special import softmax

import hjsolve as hj
from hjsolve.methods.network.token_flow import AttentionCell

Tokens = hj.methods.network.TokenFlow
RNG = np.random.default_rng(0)
Y = RNG.normal(size=(7, 2))


def flow(layers: int, *, shared: bool = True, normalise: bool = False, time: float = 1.0) -> Tokens:
    options = {"heads": 2, "width": 3, "scale": 1.5, "shared": shared, "normalise": normalise, "time": time}
    return Tokens.random(2, layers=layers, **options, key=jax.random.key(1))


def rate(network: Tokens, x: np.ndarray, layer: int = 0) -> np.ndarray:
    """Σ_h V_h Σ_j softmax_j(s Q_h x·K_h y_j) y_j of all tokens, in NumPy; on the sphere without its part along x."""
    q, k, v = (np.asarray(a)[layer] for a in (network.query, network.key, network.value))
    out = np.zeros_like(x)
    for h in range(2):
        scores = 1.5 * (x @ q[h].T) @ (x @ k[h].T).T
        out += softmax(scores, axis=1) @ x @ v[h].T
    if network.normalise:
        out -= ((out * x).sum(1) / (x * x).sum(1))[:, None] * x
    return out


@pytest.mark.parametrize("normalise", [False, True])
def test_layers_are_steps_along_the_gibbs_average(normalise: bool) -> None:
    network = flow(3, shared=False, normalise=normalise)
    x, states = Y, network.states(Y)
    for layer in range(3):
        moved = x + rate(network, x, layer) / 3
        if normalise:
            moved *= (np.linalg.norm(x, axis=1) / np.linalg.norm(moved, axis=1))[:, None]
        x = moved
        np.testing.assert_allclose(states[layer + 1], x, rtol=1e-12)
    if normalise:
        np.testing.assert_allclose(np.linalg.norm(states[-1], axis=1), np.linalg.norm(Y, axis=1), rtol=1e-13)


def test_depth_converges_at_first_order() -> None:
    reference = solve_ivp(
        lambda _, z: rate(flow(1), z.reshape(-1, 2)).reshape(-1), (0, 1), Y.reshape(-1), rtol=1e-10, atol=1e-12
    ).y[:, -1].reshape(-1, 2)  # fmt: skip
    errors = [np.abs(np.asarray(flow(n)(Y)) - reference).max() for n in (16, 32, 64, 128)]
    np.testing.assert_allclose(orders(errors), 1.0, atol=0.15)


def test_one_head_descends_the_hopf_cole_solution() -> None:
    """f = ȳ − x = −2t∇u for atoms (y_j, g_j), against the propagator's gradient."""
    g, t, epsilon = RNG.normal(size=7), 0.6, 0.3
    root = np.eye(2)[None] / np.sqrt(2 * t)
    bias = -(g + (Y**2).sum(1) / (4 * t)) / epsilon
    cell = AttentionCell(
        *map(jnp.asarray, (root, root, np.eye(2)[None], np.log([1 / epsilon]), Y, bias, 1.0)), normalise=False
    )
    x = RNG.normal(size=(5, 2))
    problem = hj.Problem(
        hj.hamiltonians.Quadratic(), epsilon, hj.initials.Atoms(Y, g), hj.Box([-3.0] * 2, [3.0] * 2), t
    )
    slope = hj.solve(problem, hj.methods.particle.HopfCole(), [t], points=x).gradient[0]
    np.testing.assert_allclose(cell.velocity(jnp.asarray(x.T), jnp.ones(())).T, -2 * t * slope, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("normalise", [False, True])
def test_a_token_that_is_only_moved_follows_its_twin(normalise: bool) -> None:
    network = flow(4, shared=False, normalise=normalise)
    follower = network.field(Y)
    np.testing.assert_allclose(follower.states(jnp.asarray(Y[2])), network.states(Y)[:, 2], rtol=1e-12)


@pytest.mark.slow
def test_a_grid_solves_the_transport_equation_of_a_follower() -> None:
    network = flow(16, time=0.4)
    data = hj.initials.Custom(lambda x: jnp.exp(-jnp.sum((x - 0.3) ** 2)))
    field = network.field(Y).refined(16)
    problem = hj.theory.as_problem(field, domain=hj.Box([-4.0] * 2, [4.0] * 2), initial=data)
    x = RNG.uniform(-1, 1, size=(9, 2))
    own, grid = (hj.solve(problem, m, [0.4], points=x).u[0] for m in (field, hj.methods.grid.FiniteDifference(64)))
    np.testing.assert_allclose(own, grid, rtol=0, atol=2e-3)
    # the layers themselves, in one step each, are further away by Euler's error
    coarse = hj.solve(problem, network.field(Y), [0.4], points=x).u[0]
    assert np.abs(coarse - own).max() < 0.1


def test_a_token_at_rest_has_a_derivative() -> None:
    """Padding: the token stays at 0, and gradients of the weights agree with differences."""
    network, padded = flow(2, normalise=True), np.vstack([np.zeros(2), Y])
    np.testing.assert_array_equal(network(padded)[0], 0.0)
    loss = lambda network: jnp.sum(network(padded)[1:] * Y)
    slope = jax.grad(lambda s: loss(eqx.tree_at(lambda n: n.value, network, s * network.value)))(1.0)
    sides = [loss(eqx.tree_at(lambda n: n.value, network, s * network.value)) for s in (1 + 1e-5, 1 - 1e-5)]
    np.testing.assert_allclose(slope, (sides[0] - sides[1]) / 2e-5, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.float32, int])
def test_tokens_of_another_precision_are_promoted(kind) -> None:
    tokens = np.arange(6).reshape(3, 2).astype(kind)
    np.testing.assert_allclose(flow(2)(tokens), flow(2)(tokens.astype(float)), rtol=1e-14)
    network = hj.methods.network.ResidualFlow.random(2, layers=2, key=jax.random.key(0))
    np.testing.assert_allclose(network(jnp.asarray(tokens[1])), network(tokens[1].astype(float)), rtol=1e-14)


def test_tokens_on_a_hemisphere_cluster() -> None:
    """Q = K = V = 1 on the sphere: one cluster at last. Source: Geshkovski et al. 2023, theorem for hemispheres."""
    eye = np.eye(3)[None, None]
    tokens = RNG.normal(size=(8, 3))
    tokens[:, 2] = np.abs(tokens[:, 2]) + 0.1
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    network = Tokens(eye, eye, eye, 1.0, layers=400, time=40.0, normalise=True)
    end = np.asarray(network(tokens))
    assert np.linalg.norm(end - end[0], axis=1).max() < 1e-6 < np.linalg.norm(tokens - tokens[0], axis=1).max()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flow(2)(np.zeros((3, 5))), "`tokens` must have 2 components"),
        (lambda: flow(2)(np.zeros(3)), r"`tokens` must have shape \[N, d\]"),
        (lambda: Tokens(np.ones((1, 1, 2, 2)), np.ones((1, 1, 3, 2)), np.ones((1, 1, 2, 2)), 1, layers=1), "`key`"),
        (lambda: Tokens(*[np.ones((1, 1, 2, 2))] * 3, 0.0, layers=1), "`scale` must be > 0"),
        (lambda: Tokens(*[np.ones((2, 1, 2, 2))] * 3, 1.0, layers=3), "leading axis of 1 or 3"),
        (lambda: Tokens(*[np.ones((1, 2, 2, 2))] * 3, [1.0, 2.0, 3.0], layers=3), r"`scale` must be a number, or have"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_remedy(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
