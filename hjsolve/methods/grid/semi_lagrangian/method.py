"""Semi-Lagrangian schemes: dynamic programming over long steps, along paths that are followed back from every node."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ....checks import check_range, concrete, counts, number, require, whole_number
from ....problem import Problem
from ....problem.boundaries import Dirichlet
from ....problem.hamiltonians.base import as_column
from ....problem.hopf_cole import check_periodic_data
from ....problem.initials import Atoms
from ....problem.probe import depends_on
from ....problem.viscosities import Constant
from ....results import RESULTS
from ....typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar, Values, Vectors
from ...base import Evaluation
from ..faces import check_faces, on_faces
from ..mesh import check_cells
from ..on_grid import AbstractOnGrid
from .search import Found, flat, lowest, refined, saddle
from .step import Step, faces_of, one_sided
from .systems import innermost, known_system, system_of

_GHOSTS = 3
"""So that the last cell's four nodes are ghosts or the face: what is continued by a line stays on it."""
_SAMPLES = {0: 1, 1: 9, 2: 7, 3: 5}
"""Inputs tried along each of their axes, by how many axes there are."""
_PIECES = 16
"""Of the horizon, at least: the default step where nothing moves yet."""
_MOVING = 256
"""And where the problem changes in time."""


class SemiLagrangian(AbstractOnGrid):
    """u(t + Δt, x) = min_w u(t, y) + ∫ ℓ, with y the end of the path that input w drives back from x for a time Δt.

    For convex H(p) the input is the velocity, y = x − Δt w at the cost Δt L(w); for a control system y is where the
    input takes the state (ext_a ext_b of a game). No step is unstable: `dt` may be many cells long. By default it is
    `courant` = 2 cells of the fastest characteristic, at most 1/16 of the horizon.

    H is `Quadratic`, `Eikonal`, `Norm`, `Power`, `ConvexSeparable` (any convex H(p) with a proximal map), `Linear`,
    `LQ` or a control system or game (`ControlAffine`, `Isaacs`, `DoubleIntegrator`, ...), each with drifts, potentials
    and sources. Inputs are held during a step, drifts and dynamics followed by Heun's rule and running costs taken at
    both ends: order 2 in Δt, and exact in time for H(p) alone. A constant ε > 0 is the mean over y ± √(2dεΔt) e_k:
    order 1 in Δt.

    `order` 3 interpolates by cubics, or by the flatter of two parabolas where second differences on both sides of a
    cell differ by more than a factor 3, as they do next to kinks: order 4 in Δx (3 next to inflections) for a fixed
    step, an error Δx⁴/Δt a unit of time; new extrema appear only between second differences that agree, as at smooth
    ones, and by 3/8 of the smaller at most. `order` 1 is multilinear and monotone, with an error Δx²/Δt.

    **The minimum** is searched in two stages, on the whole grid with one candidate at a time. First `samples` inputs an
    axis (default 9, 7, 5 in one, two, three dimensions) over all that are possible, by multilinear interpolation. Then
    the best of them and the optimal inputs of the one-sided slopes p⁻ and p⁺ at x are each improved by `refinements`
    proximal-gradient steps with secant curvatures, none of which is taken that does not descend; the lowest wins.
    Basins narrower than the distance of samples, 2·Δt·speed/samples, can be missed where steps are long. Finite sets
    of inputs, and games, are settled among all values (`samples` of them) by the full interpolant, unrefined; in a game
    the control moves first in every step: order 1 in Δt where its best input is no extreme point.

    **Faces.** Beyond `Extrapolation`, `AwayFromZero` and `StateConstraint` u is continued by a line as far as paths
    lead; beyond `Neumann` it is reflected. Through a `Dirichlet` face the path leaves, at the time it does, for the
    value there; not with ε > 0. Functions in H are asked up to a step beyond the box. Obstacles act at the ends of
    steps: first order in Δt where paths stop. Derivatives with respect to parameters are those at the fixed minimiser
    (envelope theorem).

    Sources: Falcone & Ferretti 2013, doi:10.1137/1.9781611973051; Camilli & Falcone 1995 (viscosity),
    doi:10.1051/m2an/1995290100971; Carlini, Ferretti & Russo 2005, doi:10.1137/040608787 (limited
    interpolation).
    """

    cells: int | tuple[int, ...] = eqx.field(static=True)
    order: int = eqx.field(static=True)
    samples: int | None = eqx.field(static=True)
    refinements: int = eqx.field(static=True)
    dt: Array | None
    courant: Array
    knows_obstacles = True

    def __init__(
        self,
        cells: int | tuple[int, ...],
        *,
        dt: ArrayLike | None = None,
        courant: ArrayLike = 2.0,
        order: int = 3,
        samples: int | None = None,
        refinements: int = 5,
    ):
        self.cells = counts("cells", cells)
        least = min((self.cells,) if isinstance(self.cells, int) else self.cells)
        require(least >= 4, f"`cells` must be >= 4; got {cells}. Give one number, or one per axis.")
        require(order in (1, 3), f"`order` must be 1 or 3; got {order!r}. It is the degree of the interpolation.")
        self.order = order
        self.dt = None if dt is None else number("dt", dt)
        if self.dt is not None:
            check_range("dt", self.dt, above=0.0, remedy="The step is a positive time.")
        self.courant = number("courant", courant)
        check_range("courant", self.courant, above=0.0, remedy="It is the length of the default step in cells.")
        self.samples = samples
        if samples is not None:
            self.samples = whole_number("samples", samples, least=2, remedy="Both ends of the range are samples.")
        self.refinements = whole_number("refinements", refinements, least=0, remedy="The default is 5.")

    def check(self, problem: Problem) -> None:
        """Refuse H without a known control form, varying viscosity, atoms, and Dirichlet faces with ε > 0."""
        d, otherwise = problem.dimension, "Use hj.methods.grid.FiniteDifference."
        check_cells(self.cells, problem.dimension)
        require(
            system_of(problem.hamiltonian, d) is not None,
            "SemiLagrangian needs a `hamiltonian` that is a minimum over velocities or inputs: Quadratic, Eikonal, "
            "Norm, Power, ConvexSeparable, Linear, LQ or a control system, under drifts, potentials and sources; got "
            f"{innermost(problem.hamiltonian)}. {otherwise}",
        )
        viscosity = problem.viscosity
        require(
            isinstance(viscosity, Constant),
            f"SemiLagrangian needs a constant `viscosity`; got {type(viscosity).__name__}. {otherwise}",
        )
        require(
            not isinstance(problem.initial, Atoms),
            "`initial` must not be Atoms for SemiLagrangian, whose grid cannot hold point masses. Use "
            "hj.methods.particle.HopfCole, which is exact for them.",
        )
        epsilon = concrete(viscosity.epsilon) if isinstance(viscosity, Constant) else None
        require(
            not faces_of(problem, Dirichlet) or epsilon is None or bool(np.all(epsilon == 0)),
            f"`boundary` must not be Dirichlet for SemiLagrangian with viscosity; got {epsilon}. {otherwise}",
        )
        check_faces(problem, self.mesh(problem), _GHOSTS)
        check_periodic_data(problem, "SemiLagrangian")

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Values:
        """The data on the nodes `[n_1, ..., n_d]`."""
        mesh = self.mesh(problem)
        assert not isinstance(problem.initial, Atoms)
        u = eqx.filter_vmap(problem.initial)(mesh.points).reshape(mesh.shape)
        return problem.confined(self.start_time(problem), mesh.coordinates, u)

    def stable_dt(self, problem: Problem, t: Scalar, state: Values) -> Scalar:
        """`dt`, or `courant` cells of the fastest characteristic; every step is stable.

        At most horizon/16 where characteristics bend, are forced or diffuse, and horizon/256 where the problem changes
        in time, at the largest speed within so much time.
        """
        horizon = jnp.asarray(problem.horizon)
        if self.dt is not None:
            return jnp.asarray(self.dt, horizon.dtype)
        assert isinstance(problem.viscosity, Constant)
        shares: tuple[float, ...] = (0.0,)
        if problem.changes_in_time:
            longest, shares = horizon / _MOVING, (0.0, 0.5, 1.0)
        elif known_system(problem).bends or problem.is_forced:
            longest = horizon / _PIECES
        else:
            longest = jnp.where(problem.viscosity.epsilon > 0, horizon / _PIECES, horizon)
        rates = [self._fastest(problem, t + share * longest, state) for share in shares]
        rate = functools.reduce(jnp.maximum, rates)
        limit = jnp.where(rate > 0, self.courant / jnp.where(rate > 0, rate, 1.0), longest)
        return jax.lax.stop_gradient(jnp.minimum(limit, longest))

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: Values) -> tuple[Values, RESULTS]:
        """One step of dynamic programming, with obstacles and what faces hold at its end."""
        mesh, x = self.mesh(problem), self.mesh(problem).coordinates
        new = self._advanced(problem, t, dt, state)
        new = problem.confined(t + dt, x, on_faces(problem, mesh, t + dt, new))
        return new, RESULTS.where(jnp.isfinite(jnp.sum(new)), RESULTS.successful, RESULTS.nonfinite)

    def evaluate(
        self, problem: Problem, t: Scalar, state: Values, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and the mean of its one-sided WENO3 slopes, at the nodes or by quintic interpolation at `points`."""
        mesh, d = self.mesh(problem), problem.dimension
        minus, plus = one_sided(mesh, state)
        fields = jnp.moveaxis(jnp.concatenate([state[None], (minus + plus) / 2]), 0, -1)
        values = fields.reshape(-1, d + 1) if points is None else mesh.at(fields, points)
        cells = self.stable_dt(problem, t, state) * self._fastest(problem, t, state)
        return Evaluation(values[:, 0], values[:, 1:], RESULTS.successful, {"cfl": cells})

    def equation(self, problem: Problem, state: Values | None = None) -> Problem:
        """The problem itself."""
        return problem

    def _fastest(self, problem: Problem, t: Scalar, state: Values) -> Scalar:
        """The most cells that a characteristic crosses in a unit of time along an axis."""
        mesh = self.mesh(problem)
        slopes = mesh.slopes(on_faces(problem, mesh, t, state))

        def rates(x: Vectors) -> Values:
            return problem.hamiltonian.speed_bound(t, x, *slopes.everywhere(x)) / as_column(mesh.spacing, x)

        somewhere = jnp.asarray(mesh.domain.lower)
        return jax.lax.stop_gradient(jnp.max(rates(mesh.coordinates if depends_on(rates, 0, somewhere) else somewhere)))

    def _advanced(self, problem: Problem, t: Scalar, dt: Scalar, state: Values) -> Values:
        """The least value over all inputs, differentiable at the minimiser."""
        mesh = self.mesh(problem)
        arrays, rest = eqx.partition((problem, mesh, t, dt, state), eqx.is_inexact_array)
        held: Any = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        fixed = Step(held[0], held[1], held[2], held[3], held[4], order=self.order)
        best = jax.lax.stop_gradient(self._least(fixed))
        live = Step(problem, mesh, t, dt, state, order=self.order)
        smooth, pull_back, share = jax.vjp(live.differentiable, best.w, has_aux=True)
        slope = jax.lax.stop_gradient(pull_back(jnp.ones_like(smooth))[0] / dt)
        # the input's own cost and range: those of the least of slope·w + cost, which moves with their parameters;
        # how long the input acts moves the cost alone, as `smooth` has the path's part
        least, duration = live.system.form.least(slope), dt * share
        held_duration, held_least = jax.lax.stop_gradient((duration, least))
        cost = held_least - jnp.sum(slope * best.w, axis=0)
        value = smooth + held_duration * least + (duration - held_duration) * cost
        return best.value + value - jax.lax.stop_gradient(value)

    def _least(self, step: "Step") -> "Found":
        """The best input at every node."""
        form, x = step.system.form, step.mesh.coordinates
        if form.size == 0:
            w = jnp.zeros((0, *x.shape[1:]), x.dtype)
            return Found(w, step.value(w, jnp.zeros(())))
        many = _SAMPLES.get(form.size, 3) if self.samples is None else self.samples
        steepest = jnp.maximum(*map(jnp.abs, step.mesh.slopes(step.u)))
        samples, costs = form.samples(many, steepest)
        answers = form.answers(many)
        if answers is not None:
            return saddle(step, samples, answers)
        refines = form.refinable and self.refinements > 0
        coarse = lowest(step, samples, costs, linear=refines)
        if not refines:
            return coarse
        size = jnp.sqrt(jnp.sum(form.reach(steepest) ** 2))
        slopes = [step.system.driven(step.t + step.dt, x, p) for p in one_sided(step.mesh, step.u)]
        bends = [flat(q, size) for q in slopes]
        # of a slope q the optimal input is the proximal step of −q from far away
        begins = [coarse.w, *(-q / bend for q, bend in zip(slopes, bends, strict=True))]
        bends = [jnp.full_like(step.u, 1e3 * jnp.max(steepest) / jnp.where(size > 0, size, 1.0)), *bends]

        def improve(start: tuple[Array, Array]) -> Found:
            return refined(step, start[0], start[1], size, self.refinements)

        found = jax.lax.map(improve, (jnp.stack(begins), jnp.stack(bends)))
        index = jnp.argmin(form.sign * found.value, axis=0)[None]
        w = jnp.take_along_axis(found.w, index[:, None], axis=0)[0]
        return Found(w, jnp.take_along_axis(found.value, index, axis=0)[0])
