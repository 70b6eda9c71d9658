"""Travelling shocks that merge: the exact log-sum-exp solution, sharp at small ε and exact for all t."""

import jax
import jax.numpy as jnp

from ...checks import as_array, check_ndim, check_range, require
from ...typing import Array, ArrayLike, Point, Scalar
from .. import hamiltonians, initials
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, cube


class MultiShock(AbstractExact):
    """u = −(ε/c) log Σ_j exp((c/ε)(k_j·x + b_j + c|k_j|²t)), a smooth minimum of N planes of gradient −k_j.

    H = c|p|². `slopes` k `[N, d]`, `offsets` b `[N]` in the units of u (weights a_j of the exponentials are
    b_j = (ε/c) log a_j), `viscosity` ε > 0, `c > 0`. The shock between planes i and j has width
    2ε/(c|k_i − k_j|). Any ε > 0 is safe: the exponentials are summed in the log domain.
    Source: Whitham, *Linear and Nonlinear Waves*, 4.7 (confluence of shocks).
    """

    slopes: Array
    offsets: Array
    viscosity: Array
    c: Array

    def __init__(self, slopes: ArrayLike, offsets: ArrayLike, viscosity: ArrayLike, c: ArrayLike = 1.0):
        self.slopes = as_array("slopes", slopes)
        self.offsets = as_array("offsets", offsets)
        check_ndim("slopes", self.slopes, 2, "[N, d]", "One row per plane; for d = 1 use slopes[:, None].")
        require(self.slopes.size > 0, f"`slopes` must hold at least one plane; got shape {self.slopes.shape}.")
        shape = self.slopes.shape[:1]
        require(
            self.offsets.shape == shape,
            f"`offsets` must have shape [N] = {shape}; got {self.offsets.shape}. One number per plane.",
        )
        check_range("slopes", self.slopes, remedy="Every plane needs a slope.")
        check_range("offsets", self.offsets, remedy="Leave out a plane with infinite offset.")
        remedy = "Use a small positive value; the planes themselves are the limit."
        self.viscosity = as_number("viscosity", viscosity, above=0.0, remedy=remedy)
        self.c = as_number("c", c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.slopes.shape[1])
        slopes = jnp.asarray(self.slopes)
        planes = slopes @ x + self.offsets + self.c * t * jnp.sum(slopes**2, axis=1)
        temperature = self.viscosity / self.c
        return -temperature * jax.nn.logsumexp(planes / temperature)

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        return Problem(
            hamiltonians.Quadratic(self.c),
            self.viscosity,
            initials.LogSumExp(self.slopes, self.offsets, self.viscosity / self.c, sign=-1.0),
            cube(self.slopes.shape[1]) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )
