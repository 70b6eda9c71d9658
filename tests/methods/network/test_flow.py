"""Residual and recurrent flows: their steps, the equation they carry, and other methods that solve it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.integrate import solve_ivp

import hjsolve as hj
from hjsolve.methods.network.cells import LSTM, Recurrent, Residual

Flow = hj.methods.network.ResidualFlow
KINDS = ("residual", "recurrent", "lstm")
RNG = np.random.default_rng(0)


def bump(x):
    return jnp.exp(-jnp.sum((x - 0.3) ** 2))


def flow(kind: str, **options) -> Flow:
    made = Flow.random(2, layers=6, cell=kind, hidden=5, key=jax.random.key(2))
    return Flow(made.cell, bump, layers=6, **options)


def test_a_residual_layer_is_an_euler_step_and_the_readout_sees_the_last_state() -> None:
    network = flow("residual", time=0.6)
    x = np.array([0.2, -0.4])
    for inner, shift, outer in zip(*(np.asarray(a) for a in jax.tree.leaves(network.cell)), strict=True):
        x = x + 0.1 * outer @ np.tanh(inner @ x + shift)
    np.testing.assert_allclose(network(jnp.array([0.2, -0.4])), bump(x), rtol=1e-14)
    np.testing.assert_allclose(network.states(jnp.array([0.2, -0.4]))[-1], x, rtol=1e-14)


def test_an_lstm_layer_is_the_cell_update() -> None:
    gates, shifts = RNG.normal(size=(3, 2, 2)), RNG.normal(size=(3, 2))
    cell, c = LSTM(gates, shifts), np.array([0.7, -1.2])
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    forget, let, given = (gates[k] @ c + shifts[k] for k in range(3))
    expected = sigmoid(forget) * c + sigmoid(let) * np.tanh(given)
    dt = jnp.asarray(0.25)
    np.testing.assert_allclose(cell.step(jnp.asarray(c), dt, dt), expected, rtol=1e-13)


def test_the_leak_of_a_recurrent_cell_is_exact() -> None:
    """Without a nonlinear part ẋ = −λx, at any step."""
    cell = Recurrent(np.array([2.0, 0.5]), np.zeros((3, 2)), np.zeros(3), np.zeros((2, 3)))
    x = cell.step(jnp.array([1.0, 3.0]), jnp.asarray(0.9), jnp.asarray(0.9))
    np.testing.assert_allclose(x, [np.exp(-1.8), 3 * np.exp(-0.45)], rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_split_layers_tend_to_the_characteristics_at_first_order(kind: str) -> None:
    """Against SciPy's integrator of ẋ = f(τ, x), layer by layer."""
    network, x = flow(kind, time=1.2), np.array([0.3, -0.5])
    velocity = eqx.filter_jit(network.velocity)
    end = x
    for layer in range(6):
        rate = lambda _, y, mid=(layer + 0.5) * 0.2: np.asarray(velocity(mid, jnp.asarray(y)))
        found = solve_ivp(rate, (0, 0.2), end, rtol=1e-10, atol=1e-12)
        end = found.y[:, -1]
    states = [np.asarray(network.refined(n).states(jnp.asarray(x))[-1]) for n in (8, 16, 32, 64)]
    errors = [np.abs(state - end).max() for state in states]
    np.testing.assert_allclose(orders(errors), 1.0, atol=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_grid_reproduces_the_forward_pass(kind: str) -> None:
    """`as_problem` by WENO5, whose own error on this grid is below that of 64 Euler steps a layer."""
    network = flow(kind, time=0.5).refined(64)
    problem = hj.theory.as_problem(network, domain=hj.Box([-3.0, -3.0], [3.0, 3.0]))
    x = RNG.uniform(-0.7, 0.7, size=(12, 2))
    passed = jax.vmap(network)(jnp.asarray(x))
    solution = hj.solve(problem, hj.methods.grid.FiniteDifference(48), [0.5], points=x)
    own = hj.solve(problem, network, [0.5], points=x)
    np.testing.assert_allclose(own.u[0], passed, rtol=0, atol=1e-14)
    assert np.abs(solution.u[0] - passed).max() < 2e-3
    np.testing.assert_allclose(own.gradient, solution.gradient, rtol=0, atol=1e-2)


@pytest.mark.parametrize("method", [hj.methods.grid.FiniteDifference, hj.methods.grid.SemiLagrangian])
def test_grids_take_steps_that_end_with_the_layers(method) -> None:
    """A drift of its own in each layer, against the exact translation; what cells and steps do falls together."""
    speeds = np.array([1.0, 0.0, 0.3, -2.0])
    cell = Residual(np.zeros((4, 1, 1)), np.full((4, 1), 20.0), speeds[:, None, None])  # tanh(20) is 1
    network = Flow(cell, lambda x: jnp.sin(x[0]), layers=4, time=0.8)
    problem = hj.theory.as_problem(network, domain=hj.Torus([-np.pi], [np.pi]))
    x = np.linspace(-1.0, 1.0, 9)[:, None]
    errors = []
    for cells in (50, 100, 200):
        solution = hj.solve(problem, method(cells), [0.3, 0.8], points=x)
        moved = np.array([0.2 * speeds[3] + 0.1 * speeds[2], 0.2 * speeds.sum()])
        errors.append(np.abs(solution.u - np.sin(x[:, 0] + moved[:, None])).max())
        assert solution.stats["steps"] < cells
    assert errors[0] < 1e-3 and errors[2] < 5e-6
    assert errors[2] < errors[0] / 10
    within = np.sin(x[:, 0] + 0.2 * speeds[3] + 0.2 * speeds[2])
    np.testing.assert_allclose(solution(0.45, x), within, rtol=0, atol=1e-5)


def test_a_grid_solution_is_differentiable_in_the_weights_of_each_layer() -> None:
    def value(speeds):
        cell = Residual(np.zeros((4, 1, 1)), np.full((4, 1), 20.0), speeds[:, None, None])
        network = Flow(cell, lambda x: jnp.sin(x[0]), layers=4, time=0.8)
        problem = hj.theory.as_problem(network, domain=hj.Torus([-np.pi], [np.pi]))
        return hj.solve(problem, hj.methods.grid.FiniteDifference(64), [0.8], points=[[0.3]], max_steps=200).u[0, 0]

    speeds = jnp.array([1.0, 0.2, 0.3, -2.0])
    exact = 0.2 * np.cos(0.3 + 0.2 * float(jnp.sum(speeds)))
    np.testing.assert_allclose(jax.grad(value)(speeds), np.full(4, exact), rtol=1e-4)


def test_earlier_times_are_answered_by_the_last_layers() -> None:
    network = flow("residual", time=1.2).refined(3)
    problem = hj.theory.as_problem(network, domain=hj.Box([-2.0, -2.0], [2.0, 2.0]))
    x = RNG.uniform(-1, 1, size=(5, 2))
    u = hj.solve(problem, network, [0.4, 0.47, 1.2], points=x).u
    last = eqx.tree_at(
        lambda n: (n.cell, n.time), network, (jax.tree.map(lambda a: a[-2:], network.cell), np.array(0.4))
    )
    last = Flow(last.cell, bump, layers=2, time=0.4, splits=3)
    np.testing.assert_allclose(u[0], jax.vmap(last)(jnp.asarray(x)), rtol=1e-13)
    assert (u[1] != u[0]).all()
    np.testing.assert_allclose(u[2], jax.vmap(network)(jnp.asarray(x)), rtol=1e-13)


@pytest.mark.slow
def test_noise_is_viscosity() -> None:
    """Against WENO5 with ε Δu, within four standard errors."""
    network = Flow(flow("residual").cell, bump, layers=6, time=0.6, viscosity=0.1, splits=8, samples=4096)
    problem = hj.theory.as_problem(network, domain=hj.Box([-5.0, -5.0], [5.0, 5.0]))
    assert problem.viscosity.epsilon == 0.1
    x = RNG.uniform(-0.5, 0.5, size=(3, 2))
    ours = hj.solve(problem, network, [0.6], points=x, key=jax.random.key(0))
    grid = hj.solve(problem, hj.methods.grid.FiniteDifference(64), [0.6], points=x)
    error = np.asarray(ours.stats["standard_error"])[0]
    assert (error < 0.01).all()
    assert (np.abs(ours.u[0] - grid.u[0]) < 4 * error + 2e-3).all()  # and Euler's error of a step


def test_a_particle_method_solves_it_too() -> None:
    network = Flow(flow("recurrent").cell, bump, layers=6, time=0.6, viscosity=0.1, splits=8)
    problem = hj.theory.as_problem(network, domain=hj.Box([-5.0, -5.0], [5.0, 5.0]))
    x = np.array([[0.1, 0.2]])
    kac = hj.solve(problem, hj.methods.particle.FeynmanKac(8192, steps=96), [0.6], points=x)
    grid = hj.solve(problem, hj.methods.grid.FiniteDifference(64), [0.6], points=x)
    np.testing.assert_allclose(kac.u, grid.u, rtol=0, atol=4e-3)


@pytest.mark.slow
def test_training_recovers_a_flow_from_its_images() -> None:
    """A rotation by half a turn, from Gaussian weights: held-out error a few per cent."""
    truth = lambda x: bump(jnp.array([[0.0, -1.0], [1.0, 0.0]]) @ x)
    x = RNG.uniform(-1, 1, size=(512, 2))
    data = hj.Data(x[:384], jax.vmap(truth)(jnp.asarray(x[:384])))
    start = Flow.random(2, layers=8, hidden=16, key=jax.random.key(0))
    network, history = hj.fit(data, start, hj.Recipe(steps=1500, batch=128), key=jax.random.key(1))
    found = jax.vmap(network)(jnp.asarray(x[384:]))
    assert history.result == hj.RESULTS.successful
    assert np.sqrt(np.mean((found - jax.vmap(truth)(jnp.asarray(x[384:]))) ** 2)) < 0.05
    assert network.time == start.time


def test_one_output_of_several_is_a_solution() -> None:
    network = Flow.random(2, layers=3, outputs=4, key=jax.random.key(0))
    box = hj.Box([-1.0, -1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match=r"network.output\(k\)"):
        hj.theory.as_problem(network, domain=box)
    x = jnp.array([0.1, 0.5])
    assert network(x).shape == (4,)
    problem = hj.theory.as_problem(network.output(2), domain=box)
    np.testing.assert_allclose(hj.solve(problem, network.output(2), [1.0], points=x[None]).u[0, 0], network(x)[2])


def test_without_a_readout_it_transports_the_data_of_a_problem() -> None:
    network = Flow(flow("residual").cell, layers=6, time=0.6)
    box = hj.Box([-1.0, -1.0], [1.0, 1.0])
    problem = hj.theory.as_problem(network, domain=box, initial=hj.initials.Custom(bump))
    x = jnp.array([[0.1, 0.5]])
    np.testing.assert_allclose(hj.solve(problem, network, [0.6], points=x).u[0, 0], flow("residual", time=0.6)(x[0]))
    with pytest.raises(ValueError, match="`initial` is needed"):
        hj.theory.as_problem(network, domain=box)


BOX = hj.Box([-1.0, -1.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Flow(Residual(np.ones((3, 2)), np.ones(3), np.ones((2, 3))), layers=2), "leading axis of 1"),
        (lambda: Residual(np.ones((3, 2)), np.ones(4), np.ones((2, 3))), "`shift` must have shape"),
        (lambda: Recurrent(0.0, np.ones((3, 2)), np.ones(3), np.ones((2, 3))), "`leak` must be > 0"),
        (lambda: LSTM(np.ones((2, 2, 2)), np.ones((2, 2))), "`gates` must have shape"),
        (lambda: flow("residual", viscosity=-1.0), "`viscosity` must be >= 0"),
        (lambda: flow("gru"), "`cell` must be 'residual', 'recurrent' or 'lstm'"),
        (lambda: hj.theory.as_problem(flow("residual")), "`domain` is needed"),
        (lambda: hj.theory.as_problem(flow("residual"), domain=hj.Box([0.0], [1.0])), "dimension"),
        (lambda: hj.theory.as_problem(flow("residual"), domain=BOX, time=2.0), "`horizon` must be at most"),
        (lambda: hj.theory.as_problem(flow("residual"), domain=BOX, initial=hj.initials.Custom(bump)), "Leave it out"),
        (lambda: Flow.random(0, layers=2, key=jax.random.key(0)), r"`dimension` must be a whole number >= 1"),
        (
            lambda: Flow.random(2, layers=2, outputs=3, key=jax.random.key(0)).output(3),
            r"`k` must be one of the 3 outputs, from 0; got 3",
        ),
        (
            lambda: Flow.random(2, layers=2, key=jax.random.key(0))(np.ones(3)),
            r"`x` must have shape \(2,\), one state.* got \(3,\)",
        ),
    ],
)
def test_bad_input_is_refused_with_a_remedy(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
