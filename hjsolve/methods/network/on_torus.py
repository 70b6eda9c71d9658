"""What networks that march on the nodes of a torus have in common."""

import equinox as eqx
import jax.numpy as jnp

from ...problem import Problem
from ...problem.initials import Atoms
from ...typing import Points, Scalar, Values
from ..base import AbstractEvolution
from .fourier_grid import FourierGrid


class AbstractOnTorus(AbstractEvolution):
    """An evolution of node values, or of what they are made of, on `cells` nodes per axis of a torus."""

    cells: eqx.AbstractVar[tuple[int, ...]]

    def grid(self, problem: Problem) -> FourierGrid:
        """The nodes on the problem's torus, and their waves."""
        return FourierGrid(problem.domain, self.cells)

    def nodes(self, problem: Problem) -> Points:
        """The nodes `[m, d]`, last axis fastest."""
        return self.grid(problem).points

    def start_time(self, problem: Problem) -> Scalar:
        """0."""
        return jnp.zeros_like(jnp.asarray(problem.horizon))

    def data(self, problem: Problem) -> Values:
        """The initial data on the nodes `[n_1, ..., n_d]`."""
        assert not isinstance(problem.initial, Atoms)
        return eqx.filter_vmap(problem.initial)(self.grid(problem).points).reshape(self.cells)
