"""Fourier pseudo-spectral solutions on a torus, with exponential time differencing."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_range, counts, number, require
from ...problem import Problem
from ...problem.hamiltonians.base import as_column, total
from ...problem.hopf_cole import check_periodic_data
from ...problem.initials import Atoms
from ...problem.viscosities import Constant
from ...results import RESULTS
from ...typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar
from ..base import Evaluation
from .exponential import etd_rk4
from .mesh import check_cells
from .on_grid import AbstractOnGrid
from .step_rules import halved
from .waves import between_nodes, gradient, modes_of, on_nodes, tail_of, wavenumbers

_COURANT = 0.5
"""Σ α_i Δt/Δx_i of the default step. ETD-RK4 is stable up to 1.3: the highest waves turn by 2π/3 a node."""
_RESOLVED = 1e-2
"""The tail beyond which u is not resolved: a layer 4ε/[∂H/∂p] of two cells has 0.02 to 0.04, a kink 0.06 and more.

Below it the error of u stayed under 1e-4 where layers form and meet.
"""
_FEWEST = 8
_MOVING, _FORCED = 256, 64
"""The fewest steps where the problem changes in time, and where it forces u."""


class SpectralState(eqx.Module):
    """The modes of u, half of the last axis, and the largest tail so far."""

    modes: Array
    tail: Scalar


class Spectral(AbstractOnGrid):
    """û_t = −ε|k|²û − F[H(t, x, ∇u)] on the `cells` nodes of a torus (a number, or one per axis), ε > 0 constant.

    Derivatives are exact for the waves |k_i| <= n_i/3 that are kept, the 2/3 rule, by which products of two alias
    nothing; the error in space falls faster than any power of Δx for smooth u. In time the viscous term is exact and
    the rest of order 4 (ETD-RK4); `dt` is the step, by default half a cell at the largest speed. The mean of u is a
    mode like the others.

    For smooth data and viscous layers wider than about two cells, which `stats["tail"]` measures: the share (root of a
    share of squares) of ∇u in the upper third of the waves kept, the largest since t = 0. Above 1e-2 the result is
    `under_resolved`: refine, or use FiniteDifference, which is made for kinks.
    Sources: Cox & Matthews 2002, doi:10.1006/jcph.2002.6995; Kassam & Trefethen 2005, doi:10.1137/S1064827502410633.
    """

    cells: int | tuple[int, ...] = eqx.field(static=True)
    dt: Array | None

    def __init__(self, cells: int | tuple[int, ...], *, dt: ArrayLike | None = None):
        self.cells = counts("cells", cells)
        self.dt = None if dt is None else number("dt", dt)
        least = min((self.cells,) if isinstance(self.cells, int) else self.cells)
        require(least >= _FEWEST, f"`cells` must be >= {_FEWEST}; got {cells}. Give one number, or one per axis.")
        if self.dt is not None:
            check_range("dt", self.dt, above=0.0, remedy="The step is a positive time; None chooses it.")

    def check(self, problem: Problem) -> None:
        """Refuse what is not a torus, a viscosity that varies or is 0, and data that are Atoms or not periodic."""
        check_cells(self.cells, problem.dimension)
        require(
            all(problem.domain.periodic),
            "`domain` must be periodic in every axis for Spectral. Use hj.Torus, or FiniteDifference.",
        )
        remedy = "Use FiniteDifference."
        kind = type(problem.viscosity).__name__
        require(
            isinstance(problem.viscosity, Constant), f"`viscosity` must be Constant for Spectral; got {kind}. {remedy}"
        )
        require(
            not isinstance(problem.initial, Atoms), f"`initial` must be a function for Spectral; got Atoms. {remedy}"
        )
        check_range("viscosity", _epsilon(problem), above=0.0, remedy=f"Waves cannot hold the kinks of ε = 0. {remedy}")
        check_periodic_data(problem, "Spectral")

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> SpectralState:
        """The modes of the data."""
        mesh = self.mesh(problem)
        assert not isinstance(problem.initial, Atoms)
        u = eqx.filter_vmap(problem.initial)(mesh.points).reshape(mesh.shape)
        modes = modes_of(mesh, u)
        return SpectralState(modes, tail_of(mesh, modes))

    def stable_dt(self, problem: Problem, t: Scalar, state: SpectralState) -> Scalar:
        """`dt`, or what Σ α_i Δt/Δx_i = 1/2 gives with the speeds α_i of ∇u; a constant to autodiff.

        At most horizon/256 where the problem changes in time, and horizon/64 where H(t, x, 0) varies in x.
        """
        if self.dt is not None:
            return jnp.asarray(self.dt, problem.horizon.dtype)
        mesh = self.mesh(problem)
        p = gradient(mesh, state.modes)

        def rate(t: Scalar) -> Scalar:
            speed = problem.hamiltonian.speed_bound(t, mesh.coordinates, p, p)
            return jnp.max(total(lambda s, h: s / h, speed, as_column(mesh.spacing, p)))

        now, longest = rate(t), self._longest(problem)
        dt = jnp.minimum(_COURANT / jnp.where(now > 0, now, 0.1 / longest), longest)
        if problem.changes_in_time:
            dt = halved(dt, lambda dt: dt * jnp.maximum(rate(t + dt / 2), rate(t + dt)) > 2 * _COURANT)
        return jax.lax.stop_gradient(dt)

    def _longest(self, problem: Problem) -> Scalar:
        """The longest step: short where the problem changes in time, or forces u and may bend what is flat."""
        if problem.changes_in_time:
            return problem.horizon / _MOVING
        return problem.horizon / _FORCED if problem.is_forced else problem.horizon

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: SpectralState) -> tuple[SpectralState, RESULTS]:
        """One step of ETD-RK4."""
        mesh = self.mesh(problem)

        def forcing(t: Scalar, modes: Array) -> Array:
            return -modes_of(mesh, problem.hamiltonian(t, mesh.coordinates, gradient(mesh, modes)))

        decay = -_epsilon(problem) * sum(k**2 for k in wavenumbers(mesh))
        new = etd_rk4(forcing, decay, t, dt, state.modes)
        finite = jnp.isfinite(jnp.sum(jnp.abs(new)))
        tail = jnp.maximum(state.tail, tail_of(mesh, new))
        return SpectralState(new, tail), RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)

    def evaluate(
        self,
        problem: Problem,
        t: Scalar,
        state: SpectralState,
        points: Points | None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Evaluation:
        """U and ∇u at the nodes, or at `points` by summing the waves there; `stats["tail"]`."""
        mesh = self.mesh(problem)
        fields = jnp.stack([state.modes, *(1j * k * state.modes for k in wavenumbers(mesh))])
        if points is None:
            values = on_nodes(mesh, fields).reshape(len(fields), -1).T
        else:
            values = between_nodes(mesh, fields, points)
        resolved = ~(state.tail > _RESOLVED)
        result = RESULTS.where(resolved, RESULTS.successful, RESULTS.under_resolved)
        return Evaluation(values[:, 0], values[:, 1:], result, {"tail": state.tail})

    def equation(self, problem: Problem, state: SpectralState | None = None) -> Problem:
        """The problem itself."""
        return problem


def _epsilon(problem: Problem) -> Scalar:
    assert isinstance(problem.viscosity, Constant)
    return jnp.asarray(problem.viscosity.epsilon)
