"""The log-sum-exp sweeps as they are defined, over the whole m x N table: for tests and tiny problems."""

import jax
import jax.numpy as jnp
from jaxtyping import Integer

from ..typing import Array, Float, Points, Scalar
from .lse_plan import Plan


def online(
    x: Points, y: Points, b: Array, kappa: Scalar, values: Array, *, plan: Plan, form: str, entropy: bool
) -> tuple[Array, Array, Array]:
    """Log Σ_j exp(s_ij) `[m]`, the averages `[m, k]` and, where asked, Shannon's entropy `[m]` (else empty)."""
    s = _scores(x, y, b, kappa, form)
    lse = jax.nn.logsumexp(s, axis=1)
    log_weights = jax.nn.log_softmax(s, axis=1)
    weights = jnp.exp(log_weights)
    shannon = jnp.maximum(-jnp.sum(weights * log_weights, axis=1), 0.0) if entropy else jnp.zeros(0, x.dtype)
    return lse, weights @ values, shannon


def weighted_sum(
    x: Points, alpha: Array, y: Points, beta: Array, kappa: Scalar, values: Array, *, plan: Plan, form: str
) -> Float[Array, "m k"]:
    """Σ_j exp(min(0, α_i + s_ij)) values_j."""
    return jnp.exp(jnp.minimum(alpha[:, None] + _scores(x, y, beta, kappa, form), 0.0)) @ values


def heaviest(
    x: Points, y: Points, b: Array, kappa: Scalar, *, count: int, plan: Plan, form: str
) -> Integer[Array, "m count"]:
    """The indices of the `count` largest scores of every query, largest first; of equals, the first."""
    return jax.lax.top_k(_scores(x, y, b, kappa, form), count)[1]


def _scores(x: Points, y: Points, b: Array, kappa: Scalar, form: str) -> Float[Array, "m N"]:
    if form == "product":
        return b + jnp.matmul(x, y.T, precision="highest")
    return b - kappa * jnp.sum((x[:, None] - y[None]) ** 2, axis=-1)
