"""The harmonic potential: the quadratic solution of `u_t + |∇u|² − k²|x|² = ε Δu`."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import concrete, require
from ...typing import Array, ArrayLike, Point, Scalar, Values, Vectors
from .. import hamiltonians, initials
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, cube


class Harmonic(AbstractExact):
    """u = ½S|x|² + (εd/2) log(C + (S₀/k)σ), S = k(S₀C + kσ)/(kC + S₀σ), C = cosh 2kt, σ = sinh 2kt.

    H = |p|² − k²|x|² and g = ½S₀|x|² in `dimension` d. `k > 0`; `S0 >= −k`, where S0 = ±k is stationary (below −k the
    solution blows up in finite time); `viscosity` ε >= 0. Source: Mehler's kernel under the Hopf-Cole transform.
    """

    k: Array
    S0: Array
    viscosity: Array
    dimension: int = eqx.field(static=True)

    def __init__(self, k: ArrayLike = 1.0, S0: ArrayLike = 0.0, viscosity: ArrayLike = 0.0, dimension: int = 1):
        self.k = as_number("k", k, above=0.0, remedy="Without a potential use hj.exact.Quadratic.")
        self.S0 = as_number("S0", S0, remedy="Give the curvature of the initial data.")
        self.viscosity = as_number("viscosity", viscosity, least=0.0, remedy="Use 0 for the inviscid equation.")
        require(dimension >= 1, f"`dimension` must be >= 1; got {dimension}. Give the number of space dimensions.")
        self.dimension = dimension
        start, stiffness = concrete(self.S0), concrete(self.k)
        if start is not None and stiffness is not None:
            require(
                start >= -stiffness,
                f"`S0` must be >= -k = {-stiffness:g}; got {start:g}. Below it the solution blows up in finite time.",
            )

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.dimension)
        angle, ratio = 2 * self.k * t, self.S0 / self.k
        # Numerator and denominator divided by e^{2kt}, so that nothing overflows.
        transient = (1 - ratio) * jnp.exp(-2 * angle)
        shrunk = (1 + ratio + transient) / 2
        curvature = self.k * (1 + ratio - transient) / (2 * shrunk)
        volume = angle + jnp.log(shrunk)
        return 0.5 * curvature * jnp.sum(x * x) + 0.5 * self.viscosity * self.dimension * volume

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        return Problem(
            hamiltonians.WithPotential(hamiltonians.Quadratic(np.ones(())), _Well(self.k)),
            self.viscosity,
            initials.Quadratic(self.S0),
            cube(self.dimension) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )


class _Well(eqx.Module):
    k: Array

    def __call__(self, x: Vectors) -> Values:
        return self.k**2 * jnp.sum(x * x, axis=0)
