"""The sweeps over bare arrays: values, derivatives to second order, precision, memory."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import dense_scores
from scipy.special import logsumexp

from hjsolve.kernels.gibbs import gibbs
from hjsolve.kernels.lse import gibbs_average, log_sum_exp, lowest_energy
from hjsolve.kernels.lse_plan import Plan

SMALL = Plan("blocked", "cpu", queries=16, atoms=8)
"""Blocks that small problems fill and overflow."""


def cloud(m: int, n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, d)), rng.normal(size=(n, d)), 3 * rng.normal(size=n)


def dense(x, y, b, kappa, values, form="distance"):
    """The whole table at once, differentiable: the plain statement of what the kernels compute."""
    s = b + x @ y.T if form == "product" else b - kappa * jnp.sum((x[:, None] - y) ** 2, axis=-1)
    lse = jax.nn.logsumexp(s, axis=1)
    weights = jnp.exp(s - lse[:, None])
    return lse, weights @ values, -jnp.sum(weights * (s - lse[:, None]), axis=1)


dense_table = jax.jit(dense, static_argnames="form")
swept = jax.jit(log_sum_exp)


@jax.jit
def lowest(x, y, g, kappa):
    """The lowest energies, their atoms, and the gradient of the sum of energies in the queries."""

    def total(x):
        value, atom = lowest_energy(x, y, g, kappa)
        return value.sum(), (value, atom)

    (_, found), gradient = jax.value_and_grad(total, has_aux=True)(x)
    return *found, gradient


def blocked(x, y, b, kappa, values, form="distance", entropy=True):
    return gibbs(x, y, b, kappa, values, plan=SMALL, form=form, entropy=entropy)


@pytest.mark.parametrize(
    ("d", "m", "n"),
    [(1, 1, 1), (3, 1, 700), (1, 2049, 1), (8, 257, 513), (40, 1030, 513)],
)
def test_forward_equals_scipy(d: int, m: int, n: int) -> None:
    x, y, b = cloud(m, n, d)
    computed = np.asarray(swept(x, y, b, 0.7))
    # round-off of scores of size ~κ|x−y|² <= 0.7·2·40·3: a few tens of ulp of 150
    np.testing.assert_allclose(computed, logsumexp(dense_scores(x, y, b, 0.7), axis=1), rtol=0, atol=2e-13)


@pytest.mark.parametrize("form", ["distance", "product"])
@pytest.mark.parametrize("d", [2, 12])
@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_unrolled_and_whole_blocks_equal_the_table(d: int, form: str, platform: str) -> None:
    """`platform` chooses between the unrolled steps of a CPU and the reductions of other devices; both run anywhere."""
    x, y, b = cloud(37, 45, d)
    values = np.random.default_rng(1).normal(size=(45, 3))
    plan = SMALL._replace(platform=platform)
    found = jax.jit(lambda *a: gibbs(*a, plan=plan, form=form, entropy=True))(x, y, b, np.asarray(0.4), values)
    for f, e in zip(found, dense_table(x, y, b, 0.4, values, form), strict=True):
        np.testing.assert_allclose(f, e, rtol=0, atol=1e-13)  # scores <= 50, averages of numbers <= 4


value_and_slopes = jax.jit(jax.value_and_grad(lambda *a: log_sum_exp(*a).sum(), argnums=(0, 1, 2, 3)))


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 1e3])
def test_no_overflow_at_extreme_temperatures(epsilon: float) -> None:
    x, y, _ = cloud(300, 600, 2)
    g = np.random.default_rng(2).uniform(-1e4, 1e4, size=600)
    b, kappa = -g / epsilon, 1 / (4 * epsilon)
    computed, gradients = value_and_slopes(x, y, b, kappa)
    expected = logsumexp(dense_scores(x, y, b, kappa), axis=1).sum()
    assert abs(computed - expected) <= 1e-13 * abs(expected)  # a sum of 300 numbers of size osc/ε
    assert all(np.isfinite(a).all() for a in gradients)
    # each query's weights sum to 1, to an ulp of a score (1e10 at the smallest ε) each
    np.testing.assert_allclose(gradients[2].sum(), 300, rtol=max(1e-12, 1e-15 * np.abs(b).max()))


@pytest.mark.parametrize("d", [1, 9])
def test_large_biases_do_not_reach_the_padding(d: int) -> None:
    """Neither number of queries nor of atoms is a multiple of a block."""
    x, y, b = cloud(33, 57, d)
    cotangent = np.random.default_rng(3).normal(size=33)
    none = np.zeros((57, 0))
    mine = jax.jit(
        jax.grad(lambda *a: blocked(*a, none, entropy=False)[0] @ cotangent, argnums=(0, 1, 2, 3)),
    )
    other = jax.jit(jax.grad(lambda *a: dense(*a, none)[0] @ cotangent, argnums=(0, 1, 2, 3)))
    for shift in (-1e5, 0.0, 1e5):
        args = (x, y, b + shift, np.asarray(0.6))
        for found, expected in zip(mine(*args), other(*args), strict=True):
            # shifting b by 1e5 rounds scores to 1e-11, and weights with them; the sums reach 1e3
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-13 + 1e-15 * abs(shift)) * 10 * scale)


def scalar(function, form):
    """A scalar of all outputs, curved in each."""
    cotangents = [np.random.default_rng(i).normal(size=s) for i, s in enumerate([(21,), (21, 2), (21,)])]

    def f(x, y, b, kappa, values):
        found = function(x, y, b, kappa, values, form)
        return sum(jnp.sum(jnp.sin(o) * c) for o, c in zip(found, cotangents, strict=True))

    return f


@pytest.mark.slow
@pytest.mark.parametrize(("d", "form"), [(2, "distance"), (9, "product")])
def test_derivatives_of_first_and_second_order(d: int, form: str) -> None:
    """Lse, averages and entropy in all arguments: reverse, forward, and each over reverse, against the dense ones."""
    x, y, b = cloud(21, 19, d)
    args = tuple(map(jnp.asarray, (x, y, b, 0.6, np.random.default_rng(1).normal(size=(19, 2)))))
    kappa = 0.0 if form == "product" else 1.3  # a product knows no κ
    tangents = (*map(jnp.asarray, cloud(21, 19, d, seed=5)), jnp.asarray(kappa), jnp.ones((19, 2)))

    def first(function):
        return jax.grad(scalar(function, form), argnums=(0, 1, 2, 3, 4))

    def along(function):
        def slope(*a):
            return sum(jnp.vdot(g, t) for g, t in zip(first(function)(*a), tangents, strict=True))

        return jax.grad(slope, argnums=(0, 1, 2, 3, 4))

    def all_of(function):
        forward = jax.jvp(lambda *a: function(*a, form), args, tangents)[1]
        return {
            "reverse": first(function)(*args),
            "forward": forward,
            "forward over reverse": jax.jvp(first(function), args, tangents)[1],
            "reverse over reverse": along(function)(*args),
        }

    found, expected = (jax.jit(lambda f=f: all_of(f))() for f in (blocked, dense))
    for order, gradients in expected.items():
        for position, (mine, other) in enumerate(zip(found[order], gradients, strict=True)):
            if form == "product" and position == 3 and order != "forward":
                continue
            # second derivatives of scores ~50 are sums of squares of them: up to 1e4, 1e-16 each
            np.testing.assert_allclose(mine, other, rtol=1e-11, atol=2e-12, err_msg=order)


def test_forward_over_forward_is_the_covariance_of_the_scores_slopes() -> None:
    _, y, b = cloud(1, 60, 3)
    kappa, x = 0.6, np.array([0.3, -0.2, 0.1])
    computed = jax.jit(jax.jacfwd(jax.jacfwd(lambda z: log_sum_exp(z[None], y, b, kappa)[0])))(x)
    scores = dense_scores(x[None], y, b, kappa)[0]
    pi = np.exp(scores - logsumexp(scores))
    slopes = -2 * kappa * (x - y)
    centred = slopes - pi @ slopes
    expected = -2 * kappa * np.eye(3) + (centred * pi[:, None]).T @ centred
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-12)


def test_what_does_not_vary_costs_nothing() -> None:
    """One sweep for the value, one for its derivative in b; x alone needs no second sweep at all."""
    args = [jax.ShapeDtypeStruct(s, jnp.float64) for s in ((5, 2), (7, 2), (7,), ())]
    for argnums, sweeps in (((0,), 1), ((2,), 2), ((0, 1, 2), 2)):
        text = str(jax.make_jaxpr(jax.grad(lambda *a: log_sum_exp(*a).sum(), argnums=argnums))(*args))
        assert text.count(" gibbs[") + text.count(" gibbs_weighted_sum[") == sweeps


curved = jax.value_and_grad(lambda *a: sum(jnp.sum(jnp.sin(o)) for o in gibbs_average(*a)), argnums=(0, 1, 2, 3, 4))
curved_alone = jax.jit(curved)


@pytest.mark.parametrize(
    "batched", [(0,), (1,), (3,), (4,), (0, 2)], ids=["queries", "atoms", "kappa", "values", "two"]
)
def test_vmap_equals_a_loop_with_its_gradient(batched: tuple[int, ...]) -> None:
    args = [*cloud(5, 9, 2), np.asarray(0.6), np.random.default_rng(1).normal(size=(9, 2))]
    for i in batched:
        args[i] = np.stack([args[i], 1.5 * args[i], -0.5 * args[i] if i != 3 else 2 * args[i]])
    axes = tuple(0 if i in batched else None for i in range(5))
    found = jax.jit(jax.vmap(curved, axes))(*args)
    for k in range(3):
        one = curved_alone(*(a[k] if i in batched else a for i, a in enumerate(args)))
        for mine, other in zip(jax.tree.leaves(found), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(mine[k], other, rtol=0, atol=1e-12)


def test_points_of_a_batch_join_into_one_sweep() -> None:
    """A function of one point under vmap becomes one sweep over all points, not one per point."""
    x, y, b = cloud(50, 30, 2)
    point = lambda z: log_sum_exp(z[None], y, b, 0.6)[0]
    assert "scan" not in str(jax.make_jaxpr(jax.vmap(jax.grad(point)))(x))
    found = jax.jit(jax.vmap(jax.grad(point)))(x)
    whole = jax.jit(jax.grad(lambda z: log_sum_exp(z, y, b, 0.6).sum()))(x)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize("d", [8, 9, 40])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_error_is_a_few_ulp_of_value_and_energy(d: int, offset: float) -> None:
    x, y, _ = cloud(300, 600, d)
    g, epsilon, t = np.random.default_rng(4).normal(size=600), 1e-3, 1.0
    x, y, g = (a.astype(np.float32) for a in (x + offset, y + offset, g))
    x64, y64, g64 = (a.astype(np.float64) for a in (x, y, g))
    energies = -dense_scores(x64, y64, -g64, 1 / (4 * t))
    u64 = -epsilon * logsumexp(-energies / epsilon, axis=1)
    with jax.enable_x64(False):
        b, kappa = np.float32(-1 / epsilon) * g, np.float32(1 / (4 * t * epsilon))
        u32 = -epsilon * np.asarray(swept(x, y, b, kappa)).astype(np.float64)
    scale = np.abs(u64) + np.abs(energies).max()
    # centred or differenced, so the offset does not enter; d additions and the expansion's 2|x||y| cost a few ulp each
    assert (np.abs(u32 - u64) <= 8 * np.finfo(np.float32).eps * scale).all()


@pytest.mark.parametrize("d", [2, 9])
def test_lowest_energy_equals_numpy_with_its_gradients(d: int) -> None:
    x, y, g = cloud(300, 1030, d)
    value, atom, gradient = lowest(x, y, g, 0.25)
    energies = -dense_scores(x, y, -g, 0.25)
    np.testing.assert_allclose(value, energies.min(1), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(atom, y[energies.argmin(1)])
    np.testing.assert_allclose(gradient, 0.5 * (x - y[energies.argmin(1)]), rtol=0, atol=1e-13)


def test_lowest_energy_is_exact_far_from_the_origin_in_float32() -> None:
    x, y, g = (a.astype(np.float32) for a in cloud(300, 600, 9))
    x, y = x + np.float32(1000), y + np.float32(1000)
    energies = -dense_scores(*(a.astype(np.float64) for a in (x, y, -g)), 0.25)
    with jax.enable_x64(False):
        value = np.asarray(lowest(x, y, g, 0.25)[0])
    assert np.abs(value - energies.min(1)).max() <= 16 * np.finfo(np.float32).eps * np.abs(energies).max()


def test_nan_in_a_query_stays_in_its_row_and_nan_in_an_atom_reaches_all() -> None:
    x, y, b = cloud(5, 40, 2)
    x[3, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(swept(x, y, b, 0.6)), np.arange(5) == 3)
    b[7] = np.nan
    assert np.isnan(swept(x, y, b, 0.6)).all()


def test_no_table_of_scores_is_ever_made() -> None:
    """Compiled for 10^6 x 10^4, values and all first derivatives: at most 150 MB beside arguments and results."""
    f = lambda *a: log_sum_exp(*a).sum()
    args = [jax.ShapeDtypeStruct(s, jnp.float32) for s in ((10**6, 3), (10**4, 3), (10**4,), ())]
    for function in (log_sum_exp, jax.grad(f, argnums=(0, 1, 2, 3))):
        analysis = jax.jit(function).lower(*args).compile().memory_analysis()
        assert analysis.temp_size_in_bytes < 150e6


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_and_values_at_production_size() -> None:
    """20,000 x 20,000 x 3 in float32, forward and gradient, in a process of its own whose peak memory is read."""
    script = """
import json
from pathlib import Path
import numpy as np
import jax, jax.numpy as jnp
from hjsolve.kernels.lse import log_sum_exp
n = 20_000
rng = np.random.default_rng(0)
x, y = (rng.normal(size=(n, 3)).astype(np.float32) for _ in range(2))
g = rng.normal(size=n).astype(np.float32)
epsilon = 0.1
b, kappa = (-g / epsilon).astype(np.float32), np.float32(1 / (4 * epsilon))
# the high-water mark of this program alone: getrusage's begins with the memory of the process that started it
peak_mib = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before = peak_mib()
value = np.asarray(jax.jit(log_sum_exp)(x, y, b, kappa))
f = jax.jit(jax.grad(lambda *a: log_sum_exp(*a).sum(), argnums=(0, 2)))
dx, db = map(np.asarray, f(x, y, b, kappa))
peak = peak_mib()
rows = rng.choice(n, 200, replace=False)
s = b.astype(float) - float(kappa) * ((x[rows, None].astype(float) - y[None].astype(float)) ** 2).sum(-1)
top = s.max(1, keepdims=True)
w = np.exp(s - top)
expected = top[:, 0] + np.log(w.sum(1))
slope = -2 * float(kappa) * (x[rows] - (w / w.sum(1, keepdims=True)) @ y)
print(json.dumps({
    "added_mib": peak - before,
    "value": float(np.abs(value[rows] - expected).max()), "slope": float(np.abs(dx[rows] - slope).max()),
    "scale": float(np.abs(s).max()), "mass": float(db.astype(float).sum()),
}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(found)
    assert found["added_mib"] < 300  # the compiler's own memory, mostly: the sweeps take 3 MiB
    eps = np.finfo(np.float32).eps
    # a sum of 20,000 float32 terms of size <= 1, on scores of the given size
    assert found["value"] < 8 * eps * found["scale"]
    assert found["slope"] < 8 * eps * found["scale"] * 5  # weights of relative error ~ulp of the score, κ = 2.5
    assert abs(found["mass"] - 20_000) < 20_000 * 8 * eps * found["scale"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_reductions_are_not_miscompiled(dtype: type) -> None:
    """A jax release returned wrong maxima of fused matrix products from about 16,000 rows on, without a word."""
    n, d = 33_000, 12  # beyond 8 dimensions: the path through a matrix product
    rng = np.random.default_rng(0)
    x, y, b = rng.normal(size=(600, d)), rng.normal(size=(n, d)), rng.normal(size=n)
    x, y, b = (a.astype(dtype) for a in (x, y, b))
    with jax.enable_x64(dtype is np.float64):
        many_atoms = np.asarray(swept(x, y, b, dtype(2.0)))
        many_queries = np.asarray(swept(y, x, b[:600], dtype(2.0)))
    rows = np.arange(0, 600, 60)
    scores = functools.partial(dense_scores, kappa=2.0)
    x, y, b = (a.astype(np.float64) for a in (x, y, b))
    tolerance = 8 * np.finfo(dtype).eps * 400  # scores reach κ|x−y|² ~ 200, through an expansion of twice the size
    expected = logsumexp(scores(x[rows], y, b), axis=1)
    np.testing.assert_allclose(many_atoms[rows], expected, rtol=0, atol=tolerance)
    rows = np.arange(0, n, 997)
    expected = logsumexp(scores(y[rows], x, b[:600]), axis=1)
    np.testing.assert_allclose(many_queries[rows], expected, rtol=0, atol=tolerance)
