"""The implicit-explicit Runge-Kutta step: transport explicitly, diffusion implicitly."""

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Scalar, Values
from .diffusion import Diffusion, Rate


def additive(transport: Rate, diffusion: Diffusion, t: Scalar, dt: Scalar, u: Values) -> Values:
    """u(t + dt) − u by ARK3(2)4L[2]SA: four stages, order 3, L-stable in the diffusion and of stage order 2 there.

    Stage i solves U_i = u + Δt Σ_j (a_ij F(U_j) + b_ij A(U_j)) with b_ii = γ (0 in the first one); then
    Δt Σ_i w_i (F(U_i) + A(U_i)). Source: Kennedy & Carpenter 2003, doi:10.1016/S0168-9274(02)00138-1, appendix C.
    """
    tableau = tuple(jnp.asarray(a, u.dtype) for a in (_EXPLICIT, _IMPLICIT, _WEIGHTS))
    times, diagonal = _EXPLICIT.sum(1), np.diag(_IMPLICIT)

    def stage(rates: tuple[Values, Values], entry: tuple[Array, ...]) -> tuple[tuple[Values, Values], None]:
        number, explicit, implicit, time, own = entry
        moved, spread = rates
        known = u + dt * (jnp.tensordot(explicit, moved, axes=1) + jnp.tensordot(implicit, spread, axes=1))
        gamma = own * dt
        k = jax.lax.cond(own > 0, lambda: diffusion.implicit_rate(known, gamma), lambda: diffusion.rate(known))
        return (moved.at[number].set(transport(t + time * dt, known + gamma * k)), spread.at[number].set(k)), None

    # a loop over the stages, so that the right-hand side is compiled once; what is not yet known has rate 0
    empty = jnp.zeros((len(_WEIGHTS), *u.shape), u.dtype)
    entries = (jnp.arange(len(_WEIGHTS)), *tableau[:2], jnp.asarray(times, u.dtype), jnp.asarray(diagonal, u.dtype))
    moved, spread = jax.lax.scan(stage, (empty, empty), entries)[0]
    return dt * jnp.tensordot(tableau[2], moved + spread, axes=1)


_GAMMA = 1767732205903 / 4055673282236
_WEIGHTS = np.array(
    [
        1471266399579 / 7840856788654,
        -4482444167858 / 7529755066697,
        11266239266428 / 11593286722821,
        _GAMMA,
    ]
)
_EXPLICIT = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [2 * _GAMMA, 0.0, 0.0, 0.0],
        [5535828885825 / 10492691773637, 788022342437 / 10882634858940, 0.0, 0.0],
        [
            6485989280629 / 16251701735622,
            -4246266847089 / 9704473918619,
            10755448449292 / 10357097424841,
            0.0,
        ],
    ]
)
_IMPLICIT = np.array(
    [
        [0.0, 0.0, 0.0, 0.0],
        [_GAMMA, _GAMMA, 0.0, 0.0],
        [2746238789719 / 10658868560708, -640167445237 / 6845629431997, _GAMMA, 0.0],
        _WEIGHTS,
    ]
)
