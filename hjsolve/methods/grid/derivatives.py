"""One-sided derivatives of node values, as classes: what a finite-difference method is built from."""

import abc

import equinox as eqx

from ...kernels import stencil
from ...typing import Scalar, Values


class AbstractDerivative(eqx.Module):
    """A pair of one-sided first derivatives (p⁻, p⁺) along one axis."""

    width: eqx.AbstractClassVar[int]
    """Ghost values needed on each side."""
    order: eqx.AbstractClassVar[int]
    """The order of accuracy where u is smooth."""

    @abc.abstractmethod
    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """(p⁻, p⁺) at the unpadded nodes."""


class Upwind(AbstractDerivative):
    """First-order differences: monotone, so convergent for every Hamiltonian; adds |∂H/∂p_i| Δx_i/2 of viscosity."""

    width = 1
    order = 1

    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """Backward and forward difference."""
        return stencil.upwind1(padded, spacing, axis)


class ENO2(AbstractDerivative):
    """Second-order ENO: of two parabolas the less bent. doi:10.1137/0728049."""

    width = 2
    order = 2

    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """Left- and right-biased ENO2 derivatives."""
        return stencil.eno2(padded, spacing, axis)


class ENO3(AbstractDerivative):
    """Third-order ENO: the less bent parabola, made a cubic by the smaller third difference. doi:10.1137/0728049."""

    width = 3
    order = 3

    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """Left- and right-biased ENO3 derivatives."""
        return stencil.eno3(padded, spacing, axis)


class WENO3(AbstractDerivative):
    """Third-order WENO on the stencil of ENO2; second order where u'' vanishes. doi:10.1137/S106482759732455X."""

    width = 2
    order = 3

    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """Left- and right-biased WENO3 derivatives."""
        return stencil.weno3(padded, spacing, axis)


class WENO5(AbstractDerivative):
    """Fifth-order WENO: order 5 where u is smooth, no oscillation at kinks. doi:10.1137/S106482759732455X."""

    width = 3
    order = 5

    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """Left- and right-biased WENO5 derivatives."""
        return stencil.weno5(padded, spacing, axis)


class WENOZ(AbstractDerivative):
    """Fifth-order WENO-Z: as WENO5, with smaller errors where u'' vanishes. doi:10.1016/j.jcp.2007.11.038."""

    width = 3
    order = 5

    def __call__(self, padded: Values, spacing: Scalar, axis: int) -> tuple[Values, Values]:
        """Left- and right-biased WENO-Z derivatives."""
        return stencil.wenoz(padded, spacing, axis)
