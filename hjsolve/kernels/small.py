"""Cholesky factors of many small matrices at once, unrolled: one vector operation per entry instead of a call each."""

import jax
import jax.numpy as jnp

from ..typing import Array, Float

_UNROLLED = 6


def factorise(matrices: Float[Array, "n d d"]) -> tuple[Float[Array, "n d d"], Array]:
    """The lower Cholesky factors `[n, d, d]` of symmetric matrices, and which of them `[n]` are positive definite.

    Where one is not, its factor holds finite numbers without meaning.
    """
    n, d = matrices.shape[:2]
    if d > _UNROLLED:
        factor = jnp.linalg.cholesky(matrices)
        positive = jnp.all(jnp.isfinite(factor), axis=(1, 2))
        return jnp.where(positive[:, None, None], factor, jnp.eye(d, dtype=factor.dtype)), positive
    entries = [[jnp.zeros(n, matrices.dtype)] * d for _ in range(d)]
    positive = jnp.ones(n, bool)
    for j in range(d):
        pivot = matrices[:, j, j] - sum((entries[j][k] ** 2 for k in range(j)), jnp.zeros(n, matrices.dtype))
        holds = pivot > 0
        positive = positive & holds
        entries[j][j] = jnp.sqrt(jnp.where(holds, pivot, 1.0))
        for i in range(j + 1, d):
            rest = matrices[:, i, j] - sum(entries[i][k] * entries[j][k] for k in range(j))
            entries[i][j] = rest / entries[j][j]
    return jnp.stack([jnp.stack(row, axis=1) for row in entries], axis=1), positive


def solve(factor: Float[Array, "n d d"], right: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """x with L Lᵀ x = right."""
    return solve_transposed(factor, solve_lower(factor, right))


def solve_lower(factor: Float[Array, "n d d"], right: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """x with L x = right."""
    d = right.shape[1]
    if d > _UNROLLED:
        return jax.scipy.linalg.solve_triangular(factor, right[..., None], lower=True)[..., 0]
    x: list[Array] = []
    for i in range(d):
        x.append((right[:, i] - sum(factor[:, i, k] * x[k] for k in range(i))) / factor[:, i, i])
    return jnp.stack(x, axis=1)


def solve_transposed(factor: Float[Array, "n d d"], right: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """x with Lᵀ x = right."""
    d = right.shape[1]
    if d > _UNROLLED:
        return jax.scipy.linalg.solve_triangular(factor, right[..., None], lower=True, trans=1)[..., 0]
    x: dict[int, Array] = {}
    for i in reversed(range(d)):
        x[i] = (right[:, i] - sum(factor[:, k, i] * x[k] for k in range(i + 1, d))) / factor[:, i, i]
    return jnp.stack([x[i] for i in range(d)], axis=1)
