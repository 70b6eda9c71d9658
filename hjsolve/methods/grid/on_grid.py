"""What evolutions on a uniform grid that start at t = 0 have in common."""

import equinox as eqx
import jax.numpy as jnp

from ...problem import Problem
from ...typing import Points, Scalar
from ..base import AbstractEvolution
from .mesh import Mesh, mesh_on


class AbstractOnGrid(AbstractEvolution):
    """An evolution of node values, or of what they are made of, on `cells` equal cells (a number, or one per axis)."""

    cells: eqx.AbstractVar[int | tuple[int, ...]]

    def mesh(self, problem: Problem) -> Mesh:
        """The grid on the problem's domain."""
        return mesh_on(problem.domain, self.cells)

    def nodes(self, problem: Problem) -> Points:
        """The nodes `[m, d]`, last axis fastest."""
        return self.mesh(problem).points

    def start_time(self, problem: Problem) -> Scalar:
        """0."""
        return jnp.zeros_like(jnp.asarray(problem.horizon))
