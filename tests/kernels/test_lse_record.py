"""The public call: every output against SciPy, mpmath or differences of them; its refusals and its precision."""

import functools
import warnings

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from helpers import atoms_solution, dense_scores
from scipy.special import logsumexp, softmax

import hjsolve as hj
from hjsolve.kernels.lse_outputs import INVISCID, LOCAL, OUTPUTS

RNG = np.random.default_rng(0)
X, Y, G = RNG.normal(size=(7, 2)), RNG.normal(size=(140, 2)) + 0.5, RNG.normal(size=140)
OMEGA, VALUES = RNG.uniform(0.5, 2.0, size=140), RNG.normal(size=(140, 3))
T, EPS, C = 0.7, 0.3, 2.0
POINT = X[:1]
lse = hj.kernels.lse


def plain(x=X, t=T, eps=EPS, g=G):
    """u_N by SciPy."""
    return atoms_solution(x, t, Y, g, eps, C, OMEGA)


def weights(x=X, eps=EPS):
    """Gibbs weights by SciPy."""
    return softmax(np.log(OMEGA) - C * -dense_scores(x, Y, -G, 1 / (4 * C * T)) / eps, axis=1)


@pytest.fixture(scope="module")
def record():
    return lse(X, Y, G, t=T, eps=EPS, c=C, weights=OMEGA, values=VALUES, k=3, outputs=OUTPUTS)


def test_what_was_not_asked_for_is_none() -> None:
    found = lse(X, Y, G, t=T, eps=EPS, outputs=("u",))
    assert found.u.shape == (7,)
    assert all(getattr(found, name) is None for name in OUTPUTS if name != "u")


def test_value_and_averages(record) -> None:
    pi = weights()
    expected = {
        "u": plain(),
        "barycentre": pi @ Y,
        "gradient": (X - pi @ Y) / (2 * C * T),
        "average": pi @ VALUES,
        "entropy": -(pi * np.log(pi)).sum(1),
        "relative_entropy": -(pi * np.log(pi / OMEGA)).sum(1),
    }
    for name, value in expected.items():
        # scores reach 100, 1e-14 each; averages and entropies are of numbers <= 10
        np.testing.assert_allclose(getattr(record, name), value, rtol=0, atol=2e-13, err_msg=name)


def test_derivatives_equal_differences_of_the_value(record) -> None:
    # fourth-order differences of step 1e-3: truncation and round-off near 1e-11, second differences 1e-8
    np.testing.assert_allclose(record.d_t, central(lambda t: plain(t=t), T, 1e-3), rtol=0, atol=1e-9)
    np.testing.assert_allclose(record.d_eps, central(lambda e: plain(eps=e), EPS, 1e-3), rtol=0, atol=1e-9)
    for i, axis in enumerate(np.eye(2)):
        slope = central(lambda s, axis=axis: plain(X + s * axis), 0.0, 1e-3)
        np.testing.assert_allclose(record.gradient[:, i], slope, rtol=0, atol=1e-9)
        pi = lambda s, axis=axis: (X + s * axis - weights(X + s * axis) @ Y) / (2 * C * T)
        np.testing.assert_allclose(record.hessian[:, i], central(pi, 0.0, 1e-3), rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.trace(record.hessian, axis1=1, axis2=2), record.laplacian, rtol=0, atol=1e-11)


def central(f, a, h):
    return (8 * (f(a + h) - f(a - h)) - (f(a + 2 * h) - f(a - 2 * h))) / (12 * h)


def test_heaviest_atoms(record) -> None:
    pi = weights()
    order = np.argsort(-pi, axis=1)[:, :3]
    np.testing.assert_array_equal(record.top_k.indices, order)
    np.testing.assert_allclose(record.top_k.weights, np.take_along_axis(pi, order, axis=1), rtol=1e-12)
    single = lse(X, Y, G, t=T, eps=EPS, c=C, weights=OMEGA, outputs=("top_k",))
    np.testing.assert_array_equal(single.top_k.indices, order[:, :1])


def test_backends_agree() -> None:
    ask = functools.partial(lse, X, Y, G, t=T, eps=EPS, weights=OMEGA, values=VALUES, k=2, outputs=OUTPUTS)
    for a, b in zip(jax.tree.leaves(ask()), jax.tree.leaves(ask(backend="reference")), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    small = ask(queries_per_block=2, atoms_per_block=9)
    np.testing.assert_allclose(small.hessian, ask().hessian, rtol=0, atol=1e-12)


def test_log_weights_are_the_logarithms_of_weights(record) -> None:
    logs = lse(X, Y, G, t=T, eps=EPS, c=C, log_weights=np.log(OMEGA), values=VALUES, k=3, outputs=OUTPUTS)
    np.testing.assert_allclose(logs.u, record.u, rtol=0, atol=1e-14)


@pytest.mark.parametrize("eps", [0.5, 0.05, 0.01])
def test_entropy_and_its_slope_are_exact_relative_to_themselves(eps: float) -> None:
    """One atom decides; S falls to 1e-200 while every weight but one vanishes. Two atoms share second place."""
    y, g = np.array([[0.0], [1.0], [1.0], [3.0]]), np.array([0.0, 5.0, 5.0, 7.0])

    def exact(x):
        energies = [mp.mpf(float(a)) + (x - mp.mpf(float(b))) ** 2 / 4 for a, b in zip(g, y[:, 0], strict=True)]
        terms = [mp.exp(-e / mp.mpf(eps)) for e in energies]
        total = mp.fsum(terms)
        return -mp.fsum(w / total * mp.log(w / total) for w in terms)

    with mp.workdps(400):
        value, slope = exact(mp.mpf(0.25)), mp.diff(exact, mp.mpf(0.25))
        ask = lambda x: lse(x[None, None], y, g, t=1.0, eps=eps, outputs=("entropy",)).entropy[0]
        found, found_slope = jax.value_and_grad(ask)(0.25)
        # exponents up to 500 round by 1e-13, and the weights with them
        assert abs(mp.mpf(float(found)) / value - 1) < 2e-13
        assert abs(mp.mpf(float(found_slope)) / slope - 1) < 2e-12


def test_entropy_of_equal_atoms_is_the_logarithm_of_their_number() -> None:
    for n in (2, 70):
        found = lse(POINT, np.zeros((n, 2)), np.zeros(n), t=1.0, eps=0.1, outputs=("entropy", "u"))
        np.testing.assert_allclose(found.entropy, np.log(n), rtol=0, atol=1e-14)


def test_outputs_are_differentiable_in_all_arguments() -> None:
    """Against the table's own autodiff, which the reference backend is not: SciPy's formulas in jnp."""
    small = slice(0, 9)
    args = tuple(map(jnp.asarray, (POINT, Y[small], G[small], T, EPS, C, OMEGA[small], VALUES[small])))
    names = ("u", "gradient", "entropy", "hessian", "d_t", "d_eps", "average", "top_k")
    curved = lambda outputs: {name: jnp.sum(jnp.sin(jnp.ravel(a))) for name, a in outputs.items()}

    def mine(x, y, g, t, eps, c, w, v):
        found = lse(x, y, g, t=t, eps=eps, c=c, weights=w, values=v, k=2, outputs=names)
        return curved({n: found.top_k.weights if n == "top_k" else getattr(found, n) for n in names})

    def other(x, y, g, t, eps, c, w, v):
        def u(x, t, eps):
            energies = g + jnp.sum((x - y) ** 2, axis=1) / (4 * c * t)
            return -eps / c * jax.nn.logsumexp(jnp.log(w) - c * energies / eps)

        energies = g + jnp.sum((x[0] - y) ** 2, axis=1) / (4 * c * t)
        pi = jax.nn.softmax(jnp.log(w) - c * energies / eps)
        result = {
            "u": u(x[0], t, eps),
            "gradient": jax.grad(u)(x[0], t, eps),
            "hessian": jax.hessian(u)(x[0], t, eps),
            "d_t": jax.grad(u, 1)(x[0], t, eps),
            "d_eps": jax.grad(u, 2)(x[0], t, eps),
            "entropy": -jnp.sum(pi * jnp.log(pi)),
            "average": pi @ v,
            "top_k": jax.lax.top_k(pi, 2)[0],
        }
        return curved(result)

    every = tuple(range(8))
    found, expected = (jax.jit(jax.jacrev(f, every))(*args) for f in (mine, other))
    for name in names:
        for position, (a, b) in enumerate(zip(found[name], expected[name], strict=True)):
            scale = max(1.0, float(jnp.abs(b).max()))
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * scale, err_msg=f"{name} in {position}")


def test_zero_viscosity_is_the_first_minimising_atom() -> None:
    y, g = np.concatenate([Y, Y]), np.concatenate([G, G])  # every atom twice
    found = lse(X, y, g, t=T, eps=0.0, c=C, values=np.concatenate([VALUES, VALUES]), outputs=INVISCID, k=2)
    energies = -dense_scores(X, Y, -G, 1 / (4 * C * T))
    first = energies.argmin(1)
    np.testing.assert_allclose(found.u, energies.min(1), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(found.barycentre, Y[first])
    np.testing.assert_array_equal(found.average, VALUES[first])
    np.testing.assert_allclose(found.gradient, (X - Y[first]) / (2 * C * T), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(found.top_k.indices, np.stack([first, first + 140], axis=1))
    np.testing.assert_array_equal(found.top_k.weights, np.tile([1.0, 0.0], (7, 1)))


def test_a_traced_viscosity_may_be_zero() -> None:
    ask = lambda e: lse(X, Y, G, t=T, eps=e, c=C, weights=OMEGA, outputs=("u", "gradient", "entropy"))
    found = jax.jit(jax.vmap(ask))(jnp.asarray([0.0, EPS]))
    np.testing.assert_allclose(found.u[0], (-dense_scores(X, Y, -G, 1 / (4 * C * T))).min(1), rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.u[1], plain(), rtol=0, atol=1e-13)
    assert np.isnan(found.entropy[0]).all()
    assert np.isfinite(found.entropy[1]).all()
    slopes = jax.jit(jax.vmap(jax.grad(lambda e: ask(e).u.sum())))(jnp.asarray([0.0, EPS]))
    expected = central(lambda e: plain(eps=e).sum(), EPS, 1e-3)
    np.testing.assert_allclose(slopes, [0.0, expected], rtol=0, atol=1e-8)  # differences, as above


def test_an_epsilon_for_every_atom() -> None:
    """Equal ones are one ε; different ones give the scores as documented, and their gradient."""
    ask = functools.partial(lse, X, Y, G, t=T, c=C, weights=OMEGA, values=VALUES, k=2, outputs=LOCAL)
    equal, one = ask(eps=np.full(140, EPS)), ask(eps=EPS)
    for a, b in zip(jax.tree.leaves(equal), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    eps = np.linspace(0.1, 0.6, 140)

    def value(x):
        energies = -dense_scores(x, Y, -G, 1 / (4 * C * T))
        return -eps.mean() / C * logsumexp(np.log(OMEGA) - C * energies / eps, axis=1)

    found = ask(eps=eps)
    np.testing.assert_allclose(found.u, value(X), rtol=0, atol=1e-13)
    for i, axis in enumerate(np.eye(2)):
        slope = central(lambda s, axis=axis: value(X + s * axis), 0.0, 1e-3)
        np.testing.assert_allclose(found.gradient[:, i], slope, rtol=0, atol=1e-9)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_extreme_ratio_of_data_to_viscosity(precision: type) -> None:
    """osc(g)/ε = 1e6: u keeps its ulps in either precision, everything stays finite, and float32 is told of."""
    g = 1e3 * G / np.ptp(G)
    arrays = [a.astype(precision) for a in (X, Y, g)]
    with jax.enable_x64(precision is np.float64), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = lse(*arrays, t=T, eps=1e-3, outputs=("u", "gradient", "entropy", "d_t"))
    x, y, g = (a.astype(np.float64) for a in arrays)
    expected = atoms_solution(x, T, y, g, 1e-3)
    energies = -dense_scores(x, y, -g, 1 / (4 * T))
    assert np.abs(found.u - expected).max() <= 8 * np.finfo(precision).eps * np.abs(energies).max()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    told = [w for w in caught if issubclass(w.category, hj.HJWarning)]
    assert len(told) == (precision is np.float32)
    if told:
        assert "Use float64" in str(told[0].message)


def test_gradient_error_in_float32_is_that_of_the_value_over_epsilon() -> None:
    arrays = [a.astype(np.float32) for a in (X + 100, Y + 100, G)]
    for eps in (1.0, 1e-1, 1e-2):
        exact = lse(*(a.astype(np.float64) for a in arrays), t=T, eps=np.float64(np.float32(eps)))
        with jax.enable_x64(False):
            found = lse(*arrays, t=T, eps=eps)
        energies = 8.0  # g and |x−y|²/(4t) of the clouds
        bound = 4 * np.finfo(np.float32).eps * energies / eps * np.ptp(Y) / (2 * T)
        assert np.abs(found.gradient - exact.gradient).max() <= bound + 2e-6  # and a few ulp of the gradient itself


def test_integers_and_mixed_precision() -> None:
    x, y, g = np.array([[0], [2]]), np.array([[0], [1], [3]]), [1, 0, 2]
    found = lse(x, y, g, t=1, eps=1)
    np.testing.assert_allclose(found.u, atoms_solution(x.astype(float), 1.0, y.astype(float), np.array(g), 1.0))
    mixed = lse(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float64), jnp.asarray(g), t=1, eps=1)
    assert mixed.u.dtype == jnp.float64
    single = lse(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), jnp.asarray(g, jnp.float32), t=1.0, eps=1.0)
    assert single.u.dtype == jnp.float32  # Python numbers do not raise the precision


def test_one_atom_and_duplicates() -> None:
    one = lse(X, Y[:1], G[:1], t=T, eps=EPS, outputs=("u", "gradient", "entropy", "hessian", "top_k"))
    np.testing.assert_allclose(one.u, G[0] + ((X - Y[0]) ** 2).sum(1) / (4 * T), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(one.entropy, 0.0)
    np.testing.assert_allclose(one.hessian, np.tile(np.eye(2) / (2 * T), (7, 1, 1)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(one.top_k.weights, 1.0, rtol=1e-14)  # the exponential of a rounded 0
    twice = lse(X, np.tile(Y, (2, 1)), np.tile(G, 2), t=T, eps=EPS)
    np.testing.assert_allclose(twice.u, lse(X, Y, G, t=T, eps=EPS).u - EPS * np.log(2), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": -0.1}, r"`eps` must be >= 0; got -0\.1\. Use 0 for Hopf-Lax"),
        ({"t": 0.0}, r"`t` must be > 0; got 0"),
        ({"c": -1.0}, r"`c` must be > 0"),
        ({"t": [0.1, 0.2]}, r"`t` must be one number.*vmap"),
        ({"eps": np.ones(3)}, r"`eps` must be one number or have shape \[N\] = \(140,\)"),
        ({"eps": np.zeros(140)}, r"`eps` must be > 0.*Hopf-Lax"),
        ({"y": np.zeros((0, 2)), "g": np.zeros(0)}, r"`y` must hold at least one atom"),
        ({"x": np.zeros((0, 2))}, r"`x` must hold at least one query"),
        ({"x": np.zeros(2)}, r"`x` must have shape \[m, d\]; got \(2,\)"),
        ({"x": np.zeros((3, 5))}, r"same number of columns d; got 5 and 2"),
        ({"g": np.zeros(3)}, r"`g` must have shape \[N\] = \(140,\)"),
        ({"g": np.where(np.arange(140) == 3, np.nan, 0.0)}, r"`g` must not contain NaN; 1 of 140"),
        ({"x": X * (1 + 0j)}, r"`x` must be real"),
        ({"weights": -OMEGA}, r"`weights` must be > 0.*Leave out"),
        ({"weights": OMEGA, "log_weights": OMEGA}, r"`weights` or `log_weights`, not both"),
        ({"outputs": ("u", "slope")}, r"`outputs` must be among u, gradient.*'slope'"),
        ({"outputs": ()}, r"at least one"),
        ({"outputs": "average"}, r"`values` and the output 'average' go together"),
        ({"values": VALUES}, r"go together"),
        ({"values": VALUES[:5], "outputs": "average"}, r"`values` must have N = 140 rows; got 5"),
        ({"outputs": "hessian", "eps": np.ones(140)}, r"hessian have no meaning for `eps` of shape"),
        ({"outputs": ("u", "entropy"), "eps": 0.0}, r"entropy have no meaning at `eps` = 0"),
        ({"outputs": "top_k", "k": 141}, r"`k` must be at most N = 140; got 141"),
        ({"outputs": "top_k", "k": 0}, r"`k` must be a whole number >= 1"),
        ({"backend": "cuda"}, r"`backend` must be among auto, reference, blocked, cells, pallas; got 'cuda'"),
        ({"atoms_per_block": 0}, r"`atoms_per_block` must be a whole number >= 1"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict, message: str) -> None:
    arguments = {"x": X, "y": Y, "g": G, "t": T, "eps": EPS} | change
    with pytest.raises(ValueError, match=message):
        lse(arguments.pop("x"), arguments.pop("y"), arguments.pop("g"), **arguments)


def test_what_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="`y` must be a number or an array of numbers"):
        lse(X, "atoms", G, t=T, eps=EPS)


def test_values_do_not_recompile() -> None:
    compiled: list[str] = []
    listen = lambda name, seconds, **_: compiled.append(name) if "backend_compile" in name else None
    ask = lambda eps: lse(X, Y, G, t=T, eps=eps, outputs=("u", "gradient"))
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.clear_caches()
        ask(0.15)
        assert compiled
        compiled.clear()
        ask(0.2)
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
