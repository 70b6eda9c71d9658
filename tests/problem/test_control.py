"""Hamiltonians of control systems against minimisation over many inputs, and their inputs against the dynamics."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

H = hj.hamiltonians
inputs = H.inputs
RNG = np.random.default_rng(1)
T = 0.7
ANGLES = np.linspace(0, 2 * np.pi, 2001)
SETS = {
    "box": (inputs.Box([-1.0, 0.5], [2.0, 0.9]), np.array(list(itertools.product([-1.0, 2.0], [0.5, 0.9])))),
    "ball": (inputs.Ball(0.7, size=2), 0.7 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)),
    "moved ball": (
        inputs.Ball(0.7, centre=[1.0, -2.0]),
        np.array([1.0, -2.0]) + 0.7 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1),
    ),
    "finite": (inputs.Finite([[0.0, 1.0], [2.0, -1.0], [0.3, 0.1]]), np.array([[0.0, 1.0], [2.0, -1.0], [0.3, 0.1]])),
}


def drift(t, x):
    return x[1], -jnp.sin(x[0]) + t, 0.0


def steering(t, x):
    return (0.0, x[2]), (jnp.cos(x[0]), 0), (1.0, -2.0)


def disturbing(t, x):
    return (1.0,), (0.0,), (x[0],)


def matrices(x):
    """f, G, E of one point in NumPy."""
    f = np.array([x[1], -np.sin(x[0]) + T, 0.0])
    return f, np.array([[0, x[2]], [np.cos(x[0]), 0], [1, -2]]), np.array([[1.0], [0.0], [x[0]]])


@pytest.mark.parametrize("name", sorted(SETS))
@pytest.mark.parametrize("maximise", [False, True])
def test_control_affine_is_the_extremum_over_inputs(name: str, maximise: bool) -> None:
    chosen, samples = SETS[name]
    cost = lambda t, x: x[0] ** 2
    hamiltonian = H.ControlAffine(drift, steering, chosen, cost=cost, maximise=maximise)
    x, p = RNG.normal(size=(3, 4, 5)), RNG.normal(size=(3, 4, 5))
    values, best = hamiltonian(T, x, p), hamiltonian.control(T, x, p)
    bound = hamiltonian.speed_bound(T, x, -jnp.ones_like(p), jnp.ones_like(p))
    moved = hamiltonian.dynamics(T, x, best, hamiltonian.disturbance(T, x, p))
    np.testing.assert_allclose(values, -(jnp.sum(p * moved, axis=0) + x[0] ** 2), rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(hamiltonian.velocity(T, x, p), -moved)
    for place in np.ndindex(4, 5):
        f, G, _ = matrices(x[:, *place])
        rates = f + samples @ G.T
        totals = rates @ p[:, *place] + x[0][place] ** 2
        expected = -(totals.max() if maximise else totals.min())
        # 2001 directions of a circle: a relative gap of 1 − cos(π/2000) = 1.2e-6 of the radius
        np.testing.assert_allclose(values[place], expected, rtol=1e-5, atol=1e-5)
        reached = np.abs(rates).max(axis=0)
        assert np.all(bound[:, *place] >= reached * (1 - 1e-6))
        assert np.all(bound[:, *place] <= np.abs(f) + np.abs(samples @ G.T).max(axis=0) + 1e-5)  # no looser than that


@pytest.mark.parametrize("maximise", [False, True])
def test_isaacs_is_min_max_and_max_min(maximise: bool) -> None:
    chosen, samples = SETS["box"]
    opponent, others = inputs.Box(-0.4, 1.1), np.array([[-0.4], [1.1]])
    hamiltonian = H.Isaacs(drift, steering, chosen, disturbing, opponent, maximise=maximise)
    x, p = RNG.normal(size=(3, 30)), RNG.normal(size=(3, 30))
    values = hamiltonian(T, x, p)
    for k in range(30):
        f, G, E = matrices(x[:, k])
        game = f @ p[:, k] + (samples @ G.T @ p[:, k])[:, None] + (others @ E.T @ p[:, k])[None, :]
        lower, upper = game.max(axis=1).min(), game.min(axis=0).max()
        if maximise:
            lower, upper = game.min(axis=1).max(), game.max(axis=0).min()
        assert lower == pytest.approx(upper, abs=1e-12)
        np.testing.assert_allclose(values[k], -lower, rtol=1e-12, atol=1e-12)
    b = hamiltonian.disturbance(T, x, p)
    assert b.shape == (1, 30)
    rate = hamiltonian.dynamics(T, x, hamiltonian.control(T, x, p), b)
    np.testing.assert_allclose(values, -jnp.sum(p * rate, axis=0), rtol=1e-12, atol=1e-12)


SYSTEMS = {
    "DoubleIntegrator": (H.DoubleIntegrator(1.7), lambda x, p: -p[0] * x[1] + 1.7 * abs(p[1])),
    "Dubins": (
        H.Dubins(1.3, 0.6),
        lambda x, p: -1.3 * (p[0] * np.cos(x[2]) + p[1] * np.sin(x[2])) + 0.6 * abs(p[2]),
    ),
    "Dubins, avoiding": (
        H.Dubins(1.3, 0.6, maximise=True),
        lambda x, p: -1.3 * (p[0] * np.cos(x[2]) + p[1] * np.sin(x[2])) - 0.6 * abs(p[2]),
    ),
    "Air3D": (
        H.Air3D(5.0, 4.0, 1.0, 0.8),
        lambda x, p: (
            5 * p[0]
            - 4 * (p[0] * np.cos(x[2]) + p[1] * np.sin(x[2]))
            - abs(p[0] * x[1] - p[1] * x[0] - p[2])
            + 0.8 * abs(p[2])
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_systems_are_the_formulas_of_the_literature(name: str) -> None:
    hamiltonian, formula = SYSTEMS[name]
    d = 2 if name == "DoubleIntegrator" else 3
    x, p = RNG.normal(size=(d, 40)), RNG.normal(size=(d, 40))
    np.testing.assert_allclose(hamiltonian(T, x, p), formula(x, p), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        hamiltonian.velocity(T, x, p), jax.grad(lambda q: jnp.sum(hamiltonian(T, x, q)))(p), rtol=1e-12, atol=1e-13
    )
    bound = hamiltonian.speed_bound(T, x, p, p)
    assert np.all(bound >= np.abs(hamiltonian.velocity(T, x, p)))
    assert hamiltonian(T, x[:, 0], p[:, 0]).shape == ()


def test_freezing_is_the_positive_part() -> None:
    plain, frozen = H.Dubins(), H.Freezing(H.Dubins())
    x, p = RNG.normal(size=(3, 40)), RNG.normal(size=(3, 40))
    np.testing.assert_array_equal(frozen(T, x, p), np.maximum(plain(T, x, p), 0))
    moves = np.asarray(plain(T, x, p)) > 0
    np.testing.assert_array_equal(frozen.velocity(T, x, p), np.where(moves, plain.velocity(T, x, p), 0))
    assert moves.any()
    assert not moves.all()


def test_matrices_may_be_arrays() -> None:
    matrix = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, -1.0]])
    fixed = H.ControlAffine(drift, matrix, inputs.Ball(1.0, size=2))
    listed = H.ControlAffine(drift, lambda t, x: [[0, 1], [2, 0], [0, -1]], inputs.Ball(1.0, size=2))
    x, p = RNG.normal(size=(3, 7)), RNG.normal(size=(3, 7))
    np.testing.assert_allclose(fixed(T, x, p), listed(T, x, p), rtol=1e-14)
    np.testing.assert_allclose(
        fixed(T, x, p) + p[0] * x[1] + p[1] * (T - np.sin(x[0])), np.linalg.norm(matrix.T @ p, axis=0)
    )


def test_new_numbers_do_not_recompile_and_have_gradients() -> None:
    traces = []

    @eqx.filter_jit
    def value(hamiltonian, x, p):
        traces.append(1)
        return jnp.sum(hamiltonian(T, x, p))

    x, p = RNG.normal(size=(3, 7)), RNG.normal(size=(3, 7))
    build = lambda speed, rate: H.Air3D(speed, 4.0, rate, 0.8)
    assert value(build(5.0, 1.0), x, p) != value(build(3.0, 1.0), x, p)
    assert len(traces) == 1
    slope = jax.grad(lambda rate: jnp.sum(build(5.0, rate)(T, x, p)))(1.0)
    np.testing.assert_allclose(slope, -np.abs(p[0] * x[1] - p[1] * x[0] - p[2]).sum(), rtol=1e-12)
    many = jax.vmap(lambda speed: build(speed, 1.0)(T, x, p))(jnp.array([5.0, 3.0]))
    np.testing.assert_allclose(many[1], build(3.0, 1.0)(T, x, p), rtol=1e-14)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: inputs.Box([1.0], [0.0]), ValueError, r"`upper - lower` must be >= 0; got \[-1\.0\]"),
        (lambda: inputs.Box([0.0], [1.0, 2.0]), ValueError, r"`lower` and `upper` must have the same shape"),
        (lambda: inputs.Box(0.0, np.inf), ValueError, r"`upper - lower` must be finite"),
        (lambda: inputs.Ball(-1.0, size=1), ValueError, r"`radius` must be >= 0; got -1\.0"),
        (lambda: inputs.Ball(1.0), ValueError, r"either `size`.*or `centre`"),
        (lambda: inputs.Finite(np.zeros((0, 2))), ValueError, r"`values` must hold at least one input"),
        (lambda: H.ControlAffine(drift, steering, (-1.0, 1.0)), TypeError, r"`inputs` must be a set in .*Box"),
        (
            lambda: H.ControlAffine(1.0, steering, inputs.Box(-1, 1)),
            TypeError,
            r"`drift` must be a function of \(t, x\)",
        ),
        (lambda: H.ControlAffine(drift, [1.0], inputs.Box(-1, 1)), ValueError, r"`matrix` must have shape \[d, k\]"),
        (lambda: H.Dubins(-1.0), ValueError, r"`speed` must be >= 0; got -1\.0"),
    ],
)
def test_bad_systems_are_refused(build, error, message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("hamiltonian", "message"),
    [
        (H.ControlAffine(drift, steering, inputs.Box(-1.0, 1.0)), r"`matrix` must have 1 columns.*\[2, 2, 2\]"),
        (
            H.ControlAffine(lambda t, x: (0.0,), steering, inputs.Ball(1, size=2)),
            r"`drift` must give 3 components.* got 1",
        ),
        (H.DoubleIntegrator(), r"`hamiltonian`"),
    ],
)
def test_wrong_shapes_are_refused_by_the_problem(hamiltonian, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hj.Problem(hamiltonian, 0.0, hj.initials.Norm(), hj.Box([-1.0] * 3, [1.0] * 3), 1.0)


def test_a_finite_set_of_inputs_under_jit_and_vmap() -> None:
    system = H.ControlAffine(lambda t, x: [0.0], [[1.0]], H.inputs.Finite([-1.0, 0.2, 3.0]))
    p = jnp.array([[1.0], [-2.0]])
    np.testing.assert_allclose(jax.vmap(lambda p: system.control(jnp.zeros(()), p, p))(p), [[-1.0], [3.0]])
    np.testing.assert_allclose(jax.jit(lambda p: system.velocity(jnp.zeros(()), p, p))(p[0]), [1.0])
