"""H = Σ_i h_i(p_i) with convex terms: a separable Hamiltonian that has a Lagrangian."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ...checks import require
from ...typing import Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian

_DOUBLINGS = 40
_STEPS = 60
"""Newton steps kept inside a shrinking bracket: at worst bisection, which 60 steps bring to an ulp."""


class ConvexSeparable(AbstractConvexHamiltonian):
    """H(p) = Σ_i h_i(p_i), every h_i convex and differentiable: L(v) = Σ_i max_q (q v_i − h_i(q)).

    `terms` holds one elementwise function per axis, or a single one used on every axis. That they are convex is
    taken on trust (`Separable` makes no such claim). L and its proximal map are found by bracketed Newton iterations.
    """

    terms: tuple[Callable[[Values], Values], ...] | Callable[[Values], Values]

    def __init__(self, terms: Sequence[Callable[[Values], Values]] | Callable[[Values], Values]):
        self.terms = terms if callable(terms) else tuple(terms)
        require(callable(terms) or len(terms) > 0, "`terms` must hold at least one function; got none.")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """Σ_i h_i(p_i)."""
        return jnp.sum(self._values(p), axis=0)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """h_i'(p_i)."""
        return self._slopes(p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """The larger of |h_i'| at the two ends: exact, because h_i' increases."""
        return jnp.maximum(jnp.abs(self._slopes(p_lo)), jnp.abs(self._slopes(p_hi)))

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """The root of h_i' in [p_i⁻, p_i⁺] or the end next to it; else the end where h_i is larger."""
        zero = jnp.zeros_like(p_minus)
        least = self._solve(zero, 0.0, p_minus, p_plus)
        largest = jnp.where(self._values(p_minus) >= self._values(p_plus), p_minus, p_plus)
        return jnp.where(p_minus <= p_plus, least, largest)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """Σ_i (q_i v_i − h_i(q_i)), h_i'(q_i) = v_i; +inf where h_i' does not reach v_i within |q_i| <= 1e12."""

        def widen(_: int, reach: Vectors) -> Vectors:
            holds = (self._slopes(-reach) <= v) & (self._slopes(reach) >= v)
            return jnp.where(holds, reach, 2 * reach)

        reach = jax.lax.fori_loop(0, _DOUBLINGS, widen, jnp.ones_like(v))
        q = self._solve(v, 0.0, -reach, reach)
        held = jnp.all((self._slopes(-reach) <= v) & (self._slopes(reach) >= v), axis=0)
        return jnp.where(held, jnp.sum(q * v - self._values(q), axis=0), jnp.inf)

    def proximal(self, v: Vectors, step: Scalar) -> tuple[Vectors, Values]:
        """w_i = v_i − step·q_i with h_i'(q_i) + step·q_i = v_i, and L(w) = Σ q_i w_i − h_i(q_i)."""
        # The left side rises at least as fast as step·q, which brackets the root about 0.
        reach = jnp.abs(v - self._slopes(jnp.zeros_like(v))) / step
        q = self._solve(v, step, -reach, reach)
        w = v - step * q
        return w, jnp.sum(q * w - self._values(q), axis=0)

    def _solve(self, v: Vectors, step: Scalar | float, low: Vectors, high: Vectors) -> Vectors:
        """The root q in [low, high] of h'(q) + step·q = v."""

        def improve(_: int, carry: tuple[Vectors, Vectors, Vectors]) -> tuple[Vectors, Vectors, Vectors]:
            q, low, high = carry
            slope, bend = jax.jvp(self._slopes, (q,), (jnp.ones_like(q),))
            excess, rate = slope + step * q - v, bend + step
            low, high = jnp.where(excess <= 0, q, low), jnp.where(excess >= 0, q, high)
            newton = q - excess / jnp.where(rate > 0, rate, 1.0)
            sound = (rate > 0) & (newton >= low) & (newton <= high)
            return jnp.where(sound, newton, (low + high) / 2), low, high

        return jax.lax.fori_loop(0, _STEPS, improve, ((low + high) / 2, low, high))[0]

    def _values(self, p: Vectors) -> Vectors:
        return jnp.stack([h(p[i]) for i, h in enumerate(self._per_axis(p))])

    def _slopes(self, p: Vectors) -> Vectors:
        return jax.grad(lambda q: jnp.sum(self._values(q)))(p)

    def _per_axis(self, p: Vectors) -> tuple[Callable[[Values], Values], ...]:
        d = p.shape[0]
        if callable(self.terms):
            return (self.terms,) * d
        require(
            len(self.terms) == d,
            f"`terms` holds {len(self.terms)} functions but p has {d} components. Give one per dimension, or a "
            "single callable for all.",
        )
        return self.terms
