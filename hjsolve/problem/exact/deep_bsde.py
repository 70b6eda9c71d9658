"""The d-dimensional Hamilton-Jacobi-Bellman equation of the deep-BSDE literature, to round-off, in every dimension."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import require
from ...typing import Array, ArrayLike, Point, Scalar, Values
from .. import hamiltonians, initials
from ..base import Problem
from ..domains import AbstractDomain
from .base import AbstractExact, as_number, as_place, cube

_NODES = 256
_NEGLIGIBLE = 45.0
"""Terms below e^{-45} of the largest one leave float64 sums unchanged."""


class DeepBSDE(AbstractExact):
    """`u_t + λ|∇u|² = Δu`, u(0, x) = log((1 + |x|²)/2), in `dimension` d >= 1 with `lam` λ > 0.

    u = −(1/λ) log w, w = E[(2/(1 + |x + √(2t) Z|²))^λ] with Z standard normal in R^d. Writing the power as a Gamma
    integral makes the Gaussian one explicit, for every d and x:
    `w = (2^λ/Γ(λ)) ∫_0^∞ s^{λ−1} e^{−s} (1 + 4ts)^{−d/2} exp(−s|x|²/(1 + 4ts)) ds`,
    summed by the double-exponential trapezoidal rule in the log domain. The literature's value 4.5901 at d = 100,
    λ = 1, t = 1, x = 0 is 4.590161724605. Source: E, Han & Jentzen 2017, doi:10.1007/s40304-017-0117-6.
    """

    lam: Array
    dimension: int = eqx.field(static=True)

    def __init__(self, dimension: int = 100, lam: ArrayLike = 1.0):
        require(dimension >= 1, f"`dimension` must be >= 1; got {dimension}. Give the number of space dimensions.")
        self.dimension = dimension
        self.lam = as_number("lam", lam, above=0.0, remedy="λ = 0 is the heat equation.")

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        t, x = as_place(t, x, self.dimension)
        lam = jnp.asarray(self.lam, x.dtype)
        squared = jnp.sum(x * x)
        lower, upper = jax.lax.stop_gradient(self._window(t, squared, lam))
        xi = lower + (upper - lower) * np.linspace(0.0, 1.0, _NODES).astype(x.dtype)
        spacing = (upper - lower) / (_NODES - 1)
        log_integral = jax.nn.logsumexp(self._log_integrand(xi, t, squared, lam)) + jnp.log(spacing)
        u: Scalar = (jax.scipy.special.gammaln(lam) - log_integral) / lam - np.log(2.0).item()
        return u

    def _log_integrand(self, xi: Values, t: Scalar, squared: Scalar, lam: Scalar) -> Values:
        """The logarithm of s^λ e^{−s} ... ds/s under s = exp(ξ − e^{−ξ}), which decays doubly exponentially."""
        log_s = xi - jnp.exp(-xi)
        s = jnp.exp(log_s)
        spread = 1 + 4 * t * s
        decay = s + 0.5 * self.dimension * jnp.log1p(4 * t * s) + s * squared / spread
        return lam * log_s - decay + jnp.log1p(jnp.exp(-xi))

    def _window(self, t: Scalar, squared: Scalar, lam: Scalar) -> tuple[Scalar, Scalar]:
        """The ξ outside which the integrand is negligible, from a first look at its largest possible range."""
        lowest = jnp.log(lam / (1 + 2 * t * self.dimension + squared)) - _NEGLIGIBLE / lam - 10
        first = -jnp.log1p(jnp.maximum(-lowest, 0.0))
        last = jnp.log(4 * lam + 2 * _NEGLIGIBLE)
        xi = first + (last - first) * np.linspace(0.0, 1.0, _NODES).astype(t.dtype)
        values = self._log_integrand(xi, t, squared, lam)
        matters = values > jnp.max(values) - _NEGLIGIBLE
        margin = (last - first) / (_NODES - 1)
        lower = jnp.min(jnp.where(matters, xi, jnp.inf)) - margin
        return lower, jnp.max(jnp.where(matters, xi, -jnp.inf)) + margin

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        return Problem(
            hamiltonians.Quadratic(self.lam),
            1.0,
            initials.Custom(_log_growth),
            cube(self.dimension) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )


def _log_growth(x: Point) -> Scalar:
    g: Scalar = jnp.log1p(jnp.sum(x * x)) - np.log(2.0).item()
    return g
