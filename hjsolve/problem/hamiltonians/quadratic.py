"""H = c|p|²: the Hamiltonian that the Hopf-Cole transform linearises and that log-sum-exp networks carry."""

from ...checks import check_range, number
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian, each, largest_magnitude, squared_length
from .unimodal import extreme_about_zero


class Quadratic(AbstractConvexHamiltonian):
    """H(p) = c|p|², L(v) = |v|²/(4c). `c > 0`; a traced or array `c` never recompiles."""

    c: Array

    def __init__(self, c: ArrayLike = 1.0):
        self.c = number("c", c)
        check_range("c", self.c, above=0.0, remedy="For a concave Hamiltonian solve for -u instead.")

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """c|p|²."""
        return self.c * squared_length(p)

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """2cp."""
        return each(lambda q: 2 * self.c * q, p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """2c max|p_i|."""
        return each(lambda q: 2 * self.c * q, largest_magnitude(p_lo, p_hi))

    def upwind(self, t: Scalar, x: Vectors, p_minus: Vectors, p_plus: Vectors) -> Vectors:
        """Least and largest along every axis at the |p_i| that are so."""
        return extreme_about_zero(p_minus, p_plus)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """|v|²/(4c)."""
        return squared_length(v) / (4 * self.c)

    def proximal(self, v: Vectors, step: Scalar) -> tuple[Vectors, Values]:
        """The proximal map of L, v/(1 + step/(2c)), and L there."""
        w = v / (1 + step / (2 * self.c))
        return w, squared_length(w) / (4 * self.c)
