"""The propagator of `u_t + c|∇u|² = εΔu` from atoms: Hopf-Cole for ε > 0, Hopf-Lax for ε = 0."""

import jax
import jax.numpy as jnp

from ..typing import Array, Float, Points, Scalar
from .gibbs import centre
from .lse import gibbs_average, lowest_energy


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

    def viscous() -> tuple[Array, Array]:
        positive = jnp.where(epsilon > 0, epsilon, 1.0)  # the branch not taken stays finite under vmap and grad
        bias = log_weights - c * g / positive
        middle = centre(y)  # x − ȳ cancels far from the origin
        lse, mean = gibbs_average(x, y, bias, 1 / (4 * positive * t), y - middle, truncation=truncation)
        return -positive / c * lse, ((x - middle) - mean) / (2 * c * t)

    def inviscid() -> tuple[Array, Array]:
        value, atom = lowest_energy(x, y, g, 1 / (4 * c * t), truncation=truncation)
        return value, (x - atom) / (2 * c * t)

    return jax.lax.cond(epsilon > 0, viscous, inviscid)


def normaliser(d: int, c: Scalar, epsilon: Scalar, t: Scalar) -> Scalar:
    """(dε/2c) log(4πεt), which added to u_N gives the solution of the equation itself; 0 at ε = 0."""
    positive = jnp.where(epsilon > 0, epsilon, 1.0)
    return jnp.where(epsilon > 0, d * positive / (2 * c) * jnp.log(4 * jnp.pi * positive * t), 0.0)
