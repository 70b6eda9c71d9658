"""H = c|w∘p|_q for q = 1, 2, ∞: speeds limited to a box, an ellipsoid or a cross-polytope."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_range, number, require
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian, as_column, largest_magnitude, smallest_magnitude
from .unimodal import extreme_about_zero

_NEWTON_STEPS = 30
"""For the ellipsoid; the left side is nearly linear in the multiplier, so that 5 to 10 usually do."""


class Norm(AbstractConvexHamiltonian):
    """H(p) = c|w∘p|_q, `order` q in {1, 2, inf}, `c` > 0, `weights` w > 0 (`[d]`, or a number).

    L(v) = 0 where |v/w|_{q'} <= c for the dual order q' (inf, 2, 1), else +inf: the velocity is confined to a box
    (q = 1), an ellipsoid (q = 2) or a cross-polytope (q = inf). With q = 2 and w = 1 it is `Eikonal(c)`.
    """

    c: Array
    weights: Array
    order: float = eqx.field(static=True)

    def __init__(self, order: float, c: ArrayLike = 1.0, weights: ArrayLike = 1.0):
        allowed = (1, 2, float("inf"))
        require(order in allowed, f"`order` must be 1, 2 or inf; got {order!r}. Use Power for c|p|^q.")
        self.order = float(order)
        self.c = number("c", c)
        self.weights = as_array("weights", weights)
        require(self.weights.ndim <= 1, f"`weights` must have shape [] or [d]; got {self.weights.shape}.")
        check_range("c", self.c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")
        check_range("weights", self.weights, above=0.0, remedy="Leave an axis that does not move out of the problem.")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """c|w∘p|_q, with zero derivative at p = 0."""
        return self.c * self._norm(self._widths(p) * p)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """One element of ∂H/∂p: the minimal one for q = 1, 2; the mean over the largest components for q = inf."""
        w = self._widths(p)
        weighted = w * p
        if self.order == 1:
            return self.c * w * jnp.sign(p)
        size = self._norm(weighted)
        if self.order == 2:
            return self.c * w * weighted / jnp.where(size > 0, size, 1.0)
        top = (jnp.abs(weighted) == size) & (size > 0)
        return self.c * w * jnp.sign(p) * top / jnp.maximum(jnp.sum(top, axis=0), 1)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """c w_i for q = 1; the exact maximum over the box for q = 2; c w_i for q = inf, 0 where i is never largest."""
        w = jnp.broadcast_to(self._widths(p_lo), p_lo.shape)
        if self.order == 1:
            return self.c * w
        largest, smallest = w * largest_magnitude(p_lo, p_hi), w * smallest_magnitude(p_lo, p_hi)
        if self.order == 2:
            others = jnp.maximum(jnp.sum(smallest**2, axis=0) - smallest**2, 0.0)
            squared = largest**2 + others
            share = jnp.where(squared > 0, largest / jnp.sqrt(jnp.where(squared > 0, squared, 1.0)), 1.0)
            return self.c * w * share
        return self.c * w * (largest >= jnp.max(smallest, axis=0))

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """Least and largest along every axis at the |p_i| that are so."""
        return extreme_about_zero(p_minus, p_plus)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """0 where |v/w|_{q'} <= c, +inf elsewhere."""
        scaled = jnp.abs(v / self._widths(v))
        if self.order == 1:
            size = jnp.max(scaled, axis=0)
        elif self.order == 2:
            size = jnp.sqrt(jnp.sum(scaled**2, axis=0))
        else:
            size = jnp.sum(scaled, axis=0)
        return jnp.where(size <= self.c, 0.0, jnp.inf)

    def proximal(self, v: Vectors, step: Scalar) -> tuple[Vectors, Values]:
        """The projection onto the set of velocities {L = 0}, whatever the step, and 0."""
        half_axes = jnp.broadcast_to(self.c * self._widths(v), v.shape)
        project = {1.0: project_box, 2.0: project_ellipsoid}.get(self.order, project_cross_polytope)
        return project(v, half_axes), jnp.zeros_like(v[0])

    def _widths(self, like: Vectors) -> Array:
        if self.weights.ndim == 0:
            return jnp.asarray(self.weights)
        d = self.weights.shape[0]
        require(like.shape[0] == d, f"`weights` has {d} components but p has {like.shape[0]}. Give one per dimension.")
        return as_column(self.weights, like)

    def _norm(self, q: Vectors) -> Values:
        if self.order == 1:
            return jnp.sum(jnp.abs(q), axis=0)
        if self.order == 2:
            squared = jnp.sum(q * q, axis=0)
            away = squared > 0
            return jnp.where(away, jnp.sqrt(jnp.where(away, squared, 1.0)), 0.0)
        return jnp.max(jnp.abs(q), axis=0)


def project_box(v: Vectors, half_axes: Vectors) -> Vectors:
    """The nearest point of {|w_i| <= a_i}."""
    return jnp.clip(v, -half_axes, half_axes)


def project_ellipsoid(v: Vectors, half_axes: Vectors) -> Vectors:
    """The nearest point of {Σ w_i²/a_i² <= 1}: w_i = a_i²v_i/(a_i² + μ).

    The multiplier μ >= 0 solves 1/|w/a| = 1. The left side is concave and increasing in μ, so that Newton's method from
    0 rises to the root and never passes it.
    """
    squares = half_axes**2
    scaled = half_axes * v
    outside = jnp.sum((v / half_axes) ** 2, axis=0) > 1

    def newton(_: int, mu: Values) -> Values:
        spread = squares + mu
        size = jnp.sum((scaled / spread) ** 2, axis=0)
        size = jnp.where(outside, size, 1.0)
        fall = jnp.where(outside, jnp.sum(scaled**2 / spread**3, axis=0), 1.0)
        return jnp.maximum(mu + (jnp.sqrt(size) - 1) * size / fall, 0.0)

    mu = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, jnp.zeros_like(v[0]))
    return jnp.where(outside, squares * v / (squares + mu), v)


def project_cross_polytope(v: Vectors, half_axes: Vectors) -> Vectors:
    """The nearest point of {Σ |w_i|/a_i <= 1}: |w_i| = max(|v_i| − μ/a_i, 0), with μ found by sorting the a_i|v_i|.

    Source: Duchi et al. 2008, doi:10.1145/1390156.1390191, with weights.
    """
    size = jnp.abs(v)
    outside = jnp.sum(size / half_axes, axis=0) > 1
    breaks = half_axes * size
    order = jnp.argsort(-breaks, axis=0)
    ranked = jnp.take_along_axis(breaks, order, axis=0)
    ratios = jnp.take_along_axis(size / half_axes, order, axis=0)
    inverse_squares = jnp.take_along_axis(1 / half_axes**2, order, axis=0)
    mu = (jnp.cumsum(ratios, axis=0) - 1) / jnp.cumsum(inverse_squares, axis=0)
    last = jnp.maximum(jnp.sum(ranked > mu, axis=0, keepdims=True) - 1, 0)
    threshold = jnp.take_along_axis(mu, last, axis=0)
    return jnp.where(outside, jnp.sign(v) * jnp.maximum(size - threshold / half_axes, 0.0), v)
