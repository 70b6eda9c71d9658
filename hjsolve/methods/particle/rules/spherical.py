"""A spherical-radial rule around a minimiser: for integrands far from Gaussian along rays, in 4 and 5 dimensions."""

from functools import cache

import jax.numpy as jnp
import numpy as np

from ....kernels.small import solve_transposed
from ....typing import Array, Float, Point, Scalar

_EDGES = (0.0, 0.04, 0.12, 0.25, 0.42, 0.62, 0.8, 1.0)
"""Where the radial panels end: finer at the centre, where a narrow core may sit in wide tails."""
_RADIAL = (6, 5)
"""Gauss-Legendre nodes a panel, of the rule and of its check."""
_ANGULAR = {4: (13, 10), 5: (10, 8)}
"""Polynomials on the sphere are exact up to degree 2n − 1."""
SPHERES = tuple(_ANGULAR)
"""Dimensions that this rule serves."""


def around(
    centre: Point, factor: Float[Array, "d d"], radius: Scalar, check: int
) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Nodes centre + r L⁻ᵀs on rays r <= `radius` in directions s, and their log-weights; LLᵀ is the Hessian there.

    Directions are a product of Gauss-Gegenbauer rules with an even rule on the last circle (Stroud, *Approximate
    calculation of multiple integrals*, 2.7).
    """
    d = centre.shape[0]
    directions, log_areas = _sphere(d, _ANGULAR[d][check])
    r, log_lengths = _radii(d, _RADIAL[check])
    n = len(directions)
    factors = jnp.broadcast_to(factor, (n, d, d))
    rays = radius * solve_transposed(factors, jnp.asarray(directions, centre.dtype))
    y = centre + jnp.asarray(r, centre.dtype)[:, None, None] * rays
    log_det = jnp.sum(jnp.log(jnp.diagonal(factor)))
    logs = jnp.asarray(log_lengths[:, None] + log_areas, centre.dtype) + d * jnp.log(radius) - log_det
    return y.reshape(-1, d), logs.reshape(-1)


@cache
def _sphere(d: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions `[N, d]` on the unit sphere and the logs of their areas."""
    from scipy.special import roots_gegenbauer

    angle = np.pi * (np.arange(2 * n) + 0.5) / n
    points, areas = np.stack([np.cos(angle), np.sin(angle)], axis=1), np.full(2 * n, np.pi / n)
    for k in range(3, d + 1):
        # the weight (1 − z²)^{(k−3)/2}; on the ordinary sphere that is Gauss-Legendre
        z, w = np.polynomial.legendre.leggauss(n) if k == 3 else roots_gegenbauer(n, (k - 2) / 2)
        ring = np.sqrt(1 - z**2)[:, None, None] * points
        caps = np.broadcast_to(z[:, None, None], (n, len(points), 1))
        points, areas = np.concatenate([ring, caps], axis=2).reshape(-1, k), np.outer(w, areas).reshape(-1)
    return points, np.log(areas)


@cache
def _radii(d: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes r in (0, 1) and the logs of weights for r^{d−1} dr."""
    z, w = np.polynomial.legendre.leggauss(n)
    half = np.diff(_EDGES)[:, None] / 2
    r = (np.array(_EDGES[:-1])[:, None] + half * (1 + z)).reshape(-1)
    return r, np.log((half * w).reshape(-1)) + (d - 1) * np.log(r)
