"""The kink |x| smoothed by viscosity: the closed solution that tests small ε."""

import jax
import jax.numpy as jnp
import numpy as np

from ...kernels.special import log_erfcx
from ...typing import Array, ArrayLike, Point, Scalar, Values
from .. import hamiltonians, initials
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, cube


class AbsoluteValue(AbstractExact):
    """`u_t + c u_x² = ε u_xx`, u(0, x) = |x|, in one dimension.

    ε > 0: u = −(ε/c) log ½[e^{(c/ε)(ct−x)} erfc((2ct−x)/√(4εt)) + e^{(c/ε)(ct+x)} erfc((2ct+x)/√(4εt))];
    ε = 0: u = x²/(4ct) for |x| <= 2ct, else |x| − ct. `viscosity` ε >= 0, `c > 0`.

    The error is a few ulp of |x| + ct + ε/c, whatever ε. Derivatives in ε are those of the branch, so 0 at ε = 0.
    Source: the Hopf-Cole and Hopf-Lax formulas, Evans, *PDE*, 4.4.1 and 3.3.2.
    """

    viscosity: Array
    c: Array

    def __init__(self, viscosity: ArrayLike = 0.0, c: ArrayLike = 1.0):
        self.viscosity = as_number("viscosity", viscosity, least=0.0, remedy="Use 0 for the inviscid equation.")
        self.c = as_number("c", c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, 1)
        spread = 4 * self.viscosity * t
        viscous = spread > 0
        # Where the other branch is taken, harmless numbers stand in, so that no NaN enters a gradient.
        spread = jnp.where(viscous, spread, 1.0)
        temperature = jnp.where(viscous, self.viscosity, 1.0) / self.c
        right, left = self._log_terms(t, jnp.stack([x[0], -x[0]]), spread, temperature)
        smooth = -temperature * (jnp.logaddexp(right, left) - np.log(2.0).item())
        return jnp.where(viscous, smooth, self._inviscid(t, x[0]))

    def _log_terms(self, t: Scalar, y: Values, spread: Scalar, temperature: Scalar) -> Values:
        """`(ct − y)c/ε + log erfc(z)`, z = (2ct − y)/√(4εt); for z > 0 the exponents are merged before they cancel."""
        z = (2 * self.c * t - y) / jnp.sqrt(spread)
        tail = z > 0
        merged = log_erfcx(jnp.where(tail, z, 0.0)) - y**2 / spread
        return jnp.where(tail, merged, (self.c * t - y) / temperature + jnp.log(jax.lax.erfc(jnp.where(tail, 0.0, z))))

    def _inviscid(self, t: Scalar, x: Scalar) -> Scalar:
        reach = 2 * self.c * t
        inside = jnp.abs(x) < reach
        return jnp.where(inside, x**2 / (2 * jnp.where(inside, reach, 1.0)), jnp.abs(x) - reach / 2)

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1], default horizon 1."""
        return Problem(
            hamiltonians.Quadratic(self.c),
            self.viscosity,
            initials.Norm(),
            cube(1) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )
