import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import atoms_solution
from scipy.special import logsumexp

import hjsolve as hj

LSE = hj.methods.network.LSE
HopfCole = hj.methods.particle.HopfCole
RNG = np.random.default_rng(0)


def forward(x: np.ndarray, W: np.ndarray, b: np.ndarray, epsilon: float) -> np.ndarray:
    return epsilon * logsumexp((x @ W.T + b) / epsilon, axis=1)


@pytest.mark.parametrize("epsilon", [1e-4, 0.3, 10.0])
def test_forward_equals_numpy(epsilon: float) -> None:
    W, b, x = RNG.normal(size=(30, 4)), RNG.normal(size=30), RNG.normal(size=(8, 4))
    layer = LSE(W, b, epsilon)
    np.testing.assert_allclose(jax.vmap(layer)(jnp.asarray(x)), forward(x, W, b, epsilon), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(layer.temperature, epsilon, rtol=1e-14)
    assert layer.dimension == 4


@pytest.mark.parametrize(("d", "t"), [(1, 0.5), (1, 2.0), (2, 1.0)])
def test_layer_plus_solution_is_the_parabola_with_the_solution_from_a_later_start(d: int, t: float) -> None:
    """u_N(t) by the heat semigroup from t/2 on, in NumPy: w(t/2) of each atom on a fine grid, then a trapezoid rule."""
    W, b, epsilon = RNG.normal(size=(9, d)), RNG.normal(size=9), 0.4
    layer = LSE(W, b, epsilon)
    x = RNG.normal(size=(5, d))
    y, g, s = 2 * t * W, -b - t * (W**2).sum(1), t / 2
    width = np.sqrt(2 * epsilon * s)
    # 9 standard deviations of the kernel (e^−40) around atoms and queries, spacing width/8: error e^(−2π²·64/2)
    span = max(np.abs(y).max(), np.abs(x).max()) + 9 * width
    line = np.linspace(-span, span, int(2 * span / (width / (8 if d == 1 else 4))) + 1)
    z = np.stack(np.meshgrid(*[line] * d, indexing="ij"), axis=-1).reshape(-1, d)
    log_w = logsumexp(-(g + ((z[:, None] - y) ** 2).sum(-1) / (4 * s)) / epsilon, axis=1)
    kernel = -((x[:, None] - z) ** 2).sum(-1) / (4 * epsilon * s) - d / 2 * np.log(4 * np.pi * epsilon * s)
    log_w_t = logsumexp(log_w + kernel, axis=1) + d * np.log(line[1] - line[0])
    # the bare sum over atoms lacks the kernel's normalisation: from s to t its sums differ by (t/s)^(d/2)
    u = -epsilon * (log_w_t + d / 2 * np.log(t / s))
    np.testing.assert_allclose(jax.vmap(layer)(jnp.asarray(x)) + u, (x**2).sum(1) / (4 * t), rtol=0, atol=1e-12)
    # the same solution by the library: its equation, its method
    solved = hj.solve(hj.theory.as_problem(layer, time=t), HopfCole(), [t], points=x)
    np.testing.assert_allclose(solved.u[0], u, rtol=0, atol=1e-12)


@pytest.mark.parametrize("c", [1.0, 0.6])
def test_as_a_method_it_answers_like_the_propagator(c: float) -> None:
    """Atoms of any c: the layer holds c·g, and moves in time with its atoms kept."""
    y, g, epsilon, x = RNG.normal(size=(12, 2)), RNG.normal(size=12), 0.3, RNG.normal(size=(7, 2))
    p = hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, hj.initials.Atoms(y, g), hj.Box([-2.0] * 2, [2.0] * 2), 2.0)
    layer = hj.theory.as_network(p, time=1.3)
    by_layer = hj.solve(p, layer, [0.4, 1.3, 2.0], points=x)
    for k, t in enumerate((0.4, 1.3, 2.0)):
        np.testing.assert_allclose(by_layer.u[k], atoms_solution(x, t, y, g, epsilon, c), rtol=0, atol=1e-12)
    by_particles = hj.solve(p, HopfCole(), [0.4, 1.3, 2.0], points=x)
    np.testing.assert_allclose(by_layer.gradient, by_particles.gradient, rtol=0, atol=1e-12)
    residual = eqx.filter_jit(by_layer.equation.residual)(lambda t, z: by_layer(t, z), 0.7, jnp.asarray(x[0]))
    assert abs(residual) < 1e-11  # second derivatives of size |y|²/(4ct²ε) ~ 50
    np.testing.assert_allclose(by_layer.equation.viscosity.epsilon, epsilon, rtol=1e-14)
    np.testing.assert_allclose(by_layer.equation.initial.g, g, rtol=0, atol=1e-12)


def test_function_data_become_a_layer_with_weights_and_normalisation() -> None:
    a, epsilon, c = 0.8, 0.2, 0.6
    p = hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, hj.initials.Quadratic(a), hj.Box([-1.0], [1.0]), 1.0)
    layer = hj.theory.as_network(p)
    x = RNG.uniform(-1, 1, size=(6, 1))
    closed = lambda t: 0.5 * a / (1 + 2 * c * t * a) * x[:, 0] ** 2 + epsilon / (2 * c) * np.log(1 + 2 * c * t * a)
    by_forward = ((x**2).sum(1) / 4 - np.asarray(jax.vmap(layer)(jnp.asarray(x)))) / c
    np.testing.assert_allclose(by_forward, closed(1.0), rtol=0, atol=1e-11)
    solved = hj.solve(p, layer, [0.5, 1.0], points=x)
    for row, t in zip(solved.u, (0.5, 1.0), strict=True):
        np.testing.assert_allclose(row, closed(t), rtol=0, atol=1e-11)
    assert eqx.tree_equal(solved.equation.hamiltonian, solved.problem.hamiltonian)  # no source: it is normalised


def test_the_layer_is_differentiable_in_its_temperature() -> None:
    W, b, x = RNG.normal(size=(5, 2)), RNG.normal(size=5), jnp.array([0.3, -0.2])
    slope = eqx.filter_grad(lambda n: n(x))(LSE(W, b, 0.3)).log_temperature
    f = lambda e: forward(np.asarray(x)[None], W, b, e)[0]
    np.testing.assert_allclose(slope, 0.3 * (f(0.3001) - f(0.2999)) / 2e-4, rtol=1e-6)  # differences of step 1e-4


def test_writing_an_equation_as_a_layer_is_differentiable_in_the_viscosity() -> None:
    def f(epsilon):
        box = hj.Box([-1.0], [1.0])
        p = hj.Problem(hj.hamiltonians.Quadratic(1.0), epsilon, hj.initials.Quadratic(1.0), box, 0.5)
        return hj.theory.as_network(p)(jnp.array([0.3]))

    # u = x²/(2·2) + (ε/2) log 2 at t = 1/2, and f = x²/(4t) − u
    np.testing.assert_allclose(jax.grad(f)(0.1), -0.5 * np.log(2), rtol=1e-10)


def test_random_layer() -> None:
    layer = LSE.random(7, 3, temperature=0.2, time=2.0, key=jax.random.key(0))
    atoms = layer.atoms()
    assert atoms.y.shape == (7, 3)
    np.testing.assert_allclose(atoms.g, 0.0, atol=1e-14)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LSE(np.zeros(3), np.zeros(3), 0.1), r"`weights` must have shape \[N, d\]; got \(3,\).*W\[:, None\]"),
        (lambda: LSE(np.zeros((0, 2)), np.zeros(0), 0.1), r"`weights` must hold at least one unit"),
        (lambda: LSE(np.zeros((3, 2)), np.zeros(2), 0.1), r"`bias` must have shape \[N\] = \(3,\); got \(2,\)"),
        (lambda: LSE(np.zeros((3, 2)), np.zeros(3), 0.0), r"`temperature` must be > 0; got 0\.0"),
        (lambda: LSE(np.zeros((3, 2)), np.zeros(3), 0.1, time=-1.0), r"`time` must be > 0; got -1\.0"),
        (lambda: LSE(np.full((3, 2), np.nan), np.zeros(3), 0.1), r"`weights` must not contain NaN; 6 of 6"),
        (
            lambda: LSE.random(0, 2, temperature=0.1, key=jax.random.key(0)),
            r"`units` must be a whole number >= 1; got 0",
        ),
        (lambda: run(hj.hamiltonians.Eikonal()), r"An LSE network needs `hamiltonian` = Quadratic\(c\); got Eikonal"),
        (lambda: run(hj.hamiltonians.Quadratic(), d=3), r"`weights` take d = 2 inputs but the problem has dimension 3"),
        (lambda: run(hj.hamiltonians.Quadratic(), points=None), r"`points` is needed: LSE"),
        (lambda: LSE(np.ones((3, 2)), np.zeros(3), [0.1, 0.2]), r"`temperature` must be a number; got shape \(2,\)"),
        (lambda: LSE(np.ones((3, 2)), np.zeros(3), 0.1, time=[1.0, 2.0]), r"`time` must be a number"),
        (
            lambda: LSE(np.ones((3, 2)), np.zeros(3), 0.1)(np.ones((2, 1))),
            r"`x` must have shape \(2,\), one point.* got \(2, 1\)",
        ),
    ],
)
def test_bad_layers_and_problems_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def run(hamiltonian, d: int = 2, **points) -> hj.Solution:
    p = hj.Problem(hamiltonian, 0.1, hj.initials.Norm(), hj.Box([-1.0] * d, [1.0] * d), 1.0)
    return hj.solve(p, LSE(np.zeros((3, 2)), np.zeros(3), 0.1), [1.0], **{"points": np.zeros((1, d)), **points})


def test_a_layer_of_periodic_data_is_periodic_and_says_when_its_atoms_no_longer_suffice() -> None:
    problem = hj.Problem(
        hj.hamiltonians.Quadratic(1.5),
        0.1,
        hj.initials.Custom(lambda x: 0.2 * jnp.cos(jnp.pi * x[0])),
        hj.Torus([-1.0], [1.0]),
        0.4,
    )
    layer, x = hj.theory.as_network(problem), np.array([[0.2], [-0.9], [0.7]])
    exact = hj.solve(problem, HopfCole(), [0.2, 0.4], points=x)
    for periods in (0, 1, -4):
        ours = hj.solve(problem, layer, [0.2, 0.4], points=x + 2 * periods)
        np.testing.assert_allclose(ours.u, exact.u, rtol=0, atol=1e-13)
        np.testing.assert_allclose(ours.gradient, exact.gradient, rtol=0, atol=1e-12)
    assert np.max(ours.stats["outside"]) < 1e-12
    later = eqx.tree_at(lambda p: p.horizon, problem, np.array(40.0))
    with pytest.warns(hj.HJWarning, match="later time"):
        late = hj.solve(later, layer, [40.0], points=x)
    assert np.abs(late.u - hj.solve(later, HopfCole(), [40.0], points=x).u).max() > 1e-3
    assert np.max(late.stats["outside"]) > 1e-2
