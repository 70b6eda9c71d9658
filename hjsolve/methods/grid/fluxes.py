"""Numerical Hamiltonians Ĥ(p⁻, p⁺): consistent, and monotone with first-order differences."""

import abc

import equinox as eqx
import jax.numpy as jnp

from ...checks import require
from ...problem.hamiltonians import AbstractHamiltonian, Freezing
from ...problem.hamiltonians.base import each
from ...problem.hamiltonians.upwind import is_upwindable, upwind
from ...typing import Scalar, Values, Vectors


class AbstractFlux(eqx.Module):
    """A numerical Hamiltonian."""

    @abc.abstractmethod
    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Refuse Hamiltonians that it is not made for."""

    @abc.abstractmethod
    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """Ĥ `[n_1, ..., n_d]` from the one-sided derivatives `[d, n_1, ..., n_d]`."""


class GlobalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i| over the range of p on the whole grid.

    At every node, α_i is the bound for its own x. The most dissipative of the three, and the simplest.
    Source: Osher & Shu 1991, doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """The Lax-Friedrichs Hamiltonian."""
        lowest, highest = _on_grid(*_between(p_minus, p_plus))
        speed = hamiltonian.speed_bound(t, x, lowest, highest)
        return _central(hamiltonian, t, x, p_minus, p_plus) - _dissipation(speed, p_minus, p_plus)


class LocalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i|: monotone, so the default.

    The maximum is over p_i between p_i⁻ and p_i⁺ at that node and the other components over their range on the whole
    grid. Source: Osher & Shu 1991, doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """The local Lax-Friedrichs Hamiltonian."""
        d = p_minus.shape[0]
        own = _between(p_minus, p_plus)
        rest = _on_grid(*own) if d > 1 else own
        speeds = []
        for i in range(d):
            box = (jnp.stack([(a if k == i else b)[k] for k in range(d)]) for a, b in zip(own, rest, strict=True))
            speeds.append(hamiltonian.speed_bound(t, x, *box)[i])
        return _central(hamiltonian, t, x, p_minus, p_plus) - _dissipation(jnp.stack(speeds), p_minus, p_plus)


class LocalLocalLaxFriedrichs(AbstractFlux):
    """Ĥ = H((p⁻+p⁺)/2) − Σ_i α_i (p_i⁺ − p_i⁻)/2, α_i = max |∂H/∂p_i| over the box between p⁻ and p⁺ at that node.

    The least dissipative; where H couples its components it need not be monotone. doi:10.1137/0728049.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Any Hamiltonian."""

    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """The local local Lax-Friedrichs Hamiltonian."""
        speed = hamiltonian.speed_bound(t, x, *_between(p_minus, p_plus))
        return _central(hamiltonian, t, x, p_minus, p_plus) - _dissipation(speed, p_minus, p_plus)


class Godunov(AbstractFlux):
    """Ĥ = ext_{p_1} ... ext_{p_d} H(p), the minimum over [p_i⁻, p_i⁺] where p_i⁻ <= p_i⁺, else the maximum between.

    The solution of the Riemann problem at a node, so the least dissipative monotone choice. For Hamiltonians that fall
    and then rise along every axis, about a place that the other components do not move: Quadratic, Eikonal, Norm,
    Power, Linear, ConvexSeparable, and these with a potential or a source; Quadratic with a drift too.
    Source: Bardi & Osher 1991, doi:10.1137/0522022.
    """

    def check(self, hamiltonian: AbstractHamiltonian) -> None:
        """Refuse Hamiltonians whose extrema along the axes are not known."""
        require(
            is_upwindable(hamiltonian),
            f"`flux` Godunov does not know the extrema of {type(hamiltonian).__name__} along the axes. Use "
            "hj.methods.grid.fluxes.LocalLaxFriedrichs(), or give the Hamiltonian a method `upwind`.",
        )

    def __call__(
        self, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
    ) -> Values:
        """Godunov's Hamiltonian."""
        return hamiltonian(t, x, upwind(hamiltonian, t, x, p_minus, p_plus))


def numerical(
    flux: AbstractFlux, hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
) -> Values:
    """The flux's Ĥ; max(Ĥ, 0) for max(H, 0), whose dissipation would otherwise move what is at rest."""
    if isinstance(hamiltonian, Freezing):
        return jnp.maximum(numerical(flux, hamiltonian.hamiltonian, t, x, p_minus, p_plus), 0.0)
    return flux(hamiltonian, t, x, p_minus, p_plus)


def _between(p_minus: Vectors, p_plus: Vectors) -> tuple[Vectors, Vectors]:
    return each(jnp.minimum, p_minus, p_plus), each(jnp.maximum, p_minus, p_plus)


def _on_grid(low: Vectors, high: Vectors) -> tuple[Vectors, Vectors]:
    """The least and the largest of every component on the grid, everywhere."""
    lowest, highest = (
        jnp.stack([jnp.broadcast_to(join(component), component.shape) for component in components])
        for join, components in ((jnp.min, low), (jnp.max, high))
    )
    return lowest, highest


def _central(hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Values:
    return hamiltonian(t, x, each(lambda minus, plus: (minus + plus) / 2, p_minus, p_plus))


def _dissipation(speed: Vectors, p_minus: Vectors, p_plus: Vectors) -> Values:
    terms = [speed[i] * (p_plus[i] - p_minus[i]) for i in range(p_minus.shape[0])]
    return sum(terms[1:], start=terms[0]) / 2
