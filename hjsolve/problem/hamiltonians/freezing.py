"""max(H, 0): values that never rise."""

import jax.numpy as jnp

from ...typing import Scalar, Values, Vectors
from .base import AbstractHamiltonian, each


class Freezing(AbstractHamiltonian):
    """max(H(t, x, p), 0): the state may stop at any time, so that u never rises.

    With the control that minimises u, u(t, x) is the least value of the data reached at some time up to t, not at t
    alone: {u < 0} is the backward reachable tube of {g < 0} instead of its reachable set. Where the control maximises
    (avoids), the tube holds the states from which it cannot stay outside.
    Source: Mitchell, Bayen & Tomlin 2005, doi:10.1109/TAC.2005.851439.
    """

    hamiltonian: AbstractHamiltonian

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """max(H, 0)."""
        return jnp.maximum(self.hamiltonian(t, x, p), 0.0)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """∂H/∂p where H > 0, else 0."""
        moves = self.hamiltonian(t, x, p) > 0
        return each(lambda v: jnp.where(moves, v, 0.0), self.hamiltonian.velocity(t, x, p))

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """That of H."""
        return self.hamiltonian.speed_bound(t, x, p_lo, p_hi)
