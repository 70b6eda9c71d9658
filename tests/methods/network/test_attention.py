"""Attention over tokens of the data: the Hopf-Cole formula with exact weights, an operator that is learnt without."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import atoms_solution
from scipy.special import logsumexp, softmax

import hjsolve as hj

H = hj.hamiltonians
Attention = hj.methods.network.Attention
RNG = np.random.default_rng(0)
LINE = hj.Torus([0.0], [2 * np.pi])


def wave(shares, x):
    return shares[0] * jnp.cos(x[0]) + shares[1] * jnp.sin(2 * x[0])


def line(epsilon: float = 0.3, c: float = 0.7) -> hj.Problem:
    initial = hj.initials.Custom(eqx.Partial(wave, np.array([1.0, 0.3])))
    return hj.Problem(H.Quadratic(c), epsilon, initial, LINE, 1.0)


def test_forward_equals_numpy() -> None:
    heads, k, m, d = 3, 5, 11, 2
    Q, K = RNG.normal(size=(heads, k, d + 1)), RNG.normal(size=(heads, k, d + 3))
    y, g, x = RNG.normal(size=(m, d)), RNG.normal(size=m), RNG.normal(size=d)
    s, mix = np.array([0.5, 1.0, 3.0]), np.array([0.2, 0.5, 0.3])
    network = Attention(Q, K, s, y, mix=mix)
    features = np.column_stack([y, (y**2).sum(1), g, np.ones(m)])
    scores = s[:, None] * np.einsum("hk,jf,hkf->hj", Q @ np.append(x, 1.0), features, K)
    f, output = network.read(network.tokens(jnp.asarray(g)), jnp.asarray(x))
    np.testing.assert_allclose(f, (mix / s) @ logsumexp(scores, axis=1), rtol=1e-13)
    np.testing.assert_allclose(output, mix @ softmax(scores, axis=1) @ y, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("epsilon", "c"), [(0.3, 0.7), (0.05, 1.0)])
def test_no_training_is_needed(epsilon: float, c: float) -> None:
    """Against panels of quadrature; the attention output is ȳ = x − 2ct∇u, where characteristics began on average."""
    problem, ts = line(epsilon, c), np.array([0.3, 1.0])
    x = np.random.default_rng(1).uniform(0, 6, size=(9, 1))
    network = hj.theory.as_network(problem, family="attention", cells=128)
    solution = hj.solve(problem, network, ts, points=x)
    exact = hj.solve(problem, hj.methods.particle.HopfCole(), ts, points=x)
    np.testing.assert_allclose(solution.u, exact.u, rtol=0, atol=1e-13)
    np.testing.assert_allclose(solution.gradient, exact.gradient, rtol=0, atol=1e-12)
    start = x - 2 * c * ts[:, None, None] * exact.gradient
    np.testing.assert_allclose(solution.stats["output"], start, rtol=0, atol=1e-12)
    np.testing.assert_allclose(solution.equation.viscosity.epsilon, epsilon, rtol=1e-14)
    read = hj.theory.as_problem(network, initial=problem.initial, domain=LINE)
    np.testing.assert_allclose(read.hamiltonian.c, c, rtol=1e-14)
    np.testing.assert_allclose(read.viscosity.epsilon, epsilon, rtol=1e-14)


def test_no_digits_are_lost_far_from_zero() -> None:
    """The same problem 1000 further on, at a time so short that |x|²/4t is 1e8."""
    far = lambda shares, x: wave(shares, x - 1000.0)
    solved = []
    for data, start in ((wave, 0.0), (far, 1000.0)):
        initial = hj.initials.Custom(eqx.Partial(data, np.array([1.0, 0.3])))
        problem = hj.Problem(H.Quadratic(0.7), 0.3, initial, hj.Torus([start], [start + 2 * np.pi]), 2e-3)
        network = hj.theory.as_network(problem, family="attention", cells=256)
        solved.append(hj.solve(problem, network, [2e-3], points=start + np.linspace(0, 6, 9)[:, None]).u)
    np.testing.assert_allclose(*solved, rtol=0, atol=1e-11)  # 1000 ulp(1000)


@pytest.mark.parametrize(
    ("epsilon", "cells", "time", "flagged"),
    [(0.3, 32, 1.0, None), (0.01, 64, 1.0, None), (0.01, 16, 1.0, "effective_tokens"), (0.3, 32, 60.0, "outside")],
)
def test_tokens_that_do_not_suffice_are_flagged(epsilon: float, cells: int, time: float, flagged: str | None) -> None:
    """Too coarse for the kernel, or too few images for the time; the error is beyond 1e-3 θ exactly where flagged."""
    problem = eqx.tree_at(lambda p: p.horizon, line(epsilon), np.array(time))
    network = hj.theory.as_network(problem, family="attention", cells=cells, time=1.0)
    x = np.linspace(0, 6, 25)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hj.HJWarning)
        solution = hj.solve(problem, network, [time], points=x)
    exact = hj.solve(problem, hj.methods.particle.HopfCole(nodes=2000), [time], points=x)
    assert (np.max(np.abs(solution.u - exact.u)) > 1e-3 * epsilon / 0.7) == (flagged is not None)
    assert solution.result == (hj.RESULTS.successful if flagged is None else hj.RESULTS.under_resolved)
    assert (np.min(solution.stats["effective_tokens"]) < 2.2) == (flagged == "effective_tokens")
    assert (np.max(solution.stats["outside"]) > 1e-3) == (flagged == "outside")


def test_an_axis_does_not_pay_for_another() -> None:
    initial = hj.initials.Custom(lambda x: 0.5 * jnp.sin(x[0]) + 0.5 * jnp.cos(x[1]))
    plane = hj.Problem(H.Quadratic(), 0.02, initial, hj.Torus([0.0, 0.0], [2 * np.pi] * 2), 1.0)
    x = np.random.default_rng(0).uniform(0, 6, size=(4, 2))
    counted = []
    for cells in ((96, 48), (96, 8), (8, 96)):
        network = hj.theory.as_network(plane, family="attention", cells=cells)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", hj.HJWarning)
            counted.append(float(np.min(hj.solve(plane, network, [1.0], points=x).stats["effective_tokens"])))
    assert counted[0] > 3 > 2 > max(counted[1:])


def test_what_leaves_a_box_is_missed() -> None:
    """Tokens on [−3, 3] alone: of a bowl all that matters, of a wave not; its error is .8."""
    box, epsilon, cells = hj.Box([-3.0], [3.0]), 0.1, 96
    places = np.linspace(-3, 3, cells + 1)[:, None]
    key = np.zeros((1, 2, 4))
    constant = epsilon * (np.log(6 / cells) - np.log(4 * np.pi * epsilon) / 2)
    key[0, 0, 0], key[0, 1, 1:] = 0.5, (-0.25, -1.0, constant)
    network = Attention(np.eye(2)[None], key, 1 / epsilon, places)
    x = np.linspace(-3, 3, 13)[:, None]
    for g, missed in ((lambda x: x[0] ** 2 / 2, False), (lambda x: jnp.sin(x[0]), True)):
        problem = hj.Problem(H.Quadratic(), epsilon, hj.initials.Custom(g), box, 1.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", hj.HJWarning)
            solution = hj.solve(problem, network, [1.0], points=x)
        exact = hj.solve(problem, hj.methods.particle.HopfCole(), [1.0], points=x)
        assert (np.max(np.abs(solution.u - exact.u)) > 0.5) == missed
        assert (np.max(solution.stats["outside"]) == 1) == missed
        assert (solution.result == hj.RESULTS.under_resolved) == missed


def test_a_broad_head_does_not_pay_for_a_sharp_one() -> None:
    problem = line(0.1, 1.0)
    broad, sharp = (hj.theory.as_network(line(e, 1.0), family="attention", cells=32) for e in (0.1, 0.0005))
    both = [np.concatenate([getattr(n, name) for n in (broad, sharp)]) for name in ("query", "key", "scale")]
    period = problem.domain.extent
    network = Attention(*both, broad.places, mix=[0.5, 0.5], period=period, images=2, centre=broad.centre)
    with pytest.warns(hj.HJWarning, match="attends to single tokens"):
        solution = hj.solve(problem, network, [1.0], points=np.linspace(0, 6, 9)[:, None])
    assert np.min(solution.stats["effective_tokens"]) < 1.5


def test_no_flag_where_shares_underflow() -> None:
    """In float32, far tokens have no share at all."""
    with jax.enable_x64(False):
        problem = line(0.02, 1.0)
        network = hj.theory.as_network(problem, family="attention", cells=128)
        solution = hj.solve(problem, network, [1.0], points=np.linspace(0, 6, 25)[:, None])
    assert solution.u.dtype == np.float32
    assert solution.result == hj.RESULTS.successful
    assert np.max(solution.stats["outside"]) < 1e-6


def test_images_without_end_are_refused() -> None:
    initial = hj.initials.Custom(lambda x: jnp.cos(x[0]) + jnp.cos(x[1]))
    plane = hj.Problem(H.Quadratic(), 1.0, initial, hj.Torus([0.0, 0.0], [1.0, 1.0]), 100.0)
    with pytest.raises(ValueError, match=r"at most 4194304 tokens; got 16386304, \(126, 126\) whole periods .*='ssm'"):
        hj.theory.as_network(plane, family="attention", cells=16)


def test_what_rises_with_the_data_is_no_solution() -> None:
    network = hj.theory.as_network(line(), family="attention", cells=16)
    upside = eqx.tree_at(lambda n: n.key, network, -network.key)
    with pytest.raises(ValueError, match=r"falls where the data rise.* got c = -0\.7"):
        hj.theory.as_problem(upside, initial=line().initial, domain=LINE)


def test_atoms_are_the_tokens() -> None:
    y, g, omega, x = RNG.normal(size=(9, 2)), RNG.normal(size=9), RNG.uniform(0.5, 2, size=9), RNG.normal(size=(5, 2))
    initial = hj.initials.Atoms(y, g, omega)
    problem = hj.Problem(H.Quadratic(0.6), 0.3, initial, hj.Box([-2.0] * 2, [2.0] * 2), 2.0)
    solution = hj.solve(problem, hj.theory.as_network(problem, family="attention"), [0.4, 2.0], points=x)
    for k, t in enumerate((0.4, 2.0)):
        expected = atoms_solution(x, t, y, g, 0.3, 0.6, omega)
        np.testing.assert_allclose(solution.u[k], expected, rtol=0, atol=1e-12)


def test_viscosity_is_how_the_output_bends_in_the_data() -> None:
    """A head that sees no data has no part, whatever its scale; two that do agree with differences of the network."""
    exact = hj.theory.as_network(line(0.3, 1.0), family="attention", cells=64)
    blind = np.array(exact.key)
    blind[..., -2] = 0.0
    query, key = np.concatenate([exact.query] * 2), np.concatenate([exact.key, blind])
    network = Attention(query, key, [1 / 0.3, 0.01], exact.places, mix=[1.0, 0.4])
    np.testing.assert_allclose(network.viscosity, 0.3, rtol=1e-13)
    gains, s, mix = np.array([0.5, 2.0]), np.array([3.0, 0.7]), np.array([0.6, 0.9])
    key = np.zeros((2, 1, 4))
    key[:, 0, 2] = gains
    two = Attention(np.tile([0.0, 1.0], (2, 1, 1)), key, s, np.zeros((2, 1)), mix=mix)
    f = lambda g: two.read(two.tokens(jnp.asarray(g)), jnp.zeros(1))[0]
    h = 1e-3
    bend = (f([h, -h]) + f([-h, h]) - 2 * f([0.0, 0.0])) / h**2  # of variance 1
    np.testing.assert_allclose(two.viscosity, (mix @ gains) ** 2 / bend, rtol=1e-5)


def test_random_scores_are_distances() -> None:
    """In 1-D exactly: −|W(x − y)|²/2 and a term of x alone, once the data are 0 and K's constant is taken off."""
    network = Attention.random(hj.Torus([0.0], [2.0]), 8, scale=1.0, width=5, key=jax.random.key(0))
    x, y = 0.3, np.linspace(-1, 1, 7)
    Q, K = np.array(network.query)[0], np.array(network.key)[0]
    scores = (Q @ [x, 1.0]) @ (K[:, :2] @ np.stack([y, y**2]))
    seen = scores - x * (Q[:, 0] @ K[:, 1]) * y**2 - (Q[:, 1] @ K[:, 0]) * y  # what random directions add
    near = np.sum(Q[:, 0] ** 2)
    np.testing.assert_allclose(seen, near * x * y - near * y**2 / 2, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_the_network_takes_any_data_at_its_places() -> None:
    """Weights for one problem, data of another."""
    problem = line(0.3, 1.0)
    network = hj.theory.as_network(problem, family="attention", cells=64)
    other = eqx.tree_at(lambda p: p.initial.function.args[0], problem, np.array([-0.4, 0.9]))
    u = network(jax.vmap(other.initial)(network.places))
    exact = hj.solve(other, hj.methods.particle.HopfCole(), [1.0], points=network.places)
    np.testing.assert_allclose(u, exact.u[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: one(query=np.ones((1, 2, 3))), r"`query` must have shape \[heads, k, 2\] for places of dimension 1"),
        (
            lambda: one(key=np.ones((1, 3, 4))),
            r"`query` and `key` must agree in heads and k; got \(1, 2\) and \(1, 3\)",
        ),
        (lambda: one(scale=0.0), r"`scale` must be > 0; got 0"),
        (lambda: one(images=1), r"`period` is needed for `images`"),
        (lambda: one().check(line()), r"`images` of the network must be >= 1 on periodic axes .* got 0 on axis 0"),
        (lambda: one(images=1, period=[3.0]).check(line()), r"`period` of the network is \[3\.\] but the domain's"),
        (lambda: hj.theory.as_network(line(), family="attention"), r"`cells` is needed for family='attention'"),
        (lambda: hj.theory.as_network(line(), family="lse", cells=3), r"`cells` belongs to family="),
        (lambda: hj.theory.as_network(line(), family="lstm"), r"`family` must be one of 'lse', 'attention', 'ssm'"),
        (lambda: hj.theory.as_network(line(0.0), family="attention", cells=9), r"`viscosity` must be > 0"),
        (lambda: hj.theory.as_network(line(), family="attention", cells=0), r"`cells` must be >= 1; got 0"),
    ],
)
def test_what_it_cannot_do_is_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def one(query=None, key=None, scale=1.0, **options) -> Attention:
    query = np.ones((1, 2, 2)) if query is None else query
    return Attention(query, np.ones((1, 2, 4)) if key is None else key, scale, np.zeros((3, 1)), **options)
