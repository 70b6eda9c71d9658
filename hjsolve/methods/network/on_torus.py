"""What networks that march on the nodes of a torus have in common."""

import equinox as eqx
import jax.numpy as jnp

from ...checks import require
from ...kernels.interpolate import interpolate
from ...problem import Problem
from ...problem.hopf_cole import check_periodic_data
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Points, Scalar, Values
from ..base import AbstractEvolution, Evaluation
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

    def check_torus(self, problem: Problem, who: str) -> None:
        """Refuse what is not a torus of this dimension, and data that are no periodic function."""
        d = problem.dimension
        require(d == len(self.cells), f"the network is of dimension {len(self.cells)} but the problem of {d}.")
        require(
            all(problem.domain.periodic), f"`domain` must be periodic in every axis: {who} wraps around. Use hj.Torus."
        )
        require(
            not isinstance(problem.initial, Atoms), "`initial` must be a function; got Atoms. Use particle.HopfCole."
        )
        check_periodic_data(problem, who)

    def between(self, problem: Problem, u: Values, points: Points | None) -> Evaluation:
        """Node values u and their central differences of second order, or both at `points` by quintic interpolation."""
        grid, d = self.grid(problem), len(self.cells)
        slopes = [(jnp.roll(u, -1, k) - jnp.roll(u, 1, k)) / (2 * grid.spacing[k]) for k in range(d)]
        fields = jnp.stack([u, *slopes], axis=-1)
        if points is None:
            values = fields.reshape(-1, d + 1)
        else:
            lower = jnp.asarray(grid.domain.lower)
            values = interpolate(fields, lower, grid.spacing, grid.domain.periodic, points)
        return Evaluation(values[:, 0], values[:, 1:], RESULTS.successful, {})
