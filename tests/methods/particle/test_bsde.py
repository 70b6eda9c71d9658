import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import orders

import hjsolve as hj
from hjsolve.methods.particle.forward import forward_paths, gains

DeepBSDE = hj.methods.particle.DeepBSDE
ForwardBackward = hj.methods.particle.ForwardBackward
H = hj.hamiltonians
RICCATI = hj.exact.LinearQuadratic([[0.2, -0.5], [0.4, 0.1]], np.diag([1.0, 0.6]), np.diag([1.0, 0.5]), viscosity=0.3)
START = np.array([0.5, 0.5])


def cube(d: int) -> hj.Box:
    return hj.Box([-1.0] * d, [1.0] * d)


@functools.cache
def recipe(steps: int, batch: int, rate: float) -> hj.Recipe:
    """One object for one recipe, so that training compiles once for it."""
    return hj.Recipe(steps=steps, batch=batch, optimiser=optax.adam(optax.cosine_decay_schedule(rate, steps)))


def fitted(problem, method, steps=300, batch=64, rate=3e-3):
    return hj.fit(problem, method, recipe(steps, batch, rate), key=jax.random.key(0))


@functools.cache
def small():
    return fitted(RICCATI.problem(), DeepBSDE(START, steps=20), steps=20)


@functools.cache
def network():
    return fitted(RICCATI.problem(), ForwardBackward(steps=10, width=32, depth=2), steps=600, rate=1e-2)


def trained() -> DeepBSDE:
    return small()[0]


def exactly(exact, t, points) -> tuple[np.ndarray, np.ndarray]:
    both = on_all(exact, jnp.asarray(t), jnp.asarray(points))
    return np.asarray(both[0]), np.asarray(both[1])


@eqx.filter_jit
def on_all(exact, t, points):
    return jax.vmap(jax.value_and_grad(exact, argnums=1), (None, 0))(t, points)


def at(problem, method, x, t=1.0) -> hj.Solution:
    return hj.solve(problem, method, [t], points=np.atleast_2d(x))


@pytest.mark.parametrize(
    "exact",
    [RICCATI, hj.exact.QuadraticGradient(2, 1.0)],
    ids=["x-dependent", "t-dependent, concave"],
)
def test_along_paths_the_exact_gradient_leaves_only_the_noise_of_the_discrete_integral(exact) -> None:
    """Signs and factors of dY = H ds + ∇u·σ dW: with the exact Z, Y_T − g(X_T) has mean 0 and spread O(√dt)."""
    p = exact.problem()

    @functools.partial(jax.jit, static_argnums=0)
    def mismatch(steps):
        paths = forward_paths(p, jnp.broadcast_to(START, (20000, 2)), steps, jax.random.key(1))
        times = 1.0 - jnp.arange(steps + 1) / steps
        slope = jax.vmap(jax.vmap(jax.grad(exact, argnums=1), in_axes=(None, 0)))
        z = slope(times, paths.places)
        return exact(1.0, jnp.asarray(START)) + jnp.sum(gains(p, paths, z), axis=0) - paths.data

    spreads = []
    for steps in (10, 40):
        error = np.asarray(mismatch(steps))
        spreads.append(error.std())
        # four error bars, and the trapezoid rule's own (1/steps)²
        assert abs(error.mean()) < 4 * spreads[-1] / np.sqrt(20000) + 0.3 / steps**2
    np.testing.assert_allclose(orders(spreads, 4.0), 0.5, atol=0.1)


def test_deep_bsde_finds_u_and_its_gradient_at_its_start() -> None:
    p = RICCATI.problem()
    method, history = fitted(p, DeepBSDE(START, steps=20))
    assert history.result == hj.RESULTS.successful
    solution = at(p, method, START)
    u, slope = (a[0] for a in exactly(RICCATI, 1.0, START[None]))
    print("u", float(solution.u[0, 0] - u), "∇u", np.asarray(solution.gradient[0, 0] - slope), solution.stats)
    # O(T/steps) = 0.05 times derivatives of order one, see the halving below: 0.015 in u
    np.testing.assert_allclose(solution.u[0, 0], u, rtol=0, atol=0.03)
    np.testing.assert_allclose(solution.gradient[0, 0], slope, rtol=0, atol=0.04)
    assert solution.stats["terminal_rms"][0] < 0.1  # from 0.6 before training
    assert solution.stats["standard_error"][0, 0] < 2e-3


@pytest.mark.slow
def test_deep_bsde_learns_what_the_start_values_do_not_know() -> None:
    """λ = 5 pulls u(1, 0) from the mean of g far down."""
    exact = hj.exact.DeepBSDE(20, 5.0)
    p = exact.problem()
    with jax.enable_x64(False):
        method, _ = fitted(p, DeepBSDE(np.zeros(20), steps=20), steps=200)
        solution = at(p, method, np.zeros(20))
    u = float(exact(1.0, jnp.zeros(20)))
    mean = float(method.scales.value)
    print("from", mean, "to", float(solution.u[0, 0]), "exact", u)
    assert solution.u.dtype == np.float32
    assert abs(mean - u) > 0.2
    assert abs(float(solution.u[0, 0]) - u) < 0.1 * abs(mean - u)


def test_the_published_generator_is_the_equation_with_twice_lambda() -> None:
    """σ = √2 and f = −λ|z|² with z = σᵀ∇u make H = 2λ|∇u|²: 4.579962 where λ = 1 has 4.590162."""
    published = H.Custom(lambda t, x, p: jnp.sum((np.sqrt(2.0) * p) ** 2, axis=0))
    p = hj.Problem(published, 1.0, hj.exact.DeepBSDE(3, 1.0).problem().initial, cube(3), 1.0)
    x = jnp.asarray([0.3, -0.5, 0.2])
    residual = jax.jit(lambda exact: p.residual(exact, 0.5, x))
    assert abs(float(residual(hj.exact.DeepBSDE(3, 2.0)))) < 1e-12
    assert abs(float(residual(hj.exact.DeepBSDE(3, 1.0)))) > 1e-2
    origin = eqx.filter_jit(lambda exact: exact(1.0, jnp.zeros(100)))
    values = [float(origin(hj.exact.DeepBSDE(100, lam))) for lam in (1.0, 2.0, 10.0)]
    np.testing.assert_allclose(values, [4.590161724605, 4.579962, 4.492929491346], atol=5e-7)


@pytest.mark.slow
def test_varying_viscosity() -> None:
    """x²e^{2ε₀t} solves u_t = ε₀x²u_xx; Euler-Maruyama's own value is x²(1 + 2ε₀dt)^N."""
    viscosity = hj.viscosities.Varying(lambda t, x: 0.3 * x[0] ** 2)
    p = hj.Problem(H.Linear([0.0]), viscosity, hj.initials.Custom(lambda x: x[0] ** 2), cube(1), 0.5)
    method, _ = fitted(p, DeepBSDE([1.0], steps=10), steps=200)
    solution = at(p, method, [1.0], 0.5)
    np.testing.assert_allclose(solution.u[0, 0], (1 + 0.6 * 0.05) ** 10, rtol=0.02)


@pytest.mark.slow
def test_forward_backward_answers_everywhere() -> None:
    method, history = network()
    p = RICCATI.problem()
    x = np.random.default_rng(0).uniform(-0.8, 0.8, size=(50, 2))
    times = [0.0, 0.3, 1.0]
    solution = hj.solve(p, method, times, points=x)
    exact = np.stack([exactly(RICCATI, t, x)[0] for t in times])
    errors = np.sqrt(((np.asarray(solution.u) - exact) ** 2).mean(1))
    spread = exact.std(1)
    print("rms errors", errors, "spread of u", spread, "loss", history.losses[-50:].mean())
    # 600 steps of a small network: some per cent of the range of u along the paths, which leave the domain to |x| ~ 3
    assert (errors < 0.06).all()
    slope = exactly(RICCATI, 1.0, x)[1]
    assert np.sqrt(((np.asarray(solution.gradient[2]) - slope) ** 2).mean()) < 0.2
    backward = jax.jit(jax.grad(lambda y: hj.solve(p, method, times, points=y).u[2, 0]))(x)
    np.testing.assert_allclose(backward[0], solution.gradient[2, 0], rtol=1e-10)
    assert float(solution(0.5, x[0])) == pytest.approx(float(RICCATI(0.5, jnp.asarray(x[0]))), abs=0.15)


@pytest.mark.slow
def test_forward_backward_on_a_torus_is_periodic() -> None:
    exact = hj.exact.Periodic(2.0, [0.8], [[np.pi]], 0.3)
    p = exact.problem(horizon=0.5)
    method, _ = fitted(p, ForwardBackward(steps=5, width=16, depth=2), steps=400, rate=1e-2)
    x = np.linspace(-0.9, 0.9, 7)[:, None]
    solution = hj.solve(p, method, [0.5], points=x)
    expected = exactly(exact, 0.5, x)[0]
    np.testing.assert_allclose(solution.u[0], expected, rtol=0, atol=0.02)  # u ranges over 0.25
    shifted = hj.solve(p, method, [0.5], points=x + 2.0)
    np.testing.assert_allclose(shifted.u, solution.u, rtol=0, atol=1e-12)


def test_training_is_reproducible_leaves_the_held_numbers_and_goes_on_from_where_it_was() -> None:
    p = RICCATI.problem()
    first, history = small()
    _, second = fitted(p, DeepBSDE(START, steps=20), steps=20)
    np.testing.assert_array_equal(history.losses, second.losses)
    np.testing.assert_array_equal(first.start, START)
    assert float(first.horizon) == 1.0
    further, third = hj.fit(p, first, hj.Recipe(steps=20), key=jax.random.key(1))  # with the default optimiser
    np.testing.assert_array_equal(further.scales.slope, first.scales.slope)  # begun once, then only trained
    assert third.losses[:5].mean() < history.losses[:5].mean()


P = RICCATI.problem()
LONGER = RICCATI.problem(horizon=2.0)
OTHER = hj.exact.Harmonic(dimension=3, viscosity=0.1).problem()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DeepBSDE([[0.0]]), r"`start` must have shape \[d\]; got \(1, 1\)"),
        (lambda: DeepBSDE([0.0], steps=1), r"`steps` must be a whole number >= 2; got 1"),
        (lambda: DeepBSDE([0.0], width=0), r"`width` must be a whole number >= 1; got 0"),
        (lambda: ForwardBackward(steps=1), r"`steps` must be a whole number >= 2; got 1"),
        (lambda: ForwardBackward(depth=0), r"`depth` must be a whole number >= 1; got 0"),
        (lambda: at(P, DeepBSDE(START), START), r"DeepBSDE is not trained\. Use `method, history = hj\.fit"),
        (lambda: at(P, ForwardBackward(), START), r"ForwardBackward is not trained\. Use `method, history = hj\.fit"),
        (lambda: fitted(P, DeepBSDE([0.0])), r"`start` must have 2 components; got 1"),
        (
            lambda: fitted(
                hj.Problem(H.Quadratic(), 0.1, hj.initials.Atoms([[0.0]], [0.0]), cube(1), 1.0), DeepBSDE([0.0])
            ),
            r"DeepBSDE needs `initial` to be a function; got Atoms",
        ),
        (lambda: at(LONGER, trained(), START), r"`horizon` must be 1, which this DeepBSDE was trained for; got 2"),
        (lambda: at(OTHER, trained(), np.zeros(3)), r"`start` must have 3 components; got 2"),
        (lambda: at(OTHER, network()[0], np.zeros(3)), r"trained in d = 2; the problem has 3"),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_deep_bsde_does_not_answer_elsewhere() -> None:
    method = trained()
    for x, t in ((START + 0.1, 1.0), (START, 0.5)):
        with pytest.raises(RuntimeError, match="knows u at its `start` and at the horizon"):
            at(P, method, x, t)
