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
        spacing = self.mesh.spacing
        if i == j:
            padded = self.mesh.padded(self.u, i, self.order // 2)
            return stencil.second_derivative(padded, spacing[i], order=self.order, axis=i)
        first = stencil.first_derivative(self.mesh.padded(self.u, i, 3), spacing[i], axis=i)
        return stencil.first_derivative(self.mesh.padded(first, j, 3), spacing[j], axis=j)
