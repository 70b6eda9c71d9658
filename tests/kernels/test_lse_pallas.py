"""The Pallas kernels in interpret mode against the plain reference, and their lowering to Triton and Mosaic."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.kernels.gibbs import gibbs
from hjsolve.kernels.lse_plan import Plan

REFERENCE = Plan("reference", "cpu")
CASES = [("distance", s) for s in [(1, 1, 1, 0), (17, 9, 3, 2), (1, 50, 2, 1), (40, 1, 8, 3), (16, 8, 2, 0)]]
"""The form; queries, atoms, dimensions, columns, where blocks are 16 x 8."""


def arrays(m: int, n: int, d: int, k: int) -> list[jax.Array]:
    rng = np.random.default_rng(m + n)
    shapes = [(m, d), (n, d), (n,), (), (n, k)]
    x, y, b, kappa, values = (jnp.asarray(rng.normal(size=s)) for s in shapes)
    return [x, y, b, jnp.abs(kappa) + 0.1, values]


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
@pytest.mark.parametrize(
    ("form", "sizes"),
    [*CASES[:2], *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[2:]), ("product", (17, 9, 3, 2))],
)
def test_value_and_reverse_derivatives(form: str, sizes: tuple[int, ...], platform: str) -> None:
    plan = Plan("pallas", platform, queries=16, atoms=8, interpret=True)
    args = arrays(*sizes)

    def f(*a, plan):
        found = gibbs(*a, plan=plan, form=form)
        return sum(jnp.sum(jnp.sin(o)) for o in found), found

    def both(*a):
        found = [jax.value_and_grad(partial(f, plan=p), (0, 1, 2, 4), has_aux=True)(*a) for p in (plan, REFERENCE)]
        return [[*values, *slopes] for (_, values), slopes in found]

    mine, other = jax.jit(both)(*args)
    for a, e in zip(mine, other, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-13 * (1 + 10 * sizes[2]))  # scores and their sums, up to ~50


def test_what_is_too_wide_is_left_to_the_blocked_sweeps() -> None:
    args = arrays(5, 7, 9, 40)
    for a, e in zip(
        gibbs(*args, plan=Plan("pallas", "gpu", interpret=True), entropy=True),
        gibbs(*args, plan=REFERENCE, entropy=True),
        strict=True,
    ):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-12)


def test_public_call() -> None:
    x, y, g, _, _ = arrays(7, 9, 2, 0)
    found = hj.kernels.lse(x, y, g, t=0.7, eps=0.3, backend="pallas", interpret=True)
    expected = hj.kernels.lse(x, y, g, t=0.7, eps=0.3, backend="reference")
    np.testing.assert_allclose(found.u, expected.u, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=0, atol=1e-14)


def test_a_cpu_is_refused_without_interpret() -> None:
    x, y, g, _, _ = arrays(7, 9, 2, 0)
    with pytest.raises(ValueError, match=r"GPU or a TPU.*interpret"):
        hj.kernels.lse(x, y, g, t=0.7, eps=0.3, backend="pallas")


@pytest.mark.parametrize(("platform", "target", "call"), [("gpu", "cuda", "triton"), ("tpu", "tpu", "tpu_custom_call")])
def test_kernels_lower_for_devices_that_are_not_here(platform: str, target: str, call: str) -> None:
    shapes = [(1000, 3), (900, 3), (900,), (), (900, 3)]
    args = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes]
    plan = Plan("pallas", platform)

    def f(*a):
        lse, average, _ = gibbs(*a, plan=plan)
        return jnp.sum(lse) + jnp.sum(average)

    with jax.enable_x64(False):
        traced = jax.jit(jax.grad(f, argnums=(0, 1, 2, 4))).trace(*args)
        try:
            text = traced.lower(lowering_platforms=(target,)).as_text()
        except RuntimeError as error:
            pytest.skip(f"this jax lowers for that device only where one is: {error}")
    assert text.count(f"{call}") >= 2
