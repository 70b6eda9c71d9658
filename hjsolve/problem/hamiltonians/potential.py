"""H(t, x, p) − V(x): any Hamiltonian with a potential."""

from collections.abc import Callable

import jax.numpy as jnp

from ...typing import Scalar, Values, Vectors
from .base import AbstractHamiltonian


class WithPotential(AbstractHamiltonian):
    """H(t, x, p) − V(x). `potential` maps `x [d, ...]` to `[...]`: write sums over the component axis, `axis=0`.

    With H = c|p|² the Hopf-Cole variable solves w_t = εΔw − (cV/ε)w.
    """

    hamiltonian: AbstractHamiltonian
    potential: Callable[[Vectors], Values]

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """H(t, x, p) − V(x)."""
        value = jnp.asarray(self.potential(x))
        if value.shape != x.shape[1:]:
            raise ValueError(
                f"`potential` must map x [d, ...] to [...]: x {x.shape} gave {value.shape}, expected {x.shape[1:]}. "
                "Sum over the components with axis=0."
            )
        return self.hamiltonian(t, x, p) - value

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """∂H/∂p, which V does not change."""
        return self.hamiltonian.velocity(t, x, p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """The bound of H."""
        return self.hamiltonian.speed_bound(t, x, p_lo, p_hi)
