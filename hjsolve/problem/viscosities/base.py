"""What a viscosity is: the second-order term ε tr(Σ D²u), its noise, and a bound for the time step."""

import abc
from typing import Protocol

import equinox as eqx

from ...typing import Array, Point, Scalar, Values, Vectors


class Hessian(Protocol):
    """Second derivatives, indexed `hessian[i, j] -> [...]`: an array `[d, d, ...]`, or a grid's, computed on demand."""

    def __getitem__(self, index: tuple[int, int], /) -> Values: ...


class AbstractViscosity(eqx.Module):
    """The second-order term of `u_t + H(t, x, ∇u) = ε Δu` and of its generalisations."""

    @abc.abstractmethod
    def contract(self, t: Scalar, x: Vectors, p: Vectors, hessian: Hessian) -> Values:
        """ε tr(Σ D²u) `[...]`, from x and p `[d, ...]` and the second derivatives."""

    @abc.abstractmethod
    def root(self, t: Scalar, x: Point) -> Array:
        """`[d, k]`: a matrix σ with σσᵀ = 2εΣ, the noise of the particle dX = σ dW."""

    @abc.abstractmethod
    def bound(self, t: Scalar, x: Vectors) -> Values:
        """`[...]`: an upper bound on the eigenvalues of εΣ, for the diffusive time step."""
