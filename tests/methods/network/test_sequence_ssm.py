"""The state-space layer over a sequence: against matrix exponentials, and as a solution of an equation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.linalg import expm

import hjsolve as hj

SequenceSSM = hj.methods.network.SequenceSSM
H = hj.hamiltonians
RNG = np.random.default_rng(0)
N, C, P, L = 5, 2, 3, 40


def layer(**options) -> SequenceSSM:
    complex_normal = lambda *shape: RNG.normal(size=shape) + 1j * RNG.normal(size=shape)
    weights = {
        "drive": complex_normal(N, C),
        "gate": 0.3 * complex_normal(N, C),
        "clock": RNG.normal(size=C),
        "skip": RNG.normal(size=(P, C)),
        "offset": RNG.normal(size=P),
        "start": complex_normal(N),
        "dt": 0.1,
    }
    return SequenceSSM(RNG.uniform(0.5, 3, size=N), RNG.normal(size=N), complex_normal(P, N), **(weights | options))


def sequence(hamiltonian, domain) -> SequenceSSM:
    problem = hj.Problem(hamiltonian, 0.1, hj.initials.Cosine(1.0, 1.0), domain, 1.0)
    return hj.theory.sequence_network(problem, 8, [[0.0]], 0.1)


def pair(array) -> np.ndarray:
    return np.asarray(array[0]) + 1j * np.asarray(array[1])


def test_zero_order_hold_is_the_flow_of_each_step() -> None:
    """Matrix exponentials of [[A, B v], [0, 0]]: the inputs held for the clock's time."""
    network, v = layer(), RNG.normal(size=(L, C))
    h = pair(network.start)
    for n in range(L):
        dt = 0.1 * np.log1p(np.exp(v[n] @ network.clock + np.log(np.e - 1)))
        rates = np.asarray(network.poles) + pair(network.gate) @ v[n]
        system = np.zeros((N + 1, N + 1), complex)
        system[:N, :N], system[:N, N] = np.diag(rates), pair(network.drive) @ v[n]
        h = (expm(dt * system) @ np.append(h, 1.0))[:N]
        y = network.offset + network.skip @ v[n] + (pair(network.readout) @ h).real
        np.testing.assert_allclose(network(jnp.asarray(v))[n], y, rtol=1e-11)


def test_at_once_and_one_after_the_other_agree() -> None:
    v = jnp.asarray(RNG.normal(size=(1000, C)))
    for rule in ("zero-order hold", "bilinear"):
        joined = layer(rule=rule, parallel=True)
        for parallel in (False, None):
            other = eqx.tree_at(lambda n: n.offset, joined, joined.offset)
            object.__setattr__(other, "parallel", parallel)
            np.testing.assert_allclose(other(v), joined(v), rtol=1e-10)


def test_the_bilinear_rule_is_of_second_order() -> None:
    """To the hold, of a smooth input on ever finer steps."""
    wrong = []
    for refine in (1, 2, 4):
        t = np.linspace(0, 2, 40 * refine, endpoint=False) + 1 / (40 * refine)
        v = jnp.asarray(np.stack([np.sin(t), np.cos(2 * t)], axis=1))
        state = np.random.default_rng(1)
        same = {
            "drive": state.normal(size=(N, C)), "gate": 0.3 * state.normal(size=(N, C)), "clock": None,
            "start": state.normal(size=N), "dt": 2 / len(t),
        }  # fmt: skip
        decay, frequency, readout = state.uniform(0.5, 3, size=N), state.normal(size=N), state.normal(size=(P, N))
        held, bilinear = (
            SequenceSSM(decay, frequency, readout, rule=rule, **same)(v)[-1] for rule in ("zero-order hold", "bilinear")
        )
        wrong.append(np.abs(held - bilinear).max())
    np.testing.assert_allclose(np.log2(np.array(wrong[:-1]) / wrong[1:]), 2.0, atol=0.15)


@pytest.mark.parametrize("d", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_sequence_of_drifts_is_a_solution(d: int) -> None:
    """W is carried by ∫b and else that without drift, which quadrature gives at the places where it came from."""
    c, epsilon, dt = 0.7, 0.3, 0.05
    torus = hj.Torus([0.0] * d, [2 * np.pi] * d)
    data = hj.initials.Custom(lambda x: 0.5 * jnp.cos(x[0]) + 0.2 * jnp.sin(2 * x[0] + x[-1]))
    problem = hj.Problem(H.Quadratic(c), epsilon, data, torus, 1.0)
    points, drifts = RNG.uniform(0, 6, size=(4, d)), RNG.normal(size=(12, d))
    network = hj.theory.sequence_network(problem, 64 // d, points, dt)
    found = network(jnp.asarray(drifts))
    for n in (0, 5, 11):
        came_from = points - dt * drifts[: n + 1].sum(axis=0)
        exact = hj.solve(problem, hj.methods.particle.HopfCole(), [(n + 1) * dt], points=came_from).u[0]
        np.testing.assert_allclose(found[n], exact, rtol=0, atol=1e-12 if d == 1 else 1e-9)


def test_a_clock_runs_the_time_of_the_equation() -> None:
    problem = hj.Problem(
        H.Quadratic(), 0.3, hj.initials.Custom(lambda x: jnp.cos(x[0])), hj.Torus([0.0], [2 * np.pi]), 5.0
    )
    points = np.array([[0.3], [2.0]])
    network = hj.theory.sequence_network(problem, 64, points, 0.1)
    still = eqx.tree_at(lambda n: (n.gate, n.clock), network, (None, jnp.ones(1)), is_leaf=lambda leaf: leaf is None)
    v = RNG.normal(size=(9, 1))
    clock = np.cumsum(0.1 * np.log1p(np.exp(v[:, 0] + np.log(np.e - 1))))
    exact = hj.solve(problem, hj.methods.particle.HopfCole(), clock, points=points).u
    np.testing.assert_allclose(still(jnp.asarray(v)), exact, rtol=0, atol=1e-12)


def test_memory_is_the_response_to_a_short_input() -> None:
    network = layer(gate=None, clock=None, start=None, skip=None, offset=None, dt=1e-3)
    v = np.zeros((300, C))
    v[0, 1] = 1000.0  # for 1e-3
    response = network(jnp.asarray(v))
    found = network.memory(jnp.array([0.2995]))[0, :, 1]
    poles = -np.exp(network.log_decay) + 1j * np.asarray(network.frequency)
    drive, readout = (np.abs(np.asarray(a)[0] + 1j * np.asarray(a)[1]) for a in (network.drive, network.readout))
    modes = readout * np.abs(drive[:, 1] * np.exp(0.2995 * poles) * (1e-3 * poles) ** 2 / 24)  # of a short box
    assert (np.abs(found - response[299]) <= 1.01 * modes.sum(axis=1)).all()


@pytest.mark.slow
def test_training_finds_the_filter_that_made_the_data() -> None:
    """A decaying wave, read from sequences of noise."""
    lags = 0.1 * np.arange(64)
    kernel = np.exp(-0.8 * lags) * np.cos(2.5 * lags)
    v = RNG.normal(size=(256, 64))
    y = np.stack([np.convolve(row, kernel)[:64] for row in v])
    network = SequenceSSM.random(1, 8, dt=0.1, key=jax.random.key(0))
    recipe = hj.Recipe(steps=2000, batch=32, optimiser=optax.adam(optax.cosine_decay_schedule(0.03, 2000), b2=0.95))
    trained, history = hj.fit(hj.Data(v, y), network, recipe, key=jax.random.key(1))
    assert history.losses[0] > 0.1
    assert history.losses[-50:].mean() < 1e-3 * history.losses[0]
    impulse = np.zeros(64)
    impulse[0] = 1.0
    np.testing.assert_allclose(trained(jnp.asarray(impulse)), kernel, atol=0.03)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layer(dt=0.0), r"`dt` must be > 0"),
        (lambda: layer(drive=np.ones((N + 1, C))), r"`drive` must have shape \(5, any\), one row per state"),
        (lambda: layer(gate=np.ones((N, C + 1))), r"`gate` must have shape \(5, 2\)"),
        (lambda: layer(temperature=-1.0), r"`temperature` must be > 0"),
        (lambda: layer(rule="euler"), r"`rule` must be 'zero-order hold' or 'bilinear'"),
        (lambda: layer()(jnp.ones((4, C + 1))), r"the input must have shape \[L, 2\]; got \(4, 3\)"),
        (lambda: SequenceSSM.random(0, 4, key=jax.random.key(0)), r"`inputs` must be a whole number >= 1"),
        (lambda: sequence(H.Eikonal(), hj.Torus([0.0], [1.0])), "needs `hamiltonian` = Quadratic"),
        (lambda: sequence(H.Quadratic(), hj.Box([0.0], [1.0])), "`domain` must be periodic"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
