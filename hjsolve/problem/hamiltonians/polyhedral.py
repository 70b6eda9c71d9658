"""H = max_k (a_k·p + b_k): finitely many velocities to choose from, each at its own cost."""

import itertools
from math import comb

import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, require
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian

_MOST_SIMPLICES = 20_000


class Polyhedral(AbstractConvexHamiltonian):
    """H(p) = max_k (a_k·p + b_k) with `slopes` a `[K, d]` and `offsets` b `[K]` (or a number).

    L(v) = min {−λ·b : Σ λ_k a_k = v, λ_k >= 0, Σ λ_k = 1}, +inf outside the convex hull of the a_k: the cost of mixing
    the velocities a_k into v. |p|_1, |p|_∞ and every other polyhedral norm are of this kind.
    """

    slopes: Array
    offsets: Array

    def __init__(self, slopes: ArrayLike, offsets: ArrayLike = 0.0):
        self.slopes = as_array("slopes", slopes)
        check_ndim("slopes", self.slopes, 2, "[K, d]", "One row per affine piece.")
        require(self.slopes.size > 0, f"`slopes` must hold at least one piece; got shape {self.slopes.shape}.")
        given = as_array("offsets", offsets)
        count = self.slopes.shape[0]
        require(
            given.shape in ((), (count,)),
            f"`offsets` must have shape [] or [K] = ({count},); got {given.shape}. One number per affine piece.",
        )
        self.offsets = given if given.ndim else given * np.ones(count)
        check_range("slopes", self.slopes, remedy="Leave out pieces that are infinite.")
        check_range("offsets", self.offsets, remedy="Leave out pieces of offset −inf; +inf makes H infinite.")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """max_k a_k·p + b_k."""
        return jnp.max(self._pieces(p), axis=0)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """The mean of the a_k that attain the maximum."""
        pieces = self._pieces(p)
        top = pieces == jnp.max(pieces, axis=0)
        share = top / jnp.sum(top, axis=0)
        return jnp.tensordot(jnp.asarray(self.slopes).T, share, axes=1, precision=jax.lax.Precision.HIGHEST)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """The largest |a_ki| among pieces that can be the highest somewhere in the box."""
        slopes = jnp.asarray(self.slopes)
        centre, half = (p_lo + p_hi) / 2, (p_hi - p_lo) / 2
        middle, spread = self._pieces(centre), jnp.tensordot(jnp.abs(slopes), half, axes=1)
        # A piece whose highest value lies below another's lowest is never the maximum; the margin covers round-off.
        margin = 1e-6 * (jnp.max(jnp.abs(middle) + spread, axis=0) + 1)
        possible = middle + spread >= jnp.max(middle - spread, axis=0) - margin
        size = jnp.abs(slopes).reshape(slopes.shape + (1,) * (p_lo.ndim - 1))
        return jnp.max(jnp.where(possible[:, None], size, 0.0), axis=0)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """The lowest cost over all simplices of d + 1 slopes that contain v; at most 20,000 of them.

        Raises `ValueError` beyond that number; `HopfLax` does not need it.
        """
        count, d = self.slopes.shape
        used = min(count, d + 1)
        simplices = comb(count, used)
        require(
            simplices <= _MOST_SIMPLICES,
            f"The Lagrangian of Polyhedral compares {simplices} simplices of slopes, more than {_MOST_SIMPLICES}. "
            "Leave out slopes, or use a method that does not read it (HopfLax with function data).",
        )
        subsets = np.array(list(itertools.combinations(range(count), used)))
        corners = jnp.concatenate([self.slopes, jnp.ones((count, 1), v.dtype)], axis=1)[subsets]
        inverse = jnp.linalg.pinv(corners.mT)
        target = jnp.concatenate([v.reshape(d, -1), jnp.ones((1, v.reshape(d, -1).shape[1]), v.dtype)])
        shares = inverse @ target
        slack = 64 * jnp.finfo(v.dtype).eps * (1 + jnp.max(jnp.abs(shares), axis=1))
        missed = jnp.max(jnp.abs(corners.mT @ shares - target), axis=1)
        size = 1 + jnp.max(jnp.abs(target), axis=0)
        inside = (jnp.min(shares, axis=1) >= -slack) & (missed <= slack * size)
        cost = -jnp.sum(jnp.asarray(self.offsets)[subsets][:, :, None] * shares, axis=1)
        return jnp.min(jnp.where(inside, cost, jnp.inf), axis=0).reshape(v.shape[1:])

    def _pieces(self, p: Vectors) -> Vectors:
        d = self.slopes.shape[1]
        require(p.shape[0] == d, f"`slopes` has {d} components but p has {p.shape[0]}. Give one per dimension.")
        heights = jnp.tensordot(jnp.asarray(self.slopes), p, axes=1, precision=jax.lax.Precision.HIGHEST)
        return heights + jnp.asarray(self.offsets).reshape((-1,) + (1,) * (p.ndim - 1))


def project_simplex(weights: Array) -> Array:
    """The nearest point of {λ_k >= 0, Σ λ_k = 1} to `weights` `[K]`, by sorting.

    Source: Duchi et al. 2008, doi:10.1145/1390156.1390191.
    """
    ranked = -jnp.sort(-weights)
    excess = (jnp.cumsum(ranked) - 1) / jnp.arange(1, len(weights) + 1, dtype=weights.dtype)
    last = jnp.sum(ranked > excess) - 1
    return jnp.maximum(weights - excess[last], 0.0)
