"""H(t, x, p) + b(t, x)·p: any Hamiltonian carried along by a velocity field."""

from collections.abc import Callable

import jax.numpy as jnp

from ...checks import require
from ...typing import Scalar, Values, Vectors
from .base import AbstractHamiltonian, each, total


class WithDrift(AbstractHamiltonian):
    """H(t, x, p) + b(t, x)·p. `drift` maps a time and `x [d, ...]` to `[d, ...]`.

    With H = c|p|² the Hopf-Cole variable solves w_t + b·∇w = εΔw: w(t, x) = E[w(0, X_t)] for
    dX = −b ds + √(2ε) dW, X_0 = x, with b taken at time t − s.
    """

    hamiltonian: AbstractHamiltonian
    drift: Callable[[Scalar, Vectors], Vectors]

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """H(t, x, p) + b·p."""
        return self.hamiltonian(t, x, p) + total(jnp.multiply, self.field(t, x), p)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """∂H/∂p + b."""
        return each(jnp.add, self.hamiltonian.velocity(t, x, p), self.field(t, x))

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """The bound of H plus |b_i|."""
        bound = self.hamiltonian.speed_bound(t, x, p_lo, p_hi)
        return each(lambda own, drift: own + jnp.abs(drift), bound, self.field(t, x))

    def field(self, t: Scalar, x: Vectors) -> Vectors:
        """b(t, x) `[d, ...]`."""
        b = jnp.asarray(self.drift(t, x))
        require(
            b.shape == x.shape,
            f"`drift` must map (t, x [d, ...]) to [d, ...]: x {x.shape} gave {b.shape}. Stack the components first; "
            "a constant vector must be broadcast to the shape of x.",
        )
        return b
