"""Second derivatives of node values, computed only where a viscosity asks for them."""

from typing import NamedTuple

from ...kernels import stencil
from ...typing import Values
from .mesh import Mesh


class GridHessian(NamedTuple):
    """`hessian[i, j]` is ∂_ij u `[n_1, ..., n_d]` by central differences, pure of `order` 2 or 6, mixed of order 6."""

    mesh: Mesh
    u: Values
    order: int

    def __getitem__(self, index: tuple[int, int]) -> Values:  # type: ignore[override]
        i, j = index
        if i != j:
            return self._first(self._first(self.u, i), j)
        padded = self.mesh.padded(self.u, i, self.order // 2)
        second = stencil.second_derivative(padded, self.mesh.spacing[i], order=self.order, axis=i)
        stretch = self.mesh.stretch(i)
        return second if stretch is None else (second - self.mesh.bend(i) * self._first(self.u, i)) / stretch**2

    def _first(self, values: Values, axis: int) -> Values:
        slope = stencil.first_derivative(self.mesh.padded(values, axis, 3), self.mesh.spacing[axis], axis=axis)
        stretch = self.mesh.stretch(axis)
        return slope if stretch is None else slope / stretch
