"""One-sided derivatives of node values, as classes: what a finite-difference method is built from."""

import abc

import equinox as eqx

from ...kernels import stencil
from ...typing import Scalar, Values


class AbstractDerivative(eqx.Module):
    """A pair of one-sided first derivatives (p⁻, p⁺) along the leading axis."""

    width: eqx.AbstractClassVar[int]
    """Ghost values needed on each side."""
    order: eqx.AbstractClassVar[int]
    """The order of accuracy where u is smooth."""

    @abc.abstractmethod
    def __call__(self, padded: Values, spacing: Scalar) -> tuple[Values, Values]:
        """(p⁻, p⁺) at the unpadded nodes."""


class Upwind(AbstractDerivative):
    """First-order differences: monotone, so convergent for every Hamiltonian; adds |∂H/∂p_i| Δx_i/2 of viscosity."""

    width = 1
    order = 1

    def __call__(self, padded: Values, spacing: Scalar) -> tuple[Values, Values]:
        """Backward and forward difference."""
        return stencil.upwind1(padded, spacing)


class WENO5(AbstractDerivative):
    """Fifth-order WENO: order 5 where u is smooth, no oscillation at kinks. doi:10.1137/S106482759732455X."""

    width = 3
    order = 5

    def __call__(self, padded: Values, spacing: Scalar) -> tuple[Values, Values]:
        """Left- and right-biased WENO5 derivatives."""
        return stencil.weno5(padded, spacing)
