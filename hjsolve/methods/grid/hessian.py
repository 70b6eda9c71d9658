"""Second derivatives of node values, computed only where a viscosity asks for them."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ...kernels import stencil
from ...problem.viscosities.base import Hessian
from ...typing import Scalar, Values
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


@eqx.filter_custom_jvp
def diffused(epsilon: Scalar, hessian: GridHessian) -> Values:
    """ε Σ_i ∂_ii u, for which nothing is computed where ε = 0."""
    return jax.lax.cond(epsilon > 0, lambda: epsilon * _laplacian(hessian), lambda: jnp.zeros_like(hessian.u))


@diffused.def_jvp  # type: ignore[untyped-decorator]
def _(primals: tuple[Scalar, GridHessian], tangents: tuple[Any, Any]) -> tuple[Values, Values]:
    """Σ_i ∂_ii u is the derivative in ε at 0 too."""
    (epsilon, hessian), (of_epsilon, of_hessian) = primals, tangents

    def changed() -> Values:
        change: Values = epsilon * eqx.filter_jvp(_laplacian, (hessian,), (of_hessian,))[1]
        return change

    none = jnp.zeros_like(hessian.u)
    tangent = none
    if jax.tree.leaves(of_hessian):
        tangent = jax.lax.cond(epsilon > 0, changed, lambda: none)
    if of_epsilon is not None:
        tangent = tangent + of_epsilon * _laplacian(hessian)
    return diffused(epsilon, hessian), tangent


def _laplacian(hessian: GridHessian) -> Values:
    second: Hessian = hessian
    return sum((second[i, i] for i in range(1, hessian.u.ndim)), start=second[0, 0])
