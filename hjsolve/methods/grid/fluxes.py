"""Numerical Hamiltonians Ĥ(p⁻, p⁺): consistent, and monotone with first-order differences."""

import abc

import equinox as eqx
import jax.numpy as jnp

from ...problem.hamiltonians import AbstractHamiltonian
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
        lo, hi = jnp.minimum(p_minus, p_plus), jnp.maximum(p_minus, p_plus)
        numerical = hamiltonian(t, x, (p_minus + p_plus) / 2)
        grid = tuple(range(1, lo.ndim))
        lowest = jnp.broadcast_to(jnp.min(lo, axis=grid, keepdims=True), lo.shape)
        highest = jnp.broadcast_to(jnp.max(hi, axis=grid, keepdims=True), hi.shape)
        for i in range(d):
            own = (jnp.arange(d) == i).reshape((d,) + (1,) * (lo.ndim - 1))
            box = (jnp.where(own, lo, lowest), jnp.where(own, hi, highest)) if d > 1 else (lo, hi)
            speed = hamiltonian.speed_bound(t, x, *box)[i]
            numerical = numerical - speed * (p_plus[i] - p_minus[i]) / 2
        return numerical
