"""The viscosity a first-order scheme really solves with: the problem's own plus the scheme's dissipation."""

from collections.abc import Callable

from ...typing import Array, Point, Scalar, Values, Vectors
from ..hamiltonians import AbstractHamiltonian
from .base import AbstractViscosity, Hessian


class Numerical(AbstractViscosity):
    """base + Σ_i (α_i(p) Δx_i/2) ∂_ii u: the modified equation of local Lax-Friedrichs with first-order differences.

    α_i(p) is the Hamiltonian's own speed bound at p: |∂H/∂p_i|, or what a sampled bound makes of it. Where α_i
    depends on other components of p too, the scheme takes its maximum over their range on the grid and this is a lower
    bound. `spacing(x)` is Δx `[d, ...]` there. `root` and `bound` need ∇u, so they raise `TypeError`: the modified
    equation is for reading, and is solved by the scheme itself.
    """

    base: AbstractViscosity
    hamiltonian: AbstractHamiltonian
    spacing: Callable[[Vectors], Vectors]

    def contract(self, t: Scalar, x: Vectors, p: Vectors, hessian: Hessian) -> Values:
        """The base's term plus Σ_i (α_i Δx_i/2) ∂_ii u."""
        speed = self.hamiltonian.speed_bound(t, x, p, p)
        spacing = self.spacing(x)
        added = [speed[i] * spacing[i] / 2 * hessian[i, i] for i in range(p.shape[0])]
        return self.base.contract(t, x, p, hessian) + sum(added[1:], start=added[0])

    def root(self, t: Scalar, x: Point) -> Array:
        """Not a function of (t, x) alone: raises."""
        raise TypeError(
            "a numerical viscosity depends on ∇u and has no particle noise. Use the problem's own viscosity."
        )

    def bound(self, t: Scalar, x: Vectors) -> Values:
        """Not a function of (t, x) alone: raises."""
        raise TypeError("a numerical viscosity depends on ∇u. Use the problem's own viscosity to bound the time step.")
