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

from hjsolve.kernels import lse

BLOCKS = (lse._QUERY_BLOCK, lse._ATOM_BLOCK)


def cloud(m: int, n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, d)), rng.normal(size=(n, d)), 3 * rng.normal(size=n)


def dense(x, y, b, kappa):
    """The whole table at once, differentiable: the plain statement of what the kernel computes."""
    return jax.nn.logsumexp(b[None, :] - kappa * jnp.sum((x[:, None] - y[None]) ** 2, axis=-1), axis=1)


@pytest.mark.parametrize(
    ("d", "m", "n"),
    [(1, 1, 1), (9, 1, 1), (3, 1, 700), (3, 300, 1), (1, 513, 1030), (8, 257, 513), (9, 257, 513), (40, 513, 1030)],
)
def test_forward_equals_scipy(d: int, m: int, n: int) -> None:
    x, y, b = cloud(m, n, d)
    computed = np.asarray(jax.jit(lse.log_sum_exp)(x, y, b, 0.7))
    # round-off of scores of size ~κ|x−y|² <= 0.7·2·40·3: a few tens of ulp of 150
    np.testing.assert_allclose(computed, logsumexp(dense_scores(x, y, b, 0.7), axis=1), rtol=0, atol=2e-13)


@pytest.mark.parametrize("d", [2, 12])
def test_average_equals_numpy(d: int) -> None:
    x, y, b = cloud(300, 600, d)
    values = np.random.default_rng(1).normal(size=(600, 3))
    scores = dense_scores(x, y, b, 0.4)
    pi = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    computed = lse.gibbs_average(x, y, b, 0.4, values)[1]
    np.testing.assert_allclose(computed, pi @ values, rtol=0, atol=1e-13)  # a convex combination of numbers <= 4


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3, 1e3])
def test_no_overflow_at_extreme_temperatures(epsilon: float) -> None:
    x, y, _ = cloud(300, 600, 2)
    g = np.random.default_rng(2).uniform(-1e4, 1e4, size=600)
    b, kappa = -g / epsilon, 1 / (4 * epsilon)
    f = lambda *args: lse.log_sum_exp(*args).sum()
    computed, gradients = jax.jit(jax.value_and_grad(f, argnums=(0, 1, 2, 3)))(x, y, b, kappa)
    expected = logsumexp(dense_scores(x, y, b, kappa), axis=1).sum()
    assert abs(computed - expected) <= 1e-13 * abs(expected)  # a sum of 300 numbers of size osc/ε
    assert all(np.isfinite(a).all() for a in gradients)
    np.testing.assert_allclose(gradients[2].sum(), 300, rtol=1e-12)  # each query's weights sum to 1


@pytest.mark.parametrize("d", [1, 9])
def test_reverse_derivatives_equal_the_dense_ones(d: int) -> None:
    """Neither number of queries nor of atoms is a multiple of a block; large biases must not reach the padding."""
    m, n = BLOCKS[0] + 1, BLOCKS[1] + 7
    x, y, b = cloud(m, n, d)
    cotangent = np.random.default_rng(3).normal(size=m)
    mine = jax.jit(jax.grad(lambda *a: lse.log_sum_exp(*a) @ cotangent, argnums=(0, 1, 2, 3)))
    other = jax.jit(jax.grad(lambda *a: dense(*a) @ cotangent, argnums=(0, 1, 2, 3)))
    for shift in (-1e5, 0.0, 1e5):
        args = (x, y, b + shift, np.asarray(0.6))
        for found, expected in zip(mine(*args), other(*args), strict=True):
            # shifting b by 1e5 rounds scores to 1e-11, and weights with them; the sums reach 1e3
            scale = max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(found, expected, rtol=0, atol=(1e-13 + 1e-15 * abs(shift)) * 10 * scale)


def test_forward_derivative_equals_the_dense_one() -> None:
    x, y, b = cloud(300, 600, 3)
    tangents = (*cloud(300, 600, 3, seed=5), np.asarray(1.3))
    args = (x, y, b, np.asarray(0.6))
    mine = jax.jvp(lse.log_sum_exp, args, tangents)[1]
    np.testing.assert_allclose(mine, jax.jvp(dense, args, tangents)[1], rtol=0, atol=1e-12)


def test_derivatives_of_the_average() -> None:
    x, y, b = cloud(259, 515, 2)
    values = np.random.default_rng(1).normal(size=(515, 2))

    def plain(x, y, b, kappa, values):
        return jax.nn.softmax(b[None, :] - kappa * jnp.sum((x[:, None] - y[None]) ** 2, axis=-1), axis=1) @ values

    args = (x, y, b, np.asarray(0.6), values)
    mine = jax.jit(jax.grad(lambda *a: jnp.sum(lse.gibbs_average(*a)[1] ** 2), argnums=(0, 1, 2, 3, 4)))(*args)
    other = jax.jit(jax.grad(lambda *a: jnp.sum(plain(*a) ** 2), argnums=(0, 1, 2, 3, 4)))(*args)
    for a, e in zip(mine, other, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-12 * max(1, np.abs(e).max()))


@pytest.mark.parametrize(
    "hessian",
    [
        lambda f: jax.jacfwd(jax.grad(f)),
        lambda f: jax.jacfwd(jax.jacfwd(f)),
        lambda f: jax.jacrev(jax.grad(f)),
    ],
    ids=["forward over reverse", "forward over forward", "reverse over reverse"],
)
def test_second_derivatives_are_the_covariance_of_the_scores_slopes(hessian) -> None:
    _, y, b = cloud(1, 600, 3)
    kappa, x = 0.6, np.array([0.3, -0.2, 0.1])
    computed = jax.jit(hessian(lambda z: lse.log_sum_exp(z[None], y, b, kappa)[0]))(x)
    scores = dense_scores(x[None], y, b, kappa)[0]
    pi = np.exp(scores - logsumexp(scores))
    slopes = -2 * kappa * (x - y)
    centred = slopes - pi @ slopes
    expected = -2 * kappa * np.eye(3) + (centred * pi[:, None]).T @ centred
    np.testing.assert_allclose(computed, expected, rtol=0, atol=1e-12)


def test_vmap_equals_a_loop() -> None:
    x, y, b = cloud(20, 40, 2)
    kappas = np.array([0.1, 1.0, 10.0])
    batch = jax.vmap(lambda k: lse.log_sum_exp(x, y, b, k))(kappas)
    for row, kappa in zip(batch, kappas, strict=True):
        np.testing.assert_allclose(row, logsumexp(dense_scores(x, y, b, kappa), axis=1), rtol=0, atol=1e-13)


@pytest.mark.parametrize("d", [3, 9])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_float32_error_is_a_few_ulp_of_value_and_energy(d: int, offset: float) -> None:
    x, y, _ = cloud(300, 600, d)
    g, epsilon, t = np.random.default_rng(4).normal(size=600), 1e-3, 1.0
    x, y, g = (a.astype(np.float32) for a in (x + offset, y + offset, g))
    exact = (a.astype(np.float64) for a in (x, y, g))
    x64, y64, g64 = exact
    energies = -dense_scores(x64, y64, -g64, 1 / (4 * t))
    u64 = -epsilon * logsumexp(-energies / epsilon, axis=1)
    with jax.enable_x64(False):
        u32 = -epsilon * np.asarray(
            lse.log_sum_exp(x, y, jnp.float32(-1 / epsilon) * g, jnp.float32(1 / (4 * t * epsilon)))
        ).astype(np.float64)
    scale = np.abs(u64) + np.abs(energies).max()
    # centred or differenced, so the offset does not enter; d additions and the expansion's 2|x||y| cost a few ulp each
    assert (np.abs(u32 - u64) <= 8 * np.finfo(np.float32).eps * scale).all()


@pytest.mark.parametrize("d", [2, 9])
def test_lowest_energy_equals_numpy_with_its_gradients(d: int) -> None:
    x, y, g = cloud(300, 1030, d)
    value, atom = lse.lowest_energy(x, y, g, 0.25)
    energies = -dense_scores(x, y, -g, 0.25)
    np.testing.assert_allclose(value, energies.min(1), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(atom, y[energies.argmin(1)])
    gradient = jax.grad(lambda z: lse.lowest_energy(z, y, g, 0.25)[0].sum())(x)
    np.testing.assert_allclose(gradient, 0.5 * (x - y[energies.argmin(1)]), rtol=0, atol=1e-13)


def test_lowest_energy_is_exact_far_from_the_origin_in_float32() -> None:
    x, y, g = (a.astype(np.float32) for a in cloud(300, 600, 9))
    x, y = x + np.float32(1000), y + np.float32(1000)
    energies = -dense_scores(*(a.astype(np.float64) for a in (x, y, -g)), 0.25)
    with jax.enable_x64(False):
        value = np.asarray(lse.lowest_energy(x, y, g, 0.25)[0])
    assert np.abs(value - energies.min(1)).max() <= 16 * np.finfo(np.float32).eps * np.abs(energies).max()


def test_no_table_of_scores_is_ever_made() -> None:
    """Compiled for 8192 x 8192: the temporaries must stay far below one table (512 MiB in float64)."""
    n = 8192
    args = [jax.ShapeDtypeStruct(s, jnp.float64) for s in ((n, 3), (n, 3), (n,), ())]
    table = 8 * n * n
    f = lambda *a: lse.log_sum_exp(*a).sum()
    for function in (lse.log_sum_exp, jax.grad(f, argnums=(0, 1, 2, 3))):
        analysis = jax.jit(function).lower(*args).compile().memory_analysis()
        assert analysis.temp_size_in_bytes < table / 8
        shapes = {v.aval.shape for eqn in jax.make_jaxpr(function)(*args).jaxpr.eqns for v in eqn.outvars}
        assert not any(int(np.prod(s)) >= n * n for s in shapes)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_and_values_at_production_size() -> None:
    """20,000 x 20,000 x 3 in float32, forward and gradient, in a process of its own whose peak memory is read."""
    script = """
import json
from pathlib import Path
import numpy as np
import jax, jax.numpy as jnp
from hjsolve.kernels import lse
n = 20_000
rng = np.random.default_rng(0)
x, y = (rng.normal(size=(n, 3)).astype(np.float32) for _ in range(2))
g = rng.normal(size=n).astype(np.float32)
epsilon = 0.1
b, kappa = (-g / epsilon).astype(np.float32), np.float32(1 / (4 * epsilon))
# the high-water mark of this program alone: getrusage's begins with the memory of the process that started it
peak_mib = lambda: int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before = peak_mib()
value = np.asarray(jax.jit(lse.log_sum_exp)(x, y, b, kappa))
f = jax.jit(jax.grad(lambda *a: lse.log_sum_exp(*a).sum(), argnums=(0, 2)))
dx, db = map(np.asarray, f(x, y, b, kappa))
peak = peak_mib()
rows = rng.choice(n, 200, replace=False)
s = b.astype(float) - float(kappa) * ((x[rows, None].astype(float) - y[None].astype(float)) ** 2).sum(-1)
top = s.max(1, keepdims=True)
w = np.exp(s - top)
expected = top[:, 0] + np.log(w.sum(1))
slope = -2 * float(kappa) * (x[rows] - (w / w.sum(1, keepdims=True)) @ y)
print(json.dumps({
    "peak_mib": peak, "added_mib": peak - before,
    "value": float(np.abs(value[rows] - expected).max()), "slope": float(np.abs(dx[rows] - slope).max()),
    "scale": float(np.abs(s).max()), "mass": float(db.astype(float).sum()),
}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    print(found)
    assert found["peak_mib"] < 1024
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
        many_atoms = np.asarray(jax.jit(lse.log_sum_exp)(x, y, b, dtype(2.0)))
        many_queries = np.asarray(jax.jit(lse.log_sum_exp)(y, x, b[:600], dtype(2.0)))
    rows = np.arange(0, 600, 60)
    scores = functools.partial(dense_scores, kappa=2.0)
    x, y, b = (a.astype(np.float64) for a in (x, y, b))
    tolerance = 8 * np.finfo(dtype).eps * 400  # scores reach κ|x−y|² ~ 200, through an expansion of twice the size
    expected = logsumexp(scores(x[rows], y, b), axis=1)
    np.testing.assert_allclose(many_atoms[rows], expected, rtol=0, atol=tolerance)
    rows = np.arange(0, n, 997)
    expected = logsumexp(scores(y[rows], x, b[:600]), axis=1)
    np.testing.assert_allclose(many_queries[rows], expected, rtol=0, atol=tolerance)
