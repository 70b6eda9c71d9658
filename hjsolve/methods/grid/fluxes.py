"""Numerical Hamiltonians Ĥ(p⁻, p⁺): consistent, and monotone with first-order differences."""

import abc

import equinox as eqx
import jax.numpy as jnp

from ...problem.hamiltonians import AbstractHamiltonian
from ...problem.hamiltonians.base import each
from ...typing import Scalar, Values, Vectors


class AbstractFlux(eqx.Module):
    """A numerical Hamiltonian."""

    @abc.abstractmethod
    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """Ĥ `[n_1, ..., n_d]` from the one-sided derivatives `[d, n_1, ..., n_d]`."""


class LocalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i|.

    The maximum is over p_i between p_i⁻ and p_i⁺ at that node and the other components over their range on the whole
    grid. Source: Osher & Shu 1991, doi:10.1137/0728049.
    """

    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """The local Lax-Friedrichs Hamiltonian."""
        d = p_minus.shape[0]
        lo, hi = each(jnp.minimum, p_minus, p_plus), each(jnp.maximum, p_minus, p_plus)
        numerical = hamiltonian(t, x, each(lambda minus, plus: (minus + plus) / 2, p_minus, p_plus))
        lowest = [jnp.broadcast_to(jnp.min(lo[i]), lo[i].shape) for i in range(d)]
        highest = [jnp.broadcast_to(jnp.max(hi[i]), hi[i].shape) for i in range(d)]
        for i in range(d):
            box = (jnp.stack([own[k] if k == i else rest[k] for k in range(d)]) for own, rest in ((lo, lowest), (hi, highest)))
            speed = hamiltonian.speed_bound(t, x, *box)[i]
            numerical = numerical - speed * (p_plus[i] - p_minus[i]) / 2
        return numerical
