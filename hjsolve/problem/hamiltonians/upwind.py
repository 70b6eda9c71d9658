"""The p at which Godunov's numerical Hamiltonian is H itself, for Hamiltonians that fall and rise along every axis."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp

from ...typing import Scalar, Values, Vectors
from .base import AbstractHamiltonian, each
from .convex_separable import ConvexSeparable
from .drift import WithDrift
from .eikonal import Eikonal
from .freezing import Freezing
from .linear import Linear
from .norm import Norm
from .potential import WithPotential
from .power import Power
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


def has_engquist_osher(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether `engquist_osher` knows this Hamiltonian."""
    if isinstance(hamiltonian, WithPotential | WithSource):
        return has_engquist_osher(hamiltonian.hamiltonian)
    return _is_sum(hamiltonian) or _is_radial(hamiltonian)


def engquist_osher(
    hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors
) -> Values:
    """H(max(p⁻, m)) + H(min(p⁺, m)) − H(m) for a sum over the axes, H(√(max(p⁻, 0)² + min(p⁺, 0)²)) for a radial H.

    m may be taken between p⁻ and p⁺: beyond them it cancels.
    """
    if _is_radial(hamiltonian):
        return hamiltonian(t, x, each(_length, p_minus, p_plus))
    low, high = each(jnp.minimum, p_minus, p_plus), each(jnp.maximum, p_minus, p_plus)
    middle = upwind(hamiltonian, t, x, low, high)
    first = each(lambda m, minus, plus: jnp.where(minus <= plus, m, minus), middle, p_minus, p_plus)
    second = each(lambda m, minus, plus: jnp.where(minus <= plus, m, plus), middle, p_minus, p_plus)
    return hamiltonian(t, x, first) + hamiltonian(t, x, second) - hamiltonian(t, x, middle)


def _is_sum(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether H = Σ_i H_i(p_i), each of which falls and then rises."""
    if isinstance(hamiltonian, WithPotential | WithSource):
        return _is_sum(hamiltonian.hamiltonian)
    if isinstance(hamiltonian, WithDrift):
        return isinstance(hamiltonian.hamiltonian, Quadratic)
    if isinstance(hamiltonian, Norm):
        return hamiltonian.order == 1
    return isinstance(hamiltonian, Quadratic | Linear | ConvexSeparable)


def _is_radial(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether H rises with every |p_i| and depends on p_i² alone."""
    if isinstance(hamiltonian, WithPotential | WithSource):
        return _is_radial(hamiltonian.hamiltonian)
    return isinstance(hamiltonian, Eikonal | Power) or (isinstance(hamiltonian, Norm) and hamiltonian.order == 2)


def _length(minus: Values, plus: Values) -> Values:
    """√(max(p⁻, 0)² + min(p⁺, 0)²) with derivative 0 at 0."""
    square = jnp.maximum(minus, 0.0) ** 2 + jnp.minimum(plus, 0.0) ** 2
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
