"""The propagator of `u_t + c|∇u|² = εΔu` from atoms: Hopf-Cole for ε > 0, Hopf-Lax for ε = 0."""

import jax.numpy as jnp

from ..typing import Array, Float, Points, Scalar
from .lse import alike, evaluate
from .lse_arguments import is_inviscid
from .lse_cloud import Cloud
from .lse_outputs import Request
from .lse_plan import make_plan


def propagate(
    x: Points,
    y: Points,
    g: Array,
    log_weights: Array,
    c: Scalar,
    epsilon: Scalar,
    t: Scalar,
    *,
    truncation: float | None = None,
) -> tuple[Float[Array, "m"], Float[Array, "m d"]]:
    """u_N and ∇u_N = (x − ȳ)/(2ct) at queries x `[m, d]` and t > 0, from atoms y `[N, d]`.

    u_N = −(ε/c) log Σ_j ω_j exp(−(c/ε)(g_j + |x−y_j|²/(4ct))), and min_j g_j + |x−y_j|²/(4ct) where ε = 0.
    `truncation` is that of `lse`: the share of the Gibbs weights that may be left out.
    """

    x, y, g, log_weights, c, epsilon, t = alike(x, y, g, log_weights, c, epsilon, t)
    plan = make_plan("auto", (x, y), truncation=truncation)
    cloud = Cloud(x, y, g, t, epsilon, c, log_weights, None)
    found = evaluate(cloud, Request(("u", "gradient"), 1, plan), is_inviscid(cloud))
    assert found.u is not None
    assert found.gradient is not None
    return found.u, found.gradient


def normaliser(d: int, c: Scalar, epsilon: Scalar, t: Scalar) -> Scalar:
    """(dε/2c) log(4πεt), which added to u_N gives the solution of the equation itself; 0 at ε = 0."""
    positive = jnp.where(epsilon > 0, epsilon, 1.0)
    return jnp.where(epsilon > 0, d * positive / (2 * c) * jnp.log(4 * jnp.pi * positive * t), 0.0)
