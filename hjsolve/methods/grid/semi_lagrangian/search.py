"""The least outcome over the inputs of a step: samples first, then steps downhill from the best."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ....typing import Array, Scalar, Values, Vectors
from .step import Step

_FLAT = 1e-3
"""Curvature that counts as none, in units of slope over reach."""


class Found(NamedTuple):
    """Inputs `[size, ...]` and the values `[...]` that they lead to."""

    w: Vectors
    value: Values


def lowest(step: "Step", samples: Array, costs: Array, *, linear: bool) -> Found:
    """The best of `samples` `[size, S]`, one at a time."""
    ones = (1,) * len(step.mesh.cells)

    def value(w: Array, cost: Scalar) -> Values:
        return step.value(w.reshape(-1, *ones), cost, linear=linear)

    def better(best: tuple[Values, Array], k: Array) -> tuple[tuple[Values, Array], None]:
        lowest, index = best
        here = value(samples[:, k], costs[k])
        return (jnp.minimum(lowest, here), jnp.where(here < lowest, k, index)), None

    everywhere = jnp.full(step.u.shape, jnp.inf, step.u.dtype), jnp.zeros(step.u.shape, int)
    (lowest, index), _ = jax.lax.scan(better, everywhere, jnp.arange(len(costs)))
    return Found(samples[:, index], step.system.form.sign * lowest)


def saddle(step: "Step", samples: Array, answers: Array) -> Found:
    """The best of `samples` `[k, S]` against the opponent's best of `answers` `[l, T]`."""
    ones = (1,) * len(step.mesh.cells)
    none = jnp.zeros(step.u.shape, int)

    def answered(a: Array) -> tuple[Values, Array]:
        def worse(worst: tuple[Values, Array], k: Array) -> tuple[tuple[Values, Array], None]:
            highest, index = worst
            here = step.value(jnp.concatenate([a, answers[:, k]]).reshape(-1, *ones), jnp.zeros((), a.dtype))
            return (jnp.maximum(highest, here), jnp.where(here > highest, k, index)), None

        begin = jnp.full(step.u.shape, -jnp.inf, step.u.dtype), none
        return jax.lax.scan(worse, begin, jnp.arange(answers.shape[1]))[0]

    def better(best: tuple[Values, Array, Array], k: Array) -> tuple[tuple[Values, Array, Array], None]:
        lowest, index, answer = best
        here, reply = answered(samples[:, k])
        lower = here < lowest
        return (jnp.minimum(lowest, here), jnp.where(lower, k, index), jnp.where(lower, reply, answer)), None

    begin = jnp.full(step.u.shape, jnp.inf, step.u.dtype), none, none
    (lowest, index, answer), _ = jax.lax.scan(better, begin, jnp.arange(samples.shape[1]))
    return Found(jnp.concatenate([samples[:, index], answers[:, answer]]), step.system.form.sign * lowest)


def refined(step: "Step", begin: Vectors, bend: Values, size: Scalar, count: int) -> Found:
    """Proximal-gradient descent from the proximal step of `begin` at curvature `bend`, then of secants.

    A step that does not descend is taken back, and shortened by what it has shown of the curvature.
    """
    form = step.system.form

    def once(_: int, carry: tuple[Vectors, Values, Vectors, Values, Vectors]) -> Any:
        target, bend, w, lowest, q = carry
        trial, cost = form.nearest(target, 1 / bend)
        value, slope = step.with_slope(trial, cost)
        moved = trial - w
        square = jnp.sum(moved**2, axis=0)
        known = (square > 0) & jnp.isfinite(lowest)
        secant = jnp.where(known, jnp.sum((slope - q) * moved, axis=0) / jnp.where(known, square, 1.0), 0.0)
        descends = value < lowest
        w, q = jnp.where(descends, trial, w), jnp.where(descends, slope, q)
        shorter = jnp.where(secant > bend, secant, 4 * bend)
        bend = jnp.maximum(jnp.where(descends, secant, shorter), flat(q, size))
        return w - q / bend, bend, w, jnp.minimum(value, lowest), q

    infinity = jnp.full(step.u.shape, jnp.inf, step.u.dtype)
    start = begin, bend, begin, infinity, jnp.zeros_like(begin)
    _, _, w, lowest, _ = jax.lax.fori_loop(0, count + 1, once, start)
    return Found(w, form.sign * lowest)


def flat(q: Vectors, size: Scalar) -> Values:
    """The least curvature in use: with it a slope q leads as far as inputs go."""
    tiny = float(np.finfo(q.dtype).tiny) ** 0.5
    return _FLAT * jnp.sqrt(jnp.sum(q**2, axis=0)) / jnp.where(size > 0, size, 1.0) + tiny
