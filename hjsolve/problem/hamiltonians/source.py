"""H(t, x, p) + f(t): a source that is constant in space, as the unnormalised log-sum-exp layer carries."""

from collections.abc import Callable

from ...typing import Scalar, Values, Vectors
from .base import AbstractHamiltonian


class WithSource(AbstractHamiltonian):
    """H(t, x, p) + f(t). `source` maps a time to a number.

    `u_N = −(ε/c) log Σ_j exp(−cE_j/ε)` solves `u_t + c|∇u|² + dε/(2ct) = εΔu`: f(t) = dε/(2ct).
    """

    hamiltonian: AbstractHamiltonian
    source: Callable[[Scalar], Scalar]

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """H(t, x, p) + f(t)."""
        return self.hamiltonian(t, x, p) + self.source(t)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """∂H/∂p, which f does not change."""
        return self.hamiltonian.velocity(t, x, p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """The bound of H."""
        return self.hamiltonian.speed_bound(t, x, p_lo, p_hi)
