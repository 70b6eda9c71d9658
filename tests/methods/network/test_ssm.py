"""State-space models on Fourier modes: exact where they should be, Strang's order with a gate, and read back."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import orders
from scipy.integrate import solve_ivp

import hjsolve as hj

H = hj.hamiltonians
SSM = hj.methods.network.SSM
LINE, PLANE = hj.Torus([0.0], [2 * np.pi]), hj.Torus([0.0, 0.0], [2 * np.pi, np.pi])
PLACES = np.random.default_rng(0).uniform(0, 6, size=(9, 1))


def wave(shares, x):
    return shares[0] * jnp.cos(x[0]) + shares[1] * jnp.sin(2 * x[0])


def line(epsilon: float = 0.3, c: float = 0.7, shares=(1.0, 0.3)) -> hj.Problem:
    initial = hj.initials.Custom(eqx.Partial(wave, np.array(shares)))
    return hj.Problem(H.Quadratic(c), epsilon, initial, LINE, 1.0)


@pytest.mark.parametrize(("epsilon", "allowed"), [(0.3, 1e-13), (0.1, 1e-7)])
def test_no_training_is_needed(epsilon: float, allowed: float) -> None:
    """Against the Hopf-Cole integral by quadrature. Rounding grows like e^{osc(g)c/ε}: e^4.6 and e^14."""
    problem, ts = line(epsilon), [0.2, 1.0]
    network = hj.theory.as_network(problem, family="ssm", cells=96)
    solution = hj.solve(problem, network, ts, points=PLACES)
    exact = hj.solve(problem, hj.methods.particle.HopfCole(nodes=512), ts, points=PLACES)
    np.testing.assert_allclose(solution.u, exact.u, rtol=0, atol=allowed)
    np.testing.assert_allclose(solution.gradient, exact.gradient, rtol=0, atol=20 * allowed)
    assert (np.asarray(solution.stats["rounding"]) < allowed).all()
    assert np.abs(solution.u - exact.u).max() < 10 * solution.stats["rounding"].max()


def test_the_forward_pass_is_the_solution_at_the_nodes() -> None:
    problem = line()
    network = hj.theory.as_network(problem, family="ssm", cells=96)
    u = jax.vmap(problem.initial)(network.nodes(problem))
    np.testing.assert_allclose(network(u), hj.solve(problem, network, [1.0]).u[0], rtol=0, atol=1e-14)


def test_data_without_waves_leave_the_equation_to_all_waves_alike() -> None:
    network = hj.theory.as_network(line(0.3), family="ssm", cells=16)
    read = hj.theory.as_problem(network, initial=hj.initials.Custom(lambda x: 1.0 + 0 * x[0]), domain=LINE)
    np.testing.assert_allclose(read.viscosity.epsilon, 0.3, rtol=1e-13)


@pytest.mark.slow
def test_a_constant_drift_in_the_plane_moves_and_is_read_back() -> None:
    """Without a Hamiltonian's bend: c so small that u is transported and diffuses, ûₖ e^{−(ε|κ|² + i b·κ)t}."""
    b, epsilon, t = np.array([0.5, -0.3]), 0.4, 0.8
    g = lambda x: 1e-6 * jnp.cos(x[0]) * jnp.sin(2 * x[1])
    drift = lambda t, x: jnp.stack([0.5 + 0 * x[0], -0.3 + 0 * x[1]])
    problem = hj.Problem(H.WithDrift(H.Quadratic(1.0), drift), epsilon, hj.initials.Custom(g), PLANE, 1.0)
    network = hj.theory.as_network(problem, family="ssm", cells=(16, 24))
    x = np.random.default_rng(1).uniform(0, 3, size=(7, 2))
    solution = hj.solve(problem, network, [t], points=x)
    y = x - b * t
    moved = 1e-6 * np.cos(y[:, 0]) * np.sin(2 * y[:, 1]) * np.exp(-5 * epsilon * t)
    np.testing.assert_allclose(solution.u[0], moved, rtol=0, atol=1e-12)  # |∇u|² t = 5e-12, rounding of w less
    read = network.spectrum(problem)
    np.testing.assert_allclose(read.viscosity, epsilon, rtol=1e-12)
    np.testing.assert_allclose(read.drift, b, rtol=1e-12)
    assert read.misfit < 1e-12
    assert solution.equation.hamiltonian.drift.velocity.shape == (2,)


def test_a_gate_is_a_potential_to_strang_s_order() -> None:
    """Against w_t = ε w_xx − (c/ε)V w integrated by SciPy on the modes' own nodes."""
    c, epsilon, n = 0.8, 0.5, 32
    problem = eqx.tree_at(
        lambda p: p.hamiltonian, line(epsilon), H.WithPotential(H.Quadratic(c), lambda x: jnp.cos(x[0]))
    )
    x = 2 * np.pi / n * np.arange(n)
    g = np.cos(x) + 0.3 * np.sin(2 * x)
    kappa = np.fft.rfftfreq(n, 1 / n)

    def heat(_, w):
        return epsilon * np.fft.irfft(-(kappa**2) * np.fft.rfft(w), n) - c / epsilon * np.cos(x) * w

    w = solve_ivp(heat, (0, 1), np.exp(-c * g / epsilon), method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
    errors = []
    for layers in (8, 16, 32):
        network = hj.theory.as_network(problem, family="ssm", cells=n, layers=layers)
        u = network(jnp.asarray(g))
        errors.append(np.abs(u + epsilon / c * np.log(w)).max())
        np.testing.assert_allclose(hj.solve(problem, network, [1.0]).u[0], u, rtol=0, atol=1e-13)
    assert orders(errors)[-1] > 1.98, errors
    potential = network.equation(problem).hamiltonian.potential
    np.testing.assert_allclose(potential(jnp.asarray([[0.3, 1.7]])), np.cos([0.3, 1.7]), rtol=0, atol=1e-5)  # quintic


def test_the_bilinear_rule_has_order_two() -> None:
    problem = line()
    exact = hj.theory.as_network(problem, family="ssm", cells=32)
    u = jnp.asarray(jax.vmap(problem.initial)(exact.nodes(problem)))
    errors = []
    for layers in (16, 32, 64):
        network = SSM(32, jnp.exp(exact.log_decay), exact.temperature, layers=layers, rule="bilinear")
        errors.append(float(jnp.abs(network(u) - exact(u)).max()))
    assert orders(errors)[-1] > 1.95, errors


def test_training_finds_the_viscosity_and_the_hamiltonian() -> None:
    """Spectrum and temperature from pairs (g, u(1)) alone: ε̂ and c = ε̂/θ within 5%."""
    problem, n = line(0.3, 0.7), 32
    exact = hj.theory.as_network(problem, family="ssm", cells=n)
    x = exact.nodes(problem)[:, 0]
    keys = jax.random.split(jax.random.key(0), 2)
    size = 0.4 * jax.random.normal(keys[0], (64, 4, 1)) / jnp.arange(1, 5)[:, None]
    phase = jax.random.uniform(keys[1], (64, 4, 1), maxval=2 * np.pi)
    data = jnp.sum(size * jnp.cos(jnp.arange(1, 5)[:, None] * x + phase), axis=1)
    start = SSM.random(n, temperature=1.0, key=jax.random.key(1))
    recipe = hj.Recipe(steps=1500, batch=32, optimiser=optax.adam(optax.cosine_decay_schedule(0.1, 1500)))
    trained, history = hj.fit(hj.Data(data, jax.vmap(exact)(data)), start, recipe, key=jax.random.key(2))
    equation = trained.equation(problem)
    assert history.losses[-1] < 1e-3 * history.losses[0]
    np.testing.assert_allclose(equation.viscosity.epsilon, 0.3, rtol=0.05)
    np.testing.assert_allclose(equation.hamiltonian.c, 0.7, rtol=0.05)
    assert trained.time == 1.0


def test_what_rounding_decides_is_flagged() -> None:
    problem = line(0.02, 1.0)
    network = hj.theory.as_network(problem, family="ssm", cells=96)
    with pytest.raises(RuntimeError, match=r"w = exp\(−u/θ\) spans"):
        hj.solve(problem, network, [0.01], points=PLACES)
    solution = hj.solve(problem, network, [0.01], points=PLACES, throw=False)
    assert bool(solution.result == hj.RESULTS.cancelled)


def test_float32() -> None:
    problem = line(0.5)
    with jax.enable_x64(False):
        network = hj.theory.as_network(problem, family="ssm", cells=48)
        solution = hj.solve(problem, network, [0.5], points=PLACES)
    exact = hj.solve(problem, hj.methods.particle.HopfCole(nodes=512), [0.5], points=PLACES)
    assert solution.u.dtype == np.float32
    np.testing.assert_allclose(solution.u, exact.u, rtol=0, atol=2e-5)  # e^{2.7} roundings, and sums of 48


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SSM(8, np.ones(4), 1.0), r"`decay` must have shape \(5,\), one decay per mode of rfftn; got \(4,\)"),
        (lambda: SSM(8, -np.ones(5), 1.0), r"`decay` must be > 0; got"),
        (lambda: SSM(8, np.ones(5), 0.0), r"`temperature` must be > 0; got 0"),
        (lambda: SSM(8, np.ones(5), 1.0, rule="euler"), r"`rule` must be 'zero-order hold' or 'bilinear'; got 'euler'"),
        (lambda: SSM(8, np.ones(5), 1.0, gate=np.ones(7)), r"`gate` must have shape \(8,\), one number per node"),
        (lambda: SSM(2, np.ones(2), 1.0), r"`cells` must be a whole number >= 4; got 2"),
        (lambda: SSM(8, np.ones(5), 1.0).check(in_a_box()), r"`domain` must be periodic"),
        (lambda: SSM((8, 8), np.ones((8, 5)), 1.0).check(line()), r"`cells` of the SSM has 2 axes .* dimension 1"),
        (lambda: hj.theory.as_network(line(), family="ssm"), r"`cells` is needed for family='ssm'"),
        (
            lambda: hj.theory.as_network(
                under(H.WithDrift(H.Quadratic(1.0), lambda t, x: jnp.sin(x))), family="ssm", cells=16
            ),
            r"The drift of `hamiltonian` must be constant",
        ),
        (lambda: SSM.random(16.0, temperature=1.0, key=jax.random.key(0)), r"`cells` must be a whole number"),
        (lambda: SSM.random(16, temperature=1.0, time=0.0, key=jax.random.key(0)), r"`time` must be > 0"),
        (lambda: SSM(8, np.ones(5), 1.0)(jnp.ones(7)), r"`u` must have shape \(8,\).* got \(7,\)"),
        (
            lambda: hj.theory.as_network(
                under(H.WithDrift(H.Quadratic(1.0), lambda t, x: jnp.full_like(x, 4 * t * (0.5 - t) * (1 - t)))),
                family="ssm",
                cells=16,
            ),
            r"The drift of `hamiltonian` must be constant",
        ),
    ],
)
def test_what_it_cannot_do_is_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def under(hamiltonian, epsilon: float = 0.3) -> hj.Problem:
    return eqx.tree_at(lambda p: p.hamiltonian, line(epsilon), hamiltonian)


def in_a_box() -> hj.Problem:
    return eqx.tree_at(lambda p: p.domain, line(), hj.Box([0.0], [1.0]))
