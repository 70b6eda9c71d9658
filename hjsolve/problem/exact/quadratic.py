"""The quadratic solution of `u_t + c|∇u|² = ε Δu`: smooth, in any dimension, at every ε >= 0."""

import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, concrete, require
from ...typing import Array, ArrayLike, Point, Scalar
from .. import hamiltonians, initials
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, cube


class Quadratic(AbstractExact):
    """u = ½xᵀSx + (ε/2c) log det(I + 2ctA), S = A(I + 2ctA)⁻¹, from g = ½xᵀAx.

    `A` is a symmetric matrix `[d, d]`, or a number for A·I in the dimension of x; `c > 0`; `viscosity` ε >= 0. A
    negative eigenvalue −a blows up at t = 1/(2ca), from where on u is NaN. Source: Evans, *PDE*, 4.4.1 (Hopf-Cole).
    """

    A: Array
    c: Array
    viscosity: Array

    def __init__(self, A: ArrayLike = 1.0, c: ArrayLike = 1.0, viscosity: ArrayLike = 0.0):
        self.A = as_array("A", A)
        self.c = as_number("c", c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")
        self.viscosity = as_number("viscosity", viscosity, least=0.0, remedy="Use 0 for the inviscid equation.")
        shape = self.A.shape
        require(
            shape == () or (len(shape) == 2 and shape[0] == shape[1]),
            f"`A` must be a number or a square matrix [d, d]; got shape {shape}. Use jnp.diag for one entry per axis.",
        )
        known = concrete(self.A)
        require(
            known is None or np.allclose(known, known.T, rtol=1e-6, atol=0.0),
            "`A` must be symmetric. Use (A + A.T)/2, which has the same quadratic form.",
        )

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, None if self.A.ndim == 0 else self.A.shape[0])
        if self.A.ndim == 0:
            growth = 1 + 2 * self.c * t * self.A
            growth = jnp.where(growth > 0, growth, jnp.nan)
            volume = x.shape[0] * jnp.log(growth)
            return 0.5 * self.A / growth * jnp.sum(x * x) + self.viscosity / (2 * self.c) * volume
        A = jnp.asarray(self.A, x.dtype)
        # Cholesky is NaN from the blow-up on, where a determinant could be positive again.
        factor = jnp.linalg.cholesky(jnp.eye(x.shape[0], dtype=x.dtype) + 2 * self.c * t * A)
        volume = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
        return 0.5 * x @ jax.scipy.linalg.cho_solve((factor, True), A @ x) + self.viscosity / (2 * self.c) * volume

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d (d = 1 for a number A), default horizon 1."""
        d = 1 if self.A.ndim == 0 else self.A.shape[0]
        return Problem(
            hamiltonians.Quadratic(self.c),
            self.viscosity,
            initials.Quadratic(self.A),
            cube(d) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )
