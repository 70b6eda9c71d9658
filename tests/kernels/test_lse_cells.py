"""The truncated sweeps: what is left out against the stated tolerance, derivatives, exactness at ε = 0, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import atoms_solution, dense_scores
from scipy.special import logsumexp

import hjsolve as hj
from hjsolve.kernels.gibbs import gibbs, heaviest
from hjsolve.kernels.hilbert import hilbert_order
from hjsolve.kernels.lse_plan import Plan
from hjsolve.methods.particle import HopfCole

M, N = 150, 2100
"""Three blocks of queries, two of them full; three groups of atoms."""
TOLERANCE = 1e-3
CELLS = Plan("cells", "cpu", queries=64, atoms=32, truncation=TOLERANCE)
lse = hj.kernels.lse


def clouds(d: int):
    """Queries, atoms and data, each of a kind that a bound could go wrong for."""
    rng = np.random.default_rng(d)
    u = lambda k: rng.uniform(-1, 1, (k, d))
    x, y = u(M), u(N)
    outlier, cluster = y.copy(), np.concatenate([1e-4 * u(N // 2) + 0.3, u(N // 2)])
    outlier[5] = 1e3
    repeated = np.repeat(u(N // 100), 100, axis=0)
    return {
        "flat": (x, y, np.zeros(N)),
        "kink": (x, y, np.abs(y).sum(1)),
        "noise": (x, y, rng.normal(size=N)),
        "cluster": (x, cluster, np.cos(3 * cluster[:, 0])),
        "outlier": (x, outlier, outlier[:, 0]),
        "far queries": (x + 30, y, y[:, 0] ** 2),
        "repeated": (repeated[:M], repeated, np.zeros(N)),
        "one place": (x, np.zeros((N, d)), rng.normal(size=N)),
        "absent": (x, y, np.where(np.arange(N) < 300, 0.0, np.inf)),
    }


@functools.cache
def sweeps(d: int, dtype: type):
    plan = CELLS
    return jax.jit(
        lambda x, y, b, k, v: (
            *gibbs(x, y, b, k, v, plan=plan)[:2],
            heaviest(x, y, b, k, count=1, plan=plan, form="distance")[:, 0],
        )
    )


@pytest.mark.parametrize("kind", list(clouds(1)))
@pytest.mark.parametrize("d", [1, 3])
def test_what_is_left_out_is_within_the_tolerance(d: int, kind: str) -> None:
    """SciPy's whole table; ε from a kernel finer than the atoms' spacing to one as wide as the domain, osc(g)/ε 1e6."""
    x, y, g = clouds(d)[kind]
    values = np.sin(7 * y)
    for epsilon in (1e-6, 1e-3, 1e-2, 1.0):
        b, kappa = -g / epsilon, 1 / (4 * epsilon * 0.5)
        log_sum, average, top = map(np.asarray, sweeps(d, np.float64)(x, y, b, kappa, values))
        scores = dense_scores(x, y, b, kappa)
        exact = logsumexp(scores, axis=1)
        finite = np.abs(scores[np.isfinite(scores)]).max()
        rounding = 1e-12 + 2e-15 * finite  # ten ulp of the largest score
        share = -np.expm1(log_sum - exact)
        assert share.max() <= TOLERANCE + rounding
        assert share.min() >= -rounding
        mean = np.exp(scores - exact[:, None]) @ values
        spread = np.abs(values[None] - mean[:, None]).max(axis=(1, 2))
        assert (np.abs(average - mean).max(1) <= (TOLERANCE / (1 - TOLERANCE) + rounding) * spread + rounding).all()
        assert (scores[np.arange(M), top] >= scores.max(1) - rounding).all()
        if kind == "repeated":  # equal atoms have equal scores in any arithmetic: the first of them
            np.testing.assert_array_equal(top % 100, 0)


def test_something_is_left_out() -> None:
    """So that the tolerance is put to the test at all."""
    x, y, g = clouds(1)["kink"]
    log_sum = sweeps(1, np.float64)(x, y, -g / 1e-2, 50.0, np.sin(7 * y))[0]
    exact = logsumexp(dense_scores(x, y, -g / 1e-2, 50.0), axis=1)
    assert 1e-12 < (exact - log_sum).max() < TOLERANCE


def test_heaviest_atoms_are_exact_and_first_of_equals() -> None:
    few = lambda plan: jax.jit(functools.partial(heaviest, count=4, plan=plan, form="distance"))
    cells, table = few(CELLS), few(Plan("reference", "cpu"))
    for kind in ("noise", "repeated"):
        x, y, g = clouds(3)[kind]
        np.testing.assert_array_equal(cells(x, y, -g, 0.3), table(x, y, -g, 0.3))


@pytest.mark.slow
def test_derivatives_of_first_and_second_order() -> None:
    """In queries, data and a traced ε, against the untruncated table; slopes in atoms are the same sums."""
    x, y, g = (jnp.asarray(a) for a in clouds(2)["kink"])
    rng = np.random.default_rng(1)
    along = jnp.asarray(rng.normal(size=M))
    cells = {"truncation": 1e-13, "backend": "cells", "queries_per_block": 64, "atoms_per_block": 32}

    def f(x, g, eps, options):
        return jnp.sum(jnp.sin(lse(x, y, g, t=0.5, eps=eps, outputs=("u",), **options).u) * along)

    def both(options):
        first = lambda *a: jax.grad(functools.partial(f, options=options), argnums=(0, 1, 2))(*a)
        eps = jnp.asarray(0.01)
        tangents = (jnp.cos(x), jnp.cos(g), jnp.asarray(0.001))
        return jax.jit(lambda: jax.jvp(first, (x, g, eps), tangents))()

    for mine, other in zip(jax.tree.leaves(both(cells)), jax.tree.leaves(both({"backend": "reference"})), strict=True):
        # second derivatives are sums of squares of scores up to 500: 1e-13 of them and of their rounding
        np.testing.assert_allclose(mine, other, rtol=0, atol=1e-9 * max(1.0, np.abs(other).max()))


@pytest.mark.slow
def test_a_batch_of_single_points_and_of_viscosities() -> None:
    """Points join into one sweep, which only then is large; a traced ε of 0 gives the exact minimum."""
    x, y, g = clouds(1)["kink"]
    options = {"outputs": ("u",), "truncation": 1e-9, "backend": "cells", "queries_per_block": 64}
    point = lambda p, eps: lse(p[None], y, g, t=0.5, eps=eps, **options).u[0]
    found = jax.jit(jax.vmap(jax.vmap(point, (0, None)), (None, 0)))(x, jnp.asarray([0.0, 0.01, 0.1]))
    for u, eps in zip(found, (0.0, 0.01, 0.1), strict=True):
        # ε·truncation; at 0 nothing but rounding
        np.testing.assert_allclose(u, atoms_solution(x, 0.5, y, g, eps), rtol=0, atol=1e-14 + 1e-9 * eps)


def test_nan_in_a_query_stays_in_its_row_and_nan_in_an_atom_reaches_all() -> None:
    x, y, g = (a.copy() for a in clouds(1)["kink"])
    x[3] = np.nan
    found = sweeps(1, np.float64)(x, y, -g, 50.0, y)[0]
    np.testing.assert_array_equal(np.isnan(found), np.arange(M) == 3)
    g[7] = np.nan
    assert np.isnan(sweeps(1, np.float64)(x, y, -g, 50.0, y)[0]).all()


def test_production_size_in_float32() -> None:
    """50,000 x 50,000 x 3, values, gradients and the slope in g, on sampled rows in float64."""
    n, epsilon, t = 50_000, np.float32(2e-4), np.float32(0.5)
    rng = np.random.default_rng(0)
    x, y = (rng.uniform(-1, 1, (n, 3)).astype(np.float32) for _ in range(2))
    g = (np.sin(3 * y).sum(1) / 3).astype(np.float32)

    def all_of(g):
        def ask(g):
            found = lse(x, y, g, t=t, eps=epsilon, truncation=1e-7)
            return found.u, found.gradient

        u, pullback, gradient = jax.vjp(ask, g, has_aux=True)
        return u, gradient, pullback(jnp.ones(n, jnp.float32))[0]

    with jax.enable_x64(False):
        u, gradient, slope = jax.jit(all_of)(g)
    rows = np.arange(0, n, 500)
    wide = [a.astype(np.float64) for a in (x[rows], y, g)]
    scores = dense_scores(wide[0], wide[1], -wide[2] / float(epsilon), 1 / (4 * float(epsilon * t)))
    log_sum = logsumexp(scores, axis=1)
    weights = np.exp(scores - log_sum[:, None])
    ulp = np.finfo(np.float32).eps
    scale = np.abs(scores).max()
    assert np.abs(u[rows] + float(epsilon) * log_sum).max() < 8 * ulp * scale * float(epsilon)
    # rounding of scores by an ulp of their size is that of the weights
    assert np.abs(gradient[rows] - (wide[0] - weights @ wide[1])).max() < 4 * ulp * scale
    assert abs(float(np.asarray(slope, np.float64).sum()) / n - 1) < 8 * ulp * scale  # every query's weights sum to 1


def test_hilbert_order_visits_touching_cells() -> None:
    for d, side in ((1, 64), (2, 16), (3, 8)):
        cells = np.stack(np.meshgrid(*[np.arange(side)] * d), axis=-1).reshape(-1, d)
        # the last point makes the cube's side a power of two
        points = np.concatenate([cells, np.full((1, d), side)])
        order = np.asarray(jax.jit(hilbert_order)(points.astype(float)))
        np.testing.assert_array_equal(np.sort(order), np.arange(len(points)))
        path = cells[order[order < len(cells)]]
        np.testing.assert_array_equal(np.abs(np.diff(path, axis=0)).sum(1), 1)


def test_hopf_cole_passes_it_on() -> None:
    x, y, g = clouds(2)["kink"]
    problem = hj.Problem(
        hj.hamiltonians.Quadratic(), 0.01, hj.initials.Atoms(y, g), hj.Box([-1.0, -1.0], [1.0, 1.0]), 0.5
    )
    found = hj.solve(problem, HopfCole(truncation=1e-9), [0.5], points=x)
    plain = atoms_solution(x, 0.5, y, g, 0.01)
    np.testing.assert_allclose(found.u[0], plain, rtol=0, atol=1e-11)  # ε·truncation


def test_data_that_are_a_function_have_rules_instead() -> None:
    problem = hj.Problem(hj.hamiltonians.Quadratic(), 0.01, hj.initials.Norm(), hj.Box([-1.0], [1.0]), 0.5)
    with pytest.raises(ValueError, match=r"`truncation` is for Atoms; got 1e-09 .*Leave it out"):
        hj.solve(problem, HopfCole(truncation=1e-9), [0.5], points=[[0.0]])


@pytest.mark.parametrize("truncation", [0.0, 1.0, -1e-9, float("nan")])
def test_a_share_out_of_range_is_refused(truncation: float) -> None:
    with pytest.raises(ValueError, match=r"`truncation` must be > 0 and < 1; got .*None sums over all atoms"):
        lse(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1), t=1.0, eps=1.0, truncation=truncation)


def test_what_cannot_be_is_refused() -> None:
    ask = functools.partial(lse, np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1), t=1.0, eps=1.0)
    for backend in ("blocked", "reference", "pallas"):
        with pytest.raises(ValueError, match=rf"`truncation` is for .*'{backend}'.*Leave one"):
            ask(truncation=1e-9, backend=backend)
    with pytest.raises(ValueError, match=r"'cells' needs `truncation`"):
        ask(backend="cells")
    with pytest.raises(TypeError, match=r"`truncation` must be a plain number"):
        jax.jit(lambda tolerance: ask(truncation=tolerance).u)(1e-9)
    with pytest.raises(TypeError, match=r"`truncation` must be a plain number"):
        HopfCole(truncation="1e-9")
