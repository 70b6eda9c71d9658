"""min f(a) + ℓ(a), f smooth and ℓ simple: forward-backward steps with limited-memory quasi-Newton directions.

A forward-backward step a → z = prox_{λℓ}(a − λ∇f(a)) lowers the objective whenever λ is below the inverse curvature of
f. The forward-backward envelope φ_λ(a) = f + ∇f·(z − a) + |z − a|²/2λ + ℓ(z) has the same minima and is continuous, so
that a quasi-Newton step on the residual (a − z)/λ may be taken whenever it lowers φ enough, and the plain step is the
fallback. Where f is twice differentiable convergence is superlinear, constraints included.
Source: Stella, Themelis, Sopasakis & Patrinos 2017 (PANOC), arXiv 1709.06487.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ....typing import Array, Scalar

_MEMORY = 5
_DECREASE = 1e-4
"""Of the envelope, as a share of |a − z|²/λ, that a quasi-Newton step must achieve."""
_CURVATURE = 0.95
"""λ is this share of the inverse curvature that was seen."""
_SMALLEST_FRACTION = 0.1
"""Of the quasi-Newton step; below it the plain step is taken."""
_SMALLEST_STEP = 1e-10
"""Of the first λ: curvature that grows beyond this is a kink of f."""


class Minimum(NamedTuple):
    """Where the iteration ended: a point z of dom ℓ, f + ℓ there, ∇f(z), and the gap ℓ(z) + ℓ*(−∇f) + ∇f·z >= 0."""

    z: Array
    value: Scalar
    gradient: Array
    gap: Scalar
    iterations: Scalar


class _State(eqx.Module):
    a: Array
    residual: Array
    envelope: Scalar
    z: Array
    value: Scalar
    gradient: Array
    gap: Scalar
    step: Scalar
    moves: Array
    changes: Array
    direction: Array
    fraction: Scalar
    restart: Array
    done: Array
    iterations: Scalar


def panoc(
    smooth: Callable[[Array], tuple[Scalar, Array]],
    proximal: Callable[[Array, Scalar], tuple[Array, Scalar]],
    conjugate: Callable[[Array], Scalar],
    start: Array,
    finished: Callable[[Scalar, Scalar, Array, Array], Array],
    max_iterations: int,
) -> Minimum:
    """Minimise f + ℓ from `start` `[n]`; vmap for a batch (points that are done wait for the others).

    `smooth(a)` gives f and ∇f, `proximal(a, λ)` the proximal point and ℓ there, `conjugate(η)` = ℓ*(η), and
    `finished(value, gap, residual, gradient)` says when to stop. An iteration costs two evaluations of f and ∇f.
    """
    eps = jnp.finfo(start.dtype).eps

    def body(s: _State) -> _State:
        trial = jnp.where(s.restart, s.a, s.a + (1 - s.fraction) * (s.z - s.a) + s.fraction * s.direction)
        f, df = smooth(trial)
        z, cost = proximal(trial - s.step * df, s.step)
        fz, dfz = smooth(z)
        move = z - trial
        length, slope = jnp.sum(move**2) / (2 * s.step), jnp.sum(df * move)
        size = jnp.abs(f) + jnp.abs(fz) + jnp.abs(cost) + jnp.abs(slope) + length
        noise = 16 * eps * size
        # Below this, differences of f drown in its round-off, and differences of ∇f decide.
        quiet = length <= jnp.sqrt(eps) * size
        bends = jnp.sum((dfz - df) * move)
        fits = (fz <= f + slope + _CURVATURE * length + noise) | (quiet & (bends <= 2 * _CURVATURE * length))
        residual = -move / s.step
        envelope = f + slope + length + cost
        before, after = jnp.sum(s.residual**2), jnp.sum(residual**2)
        lower = (envelope <= s.envelope - _DECREASE * s.step * before + noise) | (quiet & (after <= before))
        accept = fits & (s.restart | lower | (s.fraction == 0))

        moves, changes = _remember(s, trial - s.a, residual - s.residual, ~s.restart & accept)
        moves, changes = (jnp.where(fits, m, 0.0) for m in (moves, changes))
        direction = jnp.where(accept, _quasi_newton(moves, changes, residual, s.step), s.direction)
        shorter = jnp.where(s.fraction > _SMALLEST_FRACTION, s.fraction / 2, 0.0)
        step = jnp.where(fits, s.step, s.step / 2)

        value, gap = fz + cost, cost + conjugate(-dfz) + jnp.sum(dfz * z)

        def keep(new: Array, old: Array) -> Array:
            return jnp.where(accept, new, old)

        stuck = step < _SMALLEST_STEP * first
        return _State(
            a=keep(trial, s.a),
            residual=keep(residual, s.residual),
            envelope=keep(envelope, s.envelope),
            z=keep(z, s.z),
            value=keep(value, s.value),
            gradient=keep(dfz, s.gradient),
            gap=keep(gap, s.gap),
            step=step,
            moves=moves,
            changes=changes,
            direction=direction,
            fraction=jnp.where(accept | ~fits, 1.0, shorter),
            restart=~fits,
            done=(accept & finished(value, gap, residual, dfz)) | stuck,
            iterations=s.iterations + 1,
        )

    first = _first_step(smooth, start)
    end = jax.lax.while_loop(lambda s: ~s.done & (s.iterations < max_iterations), body, _at(start, first))
    return Minimum(end.z, end.value, end.gradient, end.gap, end.iterations)


def _at(start: Array, step: Scalar) -> _State:
    """Nothing known but where to begin."""
    zeros, number = jnp.zeros_like(start), jnp.zeros((), start.dtype)
    memory = jnp.zeros((_MEMORY, *start.shape), start.dtype)
    return _State(
        a=start,
        residual=zeros,
        envelope=number,
        z=start,
        value=number + jnp.inf,
        gradient=zeros,
        gap=number + jnp.inf,
        step=step,
        moves=memory,
        changes=memory,
        direction=zeros,
        fraction=number + 1,
        restart=jnp.asarray(True),
        done=jnp.asarray(False),
        iterations=jnp.zeros((), int),
    )


def _first_step(smooth: Callable[[Array], tuple[Scalar, Array]], start: Array) -> Scalar:
    """0.95 over the curvature of f along its gradient and once more along the change; 1 where f is affine."""

    def slope(a: Array) -> Array:
        return smooth(a)[1]

    def normal(a: Array) -> Array:
        return a / jnp.maximum(jnp.linalg.norm(a), jnp.finfo(a.dtype).tiny)

    along = normal(slope(start))
    for _ in range(2):
        change = jax.jvp(slope, (start,), (along,))[1]
        along = normal(change)
    curvature = jnp.linalg.norm(change)
    known = jnp.isfinite(curvature) & (curvature > 1e-8)
    return jnp.where(known, _CURVATURE / jnp.where(known, curvature, 1.0), 1.0)


def _remember(s: _State, move: Array, change: Array, valid: Array) -> tuple[Array, Array]:
    """The memory of moves and of changes of the residual, the newest last; pairs of negative curvature are dropped."""
    curvature = jnp.sum(move * change)
    size = jnp.sqrt(jnp.sum(move**2) * jnp.sum(change**2))
    valid = valid & (curvature > 1e-10 * size)

    def push(memory: Array, new: Array) -> Array:
        return jnp.where(valid, jnp.concatenate([memory[1:], new[None]]), memory)

    return push(s.moves, move), push(s.changes, change)


def _quasi_newton(moves: Array, changes: Array, residual: Array, step: Scalar) -> Array:
    """−(inverse curvature) residual by the two-loop recursion of L-BFGS; −λ·residual with an empty memory."""
    curvatures = jnp.sum(moves * changes, axis=1)
    filled = curvatures > 0
    inverse = jnp.where(filled, 1 / jnp.where(filled, curvatures, 1.0), 0.0)

    def newest_first(q: Array, pair: tuple[Array, Array, Scalar]) -> tuple[Array, Scalar]:
        move, change, weight = pair
        share = weight * jnp.sum(move * q)
        return q - share * change, share

    def oldest_first(q: Array, pair: tuple[Array, Array, Scalar, Scalar]) -> tuple[Array, None]:
        move, change, weight, share = pair
        return q + (share - weight * jnp.sum(change * q)) * move, None

    q, shares = jax.lax.scan(newest_first, residual, (moves, changes, inverse), reverse=True)
    size = jnp.sum(changes[-1] ** 2)
    scale = jnp.where(filled[-1], curvatures[-1] / jnp.where(filled[-1], size, 1.0), step)
    q, _ = jax.lax.scan(oldest_first, scale * q, (moves, changes, inverse, shares))
    return -q
