"""Discs that grow and merge under the eikonal equation."""

import jax.numpy as jnp

from ...checks import as_array, check_ndim, check_range, require
from ...typing import Array, ArrayLike, Point, Scalar
from .. import hamiltonians
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, at_start, cube


class EikonalDiscs(AbstractExact):
    """u = min_i max(|x − a_i| − st, 0) − R_i: `u_t + s|∇u| = 0` from the signed distance to a union of discs.

    `centres` a `[N, d]`, `radii` R `[N]` >= 0, `speed` s > 0. The zero level set is the union's boundary, each disc
    grown to radius R_i + st; the inside of u flattens at −R_i. Kinks lie where two discs are equally near. Inviscid.
    Source: the Hopf-Lax formula, min of g over the ball of radius st (Osher & Fedkiw, *Level Set Methods*).
    """

    centres: Array
    radii: Array
    speed: Array

    def __init__(self, centres: ArrayLike, radii: ArrayLike, speed: ArrayLike = 1.0):
        self.centres = as_array("centres", centres)
        self.radii = as_array("radii", radii)
        self.speed = as_number("speed", speed, above=0.0, remedy="Reverse the sign of u to move the front inwards.")
        check_ndim("centres", self.centres, 2, "[N, d]", "One row per disc.")
        require(self.centres.size > 0, f"`centres` must hold at least one disc; got shape {self.centres.shape}.")
        shape = self.centres.shape[:1]
        require(self.radii.shape == shape, f"`radii` must have shape [N] = {shape}; got {self.radii.shape}.")
        check_range("centres", self.centres, remedy="Every disc needs a place.")
        check_range("radii", self.radii, least=0.0, remedy="A radius of 0 is a point.")

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.centres.shape[1])
        squared = jnp.sum((x - jnp.asarray(self.centres)) ** 2, axis=1)
        away = squared > 0
        distance = jnp.where(away, jnp.sqrt(jnp.where(away, squared, 1.0)), 0.0)
        return jnp.min(jnp.maximum(distance - self.speed * t, 0.0) - self.radii)

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        d = self.centres.shape[1]
        domain = cube(d) if domain is None else domain
        return Problem(
            hamiltonians.Eikonal(self.speed), 0.0, at_start(self), domain, 1.0 if horizon is None else horizon
        )
