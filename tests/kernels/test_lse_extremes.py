"""Where float arithmetic ends: exponents beyond its digits, atoms that are not there, numbers that are none."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import dense_scores
from scipy.special import softmax

import hjsolve as hj

lse = hj.kernels.lse
RNG = np.random.default_rng(0)
X, Y, G = RNG.normal(size=(5, 2)), RNG.normal(size=(9, 2)), RNG.normal(size=9)
HERE = np.isin(np.arange(9), [2, 5], invert=True)
ABSENT = np.where(HERE, G, np.inf)
OUTPUTS = ("u", "gradient", "average", "entropy", "relative_entropy", "laplacian", "hessian", "d_eps", "d_t", "top_k")
BACKENDS = {
    "blocked": {"queries_per_block": 4, "atoms_per_block": 4},
    "reference": {},
    "cells": {"truncation": 1e-6},
    "pallas": {"interpret": True, "queries_per_block": 4, "atoms_per_block": 4},
}
CASES = [(name, dtype) for name in ("blocked", "cells") for dtype in (np.float32, np.float64)]


def deciding(eps: float, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E_j − (ε/c) log ω_j at c = 1, t = 1, and its minimiser."""
    energies = -dense_scores(X, Y, -1e3 * G, 0.25) - eps * logs
    return energies, energies.argmin(1)


@pytest.mark.parametrize(("backend", "dtype"), [("pallas", np.float32), ("reference", np.float64), *CASES])
def test_exponents_beyond_the_digits_are_the_inviscid_limit(backend: str, dtype: type) -> None:
    """ε log N is below an ulp of E, and rounding of a score computed twice is above the reach of exp.

    In u, its gradient and its slopes; ε is traced, so that all ratios share a program.
    """
    ulp, logs = np.finfo(dtype).eps, RNG.normal(size=9)

    def f(x, g, eps):
        given = {"eps": eps, "log_weights": logs.astype(dtype), "backend": backend} | BACKENDS[backend]
        found = lse(x, np.asarray(Y, dtype), g, t=1.0, **given)
        return jnp.sum(found.u), found

    with jax.enable_x64(dtype is np.float64):
        program = jax.jit(jax.value_and_grad(f, (0, 1, 2), has_aux=True))
        for ratio in (0.3 / ulp, 1e5 / ulp, 1e8 / ulp, 1e12 / ulp, np.inf):
            eps = 1e3 / ratio
            energies, top = deciding(eps, logs)
            (_, found), slopes = program(*(np.asarray(a, dtype) for a in (X, 1e3 * G, eps)))
            assert all(np.isfinite(slope).all() for slope in slopes)
            np.testing.assert_allclose(found.u, energies.min(1), rtol=0, atol=8 * ulp * 3e3)
            if ratio < 1 / ulp:  # the lowest energies are not hidden yet
                continue
            np.testing.assert_allclose(found.gradient, (X - Y[top]) / 2, rtol=0, atol=8 * ulp)
            np.testing.assert_allclose(slopes[0], (X - Y[top]) / 2, rtol=0, atol=8 * ulp)
            np.testing.assert_array_equal(slopes[1], np.bincount(top, minlength=9))
            np.testing.assert_allclose(slopes[2], -logs[top].sum() if eps else 0.0, rtol=8 * ulp)


def test_all_outputs_beyond_the_digits_are_those_of_one_atom() -> None:
    """At ε = 0, traced, there is no limit of entropies and second derivatives."""
    logs = RNG.normal(size=9)
    given = {"log_weights": logs, "values": Y, "outputs": OUTPUTS, "k": 2}
    program = jax.jit(lambda eps: lse(X, Y, 1e3 * G, t=1.0, eps=eps, **given, **BACKENDS["blocked"]))
    for eps in (1e-18, 1e-60):
        energies, top = deciding(eps, logs)
        found = program(eps)
        np.testing.assert_array_equal(found.average, Y[top])
        np.testing.assert_array_equal(found.top_k.indices, np.argsort(energies, axis=1)[:, :2])
        np.testing.assert_array_equal(found.top_k.weights, [[1.0, 0.0]] * 5)
        np.testing.assert_array_equal(found.entropy, 0.0)
        np.testing.assert_array_equal(found.relative_entropy, logs[top])
        np.testing.assert_array_equal(found.d_eps, -logs[top])
        np.testing.assert_array_equal(found.laplacian, 1.0)
        np.testing.assert_array_equal(found.hessian, np.broadcast_to(np.eye(2) / 2, (5, 2, 2)))
        np.testing.assert_allclose(found.d_t, -((X - Y[top]) ** 2).sum(1) / 4, rtol=1e-14)
    found = program(0.0)
    np.testing.assert_array_equal(found.average, Y[top])
    assert all(np.isnan(getattr(found, name)).all() for name in OUTPUTS[3:-1])


@pytest.mark.parametrize("d", [2, 12])
def test_called_eagerly_only_queries_whose_weights_are_hidden_take_the_limit(d: int) -> None:
    """Queries near two equal atoms keep both, those far away take one: here ε is known, and no program is traced."""
    y = np.zeros((3, d), np.float32)
    y[:, 0] = -1e-3, 1e-3, 50.0
    x = np.zeros((4, d), np.float32)
    x[:, 0] = 0.0, 1e-3, -2e3, 3e3
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("ignore", hj.HJWarning)
        found = lse(x, y, np.zeros(3, np.float32), t=1.0, eps=1e-2, outputs=("u", "entropy", "barycentre"))
    assert abs(found.entropy[0] - np.log(2)) < 1e-3
    assert (found.entropy[2:] == 0).all()
    np.testing.assert_allclose(found.barycentre[2:, 0], [-1e-3, 50.0], rtol=1e-3)
    np.testing.assert_allclose(found.u[2:], ((x[2:] - np.float32(y[[0, 2]])) ** 2).sum(1) / 4, rtol=1e-6)


def test_a_batch_of_problems_is_each_of_them() -> None:
    """With hidden weights in some, under vmap and grad, over queries and over ε (0 among them)."""
    epsilons = jnp.asarray([0.0, 1e-22, 0.3])

    def u(x, eps):
        return lse(x[None], Y, G, t=1.0, eps=eps, outputs="u").u[0]

    slope = jax.jit(jax.vmap(jax.grad(u), (0, None)))
    table = jax.jit(jax.vmap(jax.vmap(jax.grad(u), (0, None)), (None, 0)))(X, epsilons)
    for eps, row in zip(epsilons, table, strict=True):
        np.testing.assert_allclose(slope(X, eps), row, rtol=0, atol=1e-13)
    top = np.argmax(dense_scores(X, Y, -G, 0.25), axis=1)
    np.testing.assert_allclose(table[:2], np.broadcast_to((X - Y[top]) / 2, (2, 5, 2)), rtol=0, atol=1e-13)
    np.testing.assert_allclose(table[2], (X - softmax(dense_scores(X, Y, -G, 0.25) / 0.3, axis=1) @ Y) / 2, atol=1e-13)


def test_derivatives_of_second_order_beyond_the_digits_are_those_of_the_energy() -> None:
    """In all of x, y, g, t, ε and c at once; the first atom decides."""
    args = tuple(map(jnp.asarray, (X[:1], Y[:3], ABSENT[:3], 0.7, 1e-22, 2.0)))
    along = tuple(map(jnp.ones_like, args))

    def u(x, y, g, t, eps, c):
        return jnp.sum(lse(x, y, g, t=t, eps=eps, c=c, outputs="u").u)

    top = int(np.argmin(ABSENT[:3] + ((X[0] - Y[:3]) ** 2).sum(1) / 5.6))

    def energy(x, y, g, t, eps, c):
        return g[top] + jnp.sum((x[0] - y[top]) ** 2) / (4 * c * t)

    every = tuple(range(6))
    found, expected = (
        jax.jit(lambda f=f: jax.jvp(lambda *a: jax.grad(f, every)(*a), args, along))() for f in (u, energy)
    )
    for mine, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-14)


def test_absent_atoms_add_nothing() -> None:
    """g = inf or weight 0, against energies so high that their weights underflow: values and all slopes."""
    names = ("gradient", "relative_entropy")
    gone = ~HERE | (np.arange(9) == 7)
    logs = np.where(np.arange(9) == 7, -np.inf, RNG.normal(size=9))

    def f(*args):
        x, y, g, t, eps, c, w = args
        found = lse(x, y, g, t=t, eps=eps, c=c, log_weights=w, outputs=names, **BACKENDS["blocked"])
        return sum(jnp.sum(jnp.sin(o)) for o in jax.tree.leaves(found)), found

    program = jax.jit(jax.value_and_grad(f, (0, 1, 2, 4, 6), has_aux=True))
    found = program(X, Y, ABSENT, 0.7, jnp.asarray(0.3), 2.0, logs)
    high = program(X, Y, np.where(gone, 1e4, G), 0.7, jnp.asarray(0.3), 2.0, np.where(gone, 0.0, logs))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(high), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)  # slopes reach 1e2
    kept = softmax(logs - 2.0 * -dense_scores(X, Y, -ABSENT, 1 / 5.6) / 0.3, axis=1)
    np.testing.assert_allclose(found[0][1].gradient, (X - kept @ Y) / 2.8, rtol=0, atol=1e-13)


def test_entropies_keep_their_bounds_in_float32() -> None:
    """Far from equal atoms rounding exceeds log N: Shannon's by N, the relative one by Σω."""
    y = np.zeros((7, 2), np.float32)
    w = np.linspace(1, 3, 7, dtype=np.float32)
    x = RNG.normal(size=(200, 2)).astype(np.float32) * 100
    with jax.enable_x64(False):
        ask = functools.partial(lse, y=y, g=np.zeros(7, np.float32), t=1.0, eps=0.1)
        # inside a jit nothing warns of the weights' error
        plain = jax.jit(lambda x: ask(x, outputs="entropy").entropy)(x)
        weighted = jax.jit(lambda x: ask(x, weights=w, outputs="relative_entropy").relative_entropy)(x)
    assert (plain >= 0).all()
    assert (plain <= np.float32(np.log(7))).all()
    assert (weighted <= np.log(w.sum()) * (1 + 2e-7)).all()


def test_half_precision_and_integers_are_computed_in_single() -> None:
    x, y = RNG.integers(-3, 3, (4, 2)), RNG.integers(-3, 3, (6, 2))
    g = np.arange(6)
    with jax.enable_x64(False):
        exact = lse(x, y, g, t=1.0, eps=0.5).u
        for dtype in (jnp.float16, jnp.bfloat16):
            found = lse(*(jnp.asarray(a, dtype) for a in (x, y, g)), t=1.0, eps=0.5).u
            assert found.dtype == jnp.float32
            np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"x": X + np.inf}, ValueError, r"`x` must be finite; got .*Leave out queries"),
        ({"y": Y + np.inf}, ValueError, r"`y` must be finite; got .*Leave out atoms"),
        ({"g": G - np.inf}, ValueError, r"`g` must be finite or inf; got -inf in 9 of 9"),
        ({"g": G + np.inf}, ValueError, r"`g` must leave at least one atom.*none of 9"),
        ({"log_weights": G + np.inf}, ValueError, r"`log_weights` must be finite or -inf; got inf in 9 of 9"),
        (
            {"log_weights": np.where(HERE, -np.inf, 0), "g": ABSENT},
            ValueError,
            r"`log_weights` must leave at least one",
        ),
        ({"values": G[:, None] + np.inf, "outputs": "average"}, ValueError, r"`values` must be finite"),
        ({"outputs": None}, TypeError, r"`outputs` must be a name or several of u, .*got None"),
        ({"queries_per_block": 2.5}, TypeError, r"`queries_per_block` must be a.* whole number.*got 2\.5"),
        ({"atoms_per_block": True}, TypeError, r"`atoms_per_block` must be a whole number.*got True"),
        ({"k": True}, TypeError, r"`k` must be a whole number >= 1.*got True"),
        ({"c": True}, TypeError, r"`c` must hold numbers; got True. Write 1"),
        ({"eps": True}, TypeError, r"`eps` must hold numbers; got True"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict, kind: type, message: str) -> None:
    arguments = {"x": X, "y": Y, "g": G, "t": 1.0, "eps": 0.1} | change
    with pytest.raises(kind, match=message):
        lse(arguments.pop("x"), arguments.pop("y"), arguments.pop("g"), **arguments)
