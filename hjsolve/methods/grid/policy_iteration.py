"""Policy iteration (Howard's algorithm): convex stationary equations by a few linear ones."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, counts, number, require, whole_number
from ...kernels.interpolate import interpolate
from ...kernels.sweep import Near, neighbours, turned
from ...problem.hamiltonians import AbstractHamiltonian
from ...problem.hamiltonians.upwind import is_upwindable, upwind
from ...problem.stationary import StationaryProblem
from ...problem.viscosities import Constant, Numerical, Varying
from ...results import RESULTS
from ...typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar, Values, Vectors
from ..base import AbstractStationary, Evaluation
from .derivatives import Upwind
from .fixed_point import SweptEquation, at_width, held, implicit, iterate
from .local_updates import AbstractUpdate, central_difference, known
from .mesh import Mesh, check_cells, mesh_on
from .multigrid import Stencil, coarse_correction
from .stationary_equation import discretised, supersolution
from .stationary_grid import Closed, Outflow, check_target, upwind_gradient, with_faces

_FORCING = 1e-3
"""Of the residual before an improvement, what its linear equation leaves: less would not save improvements."""
_CYCLES = 200
_HELPFUL = 0.8
"""The share of the squared residual that a coarse correction must remove to be taken."""
_NEARLY = 1e-2
"""The relative change of u at which nonlinear sweeps end, and improvements choose where to be central."""
_PREPARING = 20
_ROUNDS = 10_000


class PolicyIteration(AbstractStationary):
    """`λu + H(x, ∇u) = ε Δu + f` for H convex in p: freeze the control that is best for u, solve for its cost, repeat.

    With the velocity v = ∂H/∂p(x, q) at the present upwind gradient q, the next u solves the linear equation
    `λu + v·∇u = ε Δu + f + v·q − H(x, q)`, which is Newton's method: u falls at every improvement, and
    superlinearly, in a number of improvements nearly independent of the grid. Differences are one-sided by the sign of
    v, so monotone and of first order in Δx; central, of second order, at nodes where |v_i|Δx_i <= 2ε from the first
    improvement on. Linear equations are solved by sweeps in all directions, which carry what is transported, and
    multigrid corrections, which spread what diffuses: `cells` that halve often make them fast.

    For Hamiltonians with known extrema along the axes: Quadratic, Eikonal, Norm, Power, Linear, ConvexSeparable, with
    potentials and sources; Quadratic with a drift. Stops when an improvement changes u by less than `tolerance` of its
    largest value, or after `max_improvements`. Differentiable in reverse mode (the adjoint equation is solved by
    sweeps, slowly where viscosity dominates). Source: Bokanowski, Maroso & Zidani 2009, doi:10.1137/08073041X.
    """

    cells: int | tuple[int, ...] = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    max_improvements: int = eqx.field(static=True)

    def __init__(self, cells: int | tuple[int, ...], *, tolerance: ArrayLike = 1e-9, max_improvements: int = 200):
        self.cells = counts("cells", cells)
        tolerance = number("tolerance", tolerance)
        check_range("tolerance", tolerance, above=0.0, remedy="It is relative to the largest |u|.")
        self.tolerance = float(tolerance)
        self.max_improvements = whole_number(
            "max_improvements", max_improvements, least=1, remedy="The default is 200."
        )
        require(
            min((self.cells,) if isinstance(self.cells, int) else self.cells) >= 4,
            f"`cells` must be >= 4; got {cells}. Give one number, or one per axis.",
        )

    def check(self, problem: StationaryProblem) -> None:  # type: ignore[override]
        """Refuse H without known extrema along the axes, matrix-valued viscosity, and a target without a node."""
        check_cells(self.cells, problem.dimension)
        require(
            is_upwindable(problem.hamiltonian),
            f"`hamiltonian` must be convex with known extrema along the axes for PolicyIteration; got "
            f"{type(problem.hamiltonian).__name__}. Use FastSweeping, or give the Hamiltonian a method `upwind`.",
        )
        require(
            isinstance(problem.viscosity, Constant | Varying),
            f"`viscosity` must be Constant or Varying for PolicyIteration; got {type(problem.viscosity).__name__}.",
        )
        check_target(problem, self.mesh(problem))

    def mesh(self, problem: StationaryProblem) -> Mesh:
        """The grid on the problem's domain."""
        return mesh_on(problem.domain, self.cells)

    def nodes(self, problem: StationaryProblem) -> Points:
        """The nodes `[m, d]`, last axis fastest."""
        return self.mesh(problem).points

    def relax(
        self, problem: StationaryProblem, *, key: PRNGKeyArray | None = None
    ) -> tuple[Values, RESULTS, dict[str, Array]]:
        """U on the nodes `[n_1, ..., n_d]`; stats: improvements, linear cycles, the last relative change, residual."""
        mesh = self.mesh(problem)
        tolerance = max(self.tolerance, 64 * float(np.finfo(mesh.spacing.dtype).eps))
        update = UpwindUpdate(jnp.asarray(problem.discount), mesh.spacing, 1, problem.hamiltonian)
        x = tuple(mesh.coordinates[k] for k in range(problem.dimension))
        data = {"x": x, "central": jnp.zeros(mesh.shape, bool)}
        equation = at_width(discretised(problem, mesh, 1, update, data), 1, Closed())
        u, _ = supersolution(problem, equation, tolerance, _ROUNDS)
        u, _, _ = iterate(equation, u, _NEARLY, _PREPARING)
        u, improvements, cycles, change, central = _improve(equation, u, tolerance, self.max_improvements)
        equation = eqx.tree_at(lambda e: e.data["central"], equation, central)
        u = implicit(equation, jax.lax.stop_gradient(u), tolerance, _ROUNDS)
        stats = {
            "improvements": improvements,
            "cycles": cycles,
            "change": change,
            "residual": equation.residual(u),
            "central": jnp.mean(central & equation.free, dtype=u.dtype),
        }
        ended = RESULTS.where(change <= tolerance, RESULTS.successful, RESULTS.not_converged)
        return u, RESULTS.where(jnp.all(jnp.isfinite(u)), ended, RESULTS.nonfinite), stats

    def evaluate(
        self,
        problem: StationaryProblem,  # type: ignore[override]
        t: Scalar,
        state: Values,
        points: Points | None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Evaluation:
        """U and its gradient, central where viscosity decides, else upwind; at `points` by linear interpolation."""
        mesh = self.mesh(problem)
        gradient = _scheme_gradient(problem, mesh, state)
        d = problem.dimension
        fields = jnp.moveaxis(jnp.concatenate([state[None], gradient]), 0, -1)
        if points is None:
            values = fields.reshape(-1, d + 1)
        else:
            domain = mesh.domain
            values = interpolate(fields, jnp.asarray(domain.lower), mesh.spacing, domain.periodic, points, order=1)
        return Evaluation(values[:, 0], values[:, 1:], RESULTS.successful, {})

    def equation(self, problem: StationaryProblem, state: Values | None = None) -> StationaryProblem:  # type: ignore[override]
        """The problem with the viscosity ½|∂H/∂p_i|Δx_i that one-sided differences add (central ones: none)."""
        viscosity = Numerical(problem.viscosity, problem.hamiltonian, self.mesh(problem).spacing_at)
        return eqx.tree_at(lambda p: p.viscosity, problem, viscosity)


class UpwindUpdate(AbstractUpdate):
    """One Newton step for `λu + Ĥ = f + ε Δ_h u` at a node: Ĥ is Godunov's Hamiltonian, or of central differences.

    From above the root, where the step starts and ends, it never passes it, as the left side is convex in u.
    """

    discount: Array
    spacing: Array
    width: int = eqx.field(static=True)
    hamiltonian: AbstractHamiltonian

    def __call__(self, near: Near, data: dict[str, Any], flips: list[Array]) -> Values:
        """The new u at the nodes."""
        near = turned(near, flips)
        _, velocity = self._slope(near, data)
        rate = self.discount
        for row, speed, h in zip(near, velocity, self.spacing, strict=True):
            strength, _ = central_difference(row, h, data["epsilon"], 1)
            rate = rate + strength + jnp.where(data["central"], 0.0, jnp.abs(speed) / h)
        rate = jax.lax.stop_gradient(rate)
        return near[0][1] - jnp.where(rate > 0, self.residual(near, data) / jnp.where(rate > 0, rate, 1.0), 0.0)

    def residual(self, near: Near, data: dict[str, Any]) -> Values:
        """λu + Ĥ − f − ε Δ_h u; its derivative is the linear equation of the control that is best for u."""
        left = self.discount * near[0][1] - data["right"]
        for row, h in zip(near, self.spacing, strict=True):
            strength, mean = central_difference(row, h, data["epsilon"], 1)
            left = left + strength * (row[1] - mean)
        slope, _ = self._slope(near, data)
        return left + self.hamiltonian(jnp.zeros((), left.dtype), jnp.stack(data["x"]), slope)

    def _slope(self, near: Near, data: dict[str, Any]) -> tuple[Vectors, Vectors]:
        """(q, v = ∂H/∂p(q)), with q a function of the difference on the side that v comes from, even at ties."""
        minus, plus = one_sided(near, self.spacing)
        t, x = jnp.zeros((), minus.dtype), jnp.stack(data["x"])
        best = jnp.where(data["central"], (minus + plus) / 2, upwind(self.hamiltonian, t, x, minus, plus))
        best = jax.lax.stop_gradient(best)
        velocity = jax.lax.stop_gradient(self.hamiltonian.velocity(t, x, best))
        sided = jnp.where(velocity > 0, minus, jnp.where(velocity < 0, plus, best))
        return jnp.where(data["central"], (minus + plus) / 2, sided), velocity

    def stays_monotone(self, near: Near, data: dict[str, Any]) -> Array:
        """Where central differences are: |v_i|Δx_i < 2ε on every axis for both one-sided slopes, so at kinks too."""
        minus, plus = one_sided(near, self.spacing)
        inner = known(sum(near, ()))
        t, x = jnp.zeros((), minus.dtype), jnp.stack(data["x"])
        spacing = self.spacing.reshape((-1,) + (1,) * inner.ndim)
        for slope in (minus, plus):
            speed = jnp.abs(self.hamiltonian.velocity(t, x, jnp.where(inner, slope, 0.0)))
            inner = inner & jnp.all(speed * spacing < 2 * data["epsilon"], axis=0)
        return inner


def one_sided(near: Near, spacing: Array) -> tuple[Vectors, Vectors]:
    """First-order differences (p⁻, p⁺)."""
    minus = [(row[1] - row[0]) / h for row, h in zip(near, spacing, strict=True)]
    plus = [(row[2] - row[1]) / h for row, h in zip(near, spacing, strict=True)]
    return jnp.stack(minus), jnp.stack(plus)


def _improve(
    equation: SweptEquation, u: Values, tolerance: float, limit: int
) -> tuple[Values, Array, Array, Scalar, Array]:
    """(u, improvements, cycles, change, central)."""
    equation, u = held((equation, u))

    def unfinished(carry: Any) -> Array:
        _, count, _, change, _, chosen = carry
        return ((change > tolerance) | ~chosen) & (count < limit)

    def once(carry: Any) -> Any:
        u, count, cycles, change, central, chosen = carry
        assert isinstance(equation.update, UpwindUpdate)
        monotone = equation.update.stays_monotone(neighbours(equation.fill(u), 1), equation.data)
        # chosen once u is nearly right, and only ever taken back: choices that come and go need not end
        central = monotone & jnp.where(chosen, central, change < _NEARLY)
        chosen = chosen | (change < _NEARLY)
        defect, stencil, start = _linearised(eqx.tree_at(lambda e: e.data["central"], equation, central), u)
        step, more = _solved(stencil, -defect, start)
        new = u + step
        size = jnp.max(jnp.abs(new))
        change = jnp.max(jnp.abs(step)) / jnp.where(size > 0, size, 1.0)
        return new, count + 1, cycles + more, change, central, chosen

    none = jnp.zeros((), int)
    nowhere, no = jnp.zeros(u.shape, bool), jnp.asarray(False)
    start = (u, none, none, jnp.asarray(jnp.inf, u.dtype), nowhere, no)
    return jax.lax.while_loop(unfinished, once, start)[:5]


def _linearised(equation: SweptEquation, u: Values) -> tuple[Values, Stencil, Values]:
    """(defect, its derivative, the step where that is known): u + step is the cost of the control best for u."""
    mesh, update = equation.mesh, equation.update
    defect, pull_back = jax.vjp(lambda near: update.residual(near, equation.data), neighbours(equation.fill(u), 1))
    (slopes,) = pull_back(jnp.ones_like(u))
    diagonal = sum(row[1] for row in slopes)
    sides = []
    for axis, row in enumerate(slopes):
        diagonal, pair = _with_ghosts(mesh, u, axis, diagonal, (-row[0], -row[2]))
        sides.append(pair)
    diagonal = jnp.where(diagonal > 0, diagonal, 1.0)
    free, step = equation.free, jnp.zeros_like(u)
    if equation.cap is not None:  # leaving through the face is cheaper
        leaves = free & (defect < diagonal * (u - equation.cap))
        free, step = free & ~leaves, jnp.where(leaves, equation.cap - u, 0.0)
    return jnp.where(free, defect, 0.0), Stencil(diagonal, tuple(sides), free, mesh.domain.periodic), step


def _with_ghosts(
    mesh: Mesh, u: Values, axis: int, diagonal: Values, sides: tuple[Values, Values]
) -> tuple[Values, tuple[Values, Values]]:
    """The coefficients with those of ghosts, which are functions of the face and its neighbour, passed on to these."""
    if mesh.domain.periodic[axis]:
        return diagonal, sides
    below, above = sides
    _, change = jax.linearize(lambda v: mesh.ghosts(v, axis, 1), u)
    for side, face, inner in ((0, 0, 1), (1, -1, -2)):
        place, second = ((*(slice(None),) * axis, slice(k, (k + 1) or None)) for k in (face, inner))
        own, next_one = (change(jnp.zeros_like(u).at[at].set(1.0))[side] for at in (place, second))
        outward = (below, above)[side][place]
        diagonal = diagonal.at[place].add(-outward * own)
        if side == 0:
            below, above = below.at[place].set(0.0), above.at[place].add(outward * next_one)
        else:
            below, above = below.at[place].add(outward * next_one), above.at[place].set(0.0)
    return diagonal, (below, above)


def _solved(stencil: Stencil, right: Values, start: Values) -> tuple[Values, Array]:
    """The solution of a linear equation, to `_FORCING` of its right side, and the cycles taken.

    A cycle is a round of sweeps and a correction from coarser grids, of the length that leaves the least residual.
    """
    right = jnp.where(stencil.free, right, 0.0)
    goal = _FORCING * jnp.max(jnp.abs(right))

    def unfinished(carry: Any) -> Array:
        _, left, count = carry
        return (jnp.max(jnp.abs(left)) > goal) & (count < _CYCLES)

    def cycle(carry: Any) -> Any:
        e, _, count = carry
        e = stencil.swept(e, right)
        left = jnp.where(stencil.free, right - stencil(e), 0.0)
        correction = coarse_correction(stencil, left)
        image = jnp.where(stencil.free, stencil(correction), 0.0)
        along, squared, size = jnp.sum(left * image), jnp.sum(image**2), jnp.sum(left**2)
        # where coarse grids see something else than the fine one (transport), sweeps alone converge
        helps = (along > 0) & (along**2 > _HELPFUL * squared * size)
        length = jnp.where(helps, along / jnp.where(squared > 0, squared, 1.0), 0.0)
        return e + length * correction, left - length * image, count + 1

    begin = jnp.where(stencil.free, right - stencil(start), 0.0)
    e, _, count = jax.lax.while_loop(unfinished, cycle, (start, begin, jnp.zeros((), int)))
    return e, count


def _scheme_gradient(problem: StationaryProblem, mesh: Mesh, u: Values) -> Vectors:
    continued = with_faces(mesh, Outflow())
    pairs = [continued.padded(u, k, 1) for k in range(u.ndim)]
    mean = jnp.stack(
        [
            (jax.lax.slice_in_dim(p, 2, None, axis=k) - jax.lax.slice_in_dim(p, 0, -2, axis=k)) / (2 * mesh.spacing[k])
            for k, p in enumerate(pairs)
        ]
    )
    t, x = jnp.zeros((), u.dtype), mesh.coordinates
    spacing = mesh.spacing.reshape((-1,) + (1,) * u.ndim)
    speed = jnp.abs(problem.hamiltonian.velocity(t, x, mean)) * spacing
    central = jnp.all(speed <= 2 * problem.viscosity.bound(t, x), axis=0)
    return jnp.where(central, mean, upwind_gradient(continued, u, Upwind()))
