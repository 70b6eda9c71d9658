"""The p at which Godunov's numerical Hamiltonian is H itself, for Hamiltonians that fall and rise along every axis."""

from typing import Protocol, runtime_checkable

from ...typing import Scalar, Vectors
from .base import AbstractHamiltonian, each
from .drift import WithDrift
from .freezing import Freezing
from .potential import WithPotential
from .quadratic import Quadratic
from .source import WithSource
from .unimodal import extreme_about


@runtime_checkable
class Upwindable(Protocol):
    """An H whose least and largest values along an axis are where the other components of p have no say."""

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """p `[d, ...]`: along axis i, H is least over [p_i⁻, p_i⁺] where p_i⁻ <= p_i⁺, else largest between them."""
        ...


def is_upwindable(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether `upwind` knows this Hamiltonian."""
    if isinstance(hamiltonian, WithPotential | WithSource | Freezing):
        return is_upwindable(hamiltonian.hamiltonian)
    if isinstance(hamiltonian, WithDrift):
        return isinstance(hamiltonian.hamiltonian, Quadratic)
    return isinstance(hamiltonian, Upwindable)


def upwind(hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
    """See `Upwindable`; potentials, sources and max(·, 0) change nothing, a drift b moves c|p|²'s middle to −b/2c."""
    if isinstance(hamiltonian, WithPotential | WithSource | Freezing):
        return upwind(hamiltonian.hamiltonian, t, x, p_minus, p_plus)
    if isinstance(hamiltonian, WithDrift):
        assert isinstance(hamiltonian.hamiltonian, Quadratic)
        scale = -0.5 / hamiltonian.hamiltonian.c
        middle = each(lambda b: scale * b, hamiltonian.field(t, x))
        return each(extreme_about, middle, p_minus, p_plus)
    assert isinstance(hamiltonian, Upwindable)
    return hamiltonian.upwind(t, x, p_minus, p_plus)
