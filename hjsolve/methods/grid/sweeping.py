"""Fast sweeping: stationary equations by Gauss-Seidel sweeps along the characteristics, in all 2^d directions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, concrete, counts, number, require, whole_number
from ...kernels.interpolate import interpolate
from ...problem.hamiltonians import WithPotential, WithSource
from ...problem.probe import depends_on
from ...problem.stationary import StationaryProblem
from ...problem.viscosities import Constant, Numerical, Varying
from ...results import RESULTS
from ...typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar, Values
from ..base import AbstractStationary, Evaluation
from .derivatives import WENO3, Upwind
from .fixed_point import SweptEquation, at_width, implicit, iterate
from .local_updates import GodunovUpdate, LaxFriedrichsUpdate, conic_degree, unreached
from .mesh import Mesh, check_cells, mesh_on
from .stationary_equation import discretised, from_above, supersolution
from .stationary_grid import (
    Closed,
    Outflow,
    check_target,
    in_this_precision,
    upwind_gradient,
    with_faces,
)


class FastSweeping(AbstractStationary):
    """`λu + H(x, ∇u) = ε Δu + f` by sweeps that update every node from its newest neighbours.

    For `Eikonal`, `Norm(2)` and `Quadratic` (with a potential or not) each update solves Godunov's equation exactly;
    at ε = 0 the sweeps needed depend on how often characteristics turn, not on the grid, and nodes where the speed is 0
    stay at a value above 1e15. Every other H, convex or not, is updated by Lax-Friedrichs, which takes more sweeps the
    finer the grid. Viscosity is central, and slow to spread by sweeps where it dominates: see `PolicyIteration`.

    `order` 1 is monotone: it converges for every H, like Δx where u is smooth and away from point sources (near them
    like Δx log(1/Δx): give the target a radius). `order` 3 goes on from there with WENO3 differences, to order 2 to 3
    where u is smooth at ε = 0; with viscosity the first nodes at Dirichlet faces and targets are of order 1 (see
    `PolicyIteration`). Sweeping stops when 2^d sweeps change u by less than `tolerance` of its largest value,
    or, in each of its two or three stages, after `max_sweeps`. Differentiable in reverse mode at the fixed point.

    Sources: Zhao 2004, doi:10.1090/S0025-5718-04-01678-3; Kao, Osher & Qian 2004, doi:10.1016/j.jcp.2003.11.007;
    Zhang, Zhao & Qian 2006, doi:10.1007/s10915-005-9014-3.
    """

    cells: int | tuple[int, ...] = eqx.field(static=True)
    order: int = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)
    max_sweeps: int = eqx.field(static=True)

    def __init__(
        self, cells: int | tuple[int, ...], *, order: int = 1, tolerance: ArrayLike = 1e-9, max_sweeps: int = 10_000
    ):
        self.cells = counts("cells", cells)
        require(order in (1, 3), f"`order` must be 1 or 3; got {order!r}.")
        self.order = order
        tolerance = number("tolerance", tolerance)
        check_range("tolerance", tolerance, above=0.0, remedy="It is relative to the largest |u|.")
        self.tolerance = float(tolerance)
        self.max_sweeps = whole_number("max_sweeps", max_sweeps, least=1, remedy="The default is 10,000.")
        least = 6
        require(
            min((self.cells,) if isinstance(self.cells, int) else self.cells) >= least,
            f"`cells` must be >= {least}; got {cells}. Give one number, or one per axis.",
        )

    def check(self, problem: StationaryProblem) -> None:  # type: ignore[override]
        """Refuse a `cells` of the wrong length, a matrix-valued viscosity, and a target without a node."""
        check_cells(self.cells, problem.dimension)
        require(
            isinstance(problem.viscosity, Constant | Varying),
            f"`viscosity` must be Constant or Varying for FastSweeping; got {type(problem.viscosity).__name__}.",
        )
        check_target(problem, self.mesh(problem))
        _check_source(problem, self.mesh(problem))

    def mesh(self, problem: StationaryProblem) -> Mesh:
        """The grid on the problem's domain."""
        return mesh_on(problem.domain, self.cells)

    def nodes(self, problem: StationaryProblem) -> Points:
        """The nodes `[m, d]`, last axis fastest."""
        return self.mesh(problem).points

    def relax(
        self, problem: StationaryProblem, *, key: PRNGKeyArray | None = None
    ) -> tuple[Values, RESULTS, dict[str, Array]]:
        """U on the nodes `[n_1, ..., n_d]`; stats: sweeps, the last relative change, the residual, unreached nodes."""
        mesh = self.mesh(problem)
        limit = unreached(mesh.spacing.dtype)
        rounds = max(1, self.max_sweeps // 2**problem.dimension)
        tolerance = max(self.tolerance, 64 * float(np.finfo(mesh.spacing.dtype).eps))
        degree = conic_degree(problem.hamiltonian)
        if degree is None:
            equation = _lax_friedrichs(problem, mesh, self.order)
            u, count = supersolution(problem, equation, tolerance, rounds)
            u, more, change = iterate(at_width(equation, 1, Outflow()), u, tolerance, rounds)
            count = count + more
        else:
            equation = _godunov(problem, mesh, self.order, degree)
            u, count, change = from_above(at_width(equation, 1, Closed()), tolerance, rounds)
        if self.order == 3:
            equation = at_width(equation, 2, Outflow())
            u, more, change = iterate(equation, u, tolerance, rounds)
            count = count + more
        else:
            equation = at_width(equation, 1, Outflow() if degree is None else Closed())
        u = jax.lax.stop_gradient(u)
        u = implicit(equation, u, tolerance, rounds)
        stats = {
            "sweeps": 2**problem.dimension * count,
            "change": change,
            "residual": equation.residual(u),
            "unreached": jnp.sum(u >= limit / 2),
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
        """U and its upwind gradient, at the nodes or at `points` by interpolation, linear or (order 3) quintic."""
        mesh = self.mesh(problem)
        derivative = Upwind() if self.order == 1 else WENO3()
        gradient = upwind_gradient(with_faces(mesh, Outflow()), state, derivative)
        d = problem.dimension
        fields = jnp.moveaxis(jnp.concatenate([state[None], gradient]), 0, -1)
        if points is None:
            values = fields.reshape(-1, d + 1)
        else:
            domain = mesh.domain
            degree = 1 if self.order == 1 else 5
            values = interpolate(fields, jnp.asarray(domain.lower), mesh.spacing, domain.periodic, points, order=degree)
        return Evaluation(values[:, 0], values[:, 1:], RESULTS.successful, {})

    def equation(self, problem: StationaryProblem, state: Values | None = None) -> StationaryProblem:  # type: ignore[override]
        """The problem itself, for order 1 with the viscosity ½|∂H/∂p_i|Δx_i added on each axis."""
        if self.order == 3:
            return problem
        viscosity = Numerical(problem.viscosity, problem.hamiltonian, self.mesh(problem).spacing_at)
        return eqx.tree_at(lambda p: p.viscosity, problem, viscosity)


def _check_source(problem: StationaryProblem, mesh: Mesh) -> None:
    """Refuse f < H(x, 0) somewhere with λ = 0 and an H that is least at p = 0: no slope solves H = f there."""
    if conic_degree(problem.hamiltonian) is None or problem.target is None:
        return
    problem, mesh = in_this_precision((problem, mesh))
    x = mesh.coordinates
    t = jnp.zeros((), x.dtype)
    room = problem.right_side(mesh.points) - problem.hamiltonian(t, x, jnp.zeros_like(x)).reshape(-1)
    least, discount = concrete(jnp.min(room)), concrete(problem.discount)
    require(
        None if least is None or discount is None else discount > 0 or not least < 0,  # NaN is told later
        f"`source` must be >= H(x, 0) where `discount` is 0; it is below by {0.0 if least is None else -least:.4g}. No "
        "slope solves H(x, ∇u) = f there.",
    )


def _godunov(problem: StationaryProblem, mesh: Mesh, order: int, degree: int) -> SweptEquation:
    hamiltonian = problem.hamiltonian
    while isinstance(hamiltonian, WithPotential | WithSource):
        hamiltonian = hamiltonian.hamiltonian
    d = problem.dimension

    def speeds(t: Scalar, x: Array) -> Array:
        units = jnp.eye(d, dtype=x.dtype).reshape((d, d) + (1,) * (x.ndim - 1))
        return jnp.stack([hamiltonian(t, x, jnp.broadcast_to(unit, x.shape)) for unit in units])

    t, here = jnp.zeros((), mesh.spacing.dtype), mesh.domain.lower + mesh.spacing
    found = speeds(t, mesh.coordinates if depends_on(speeds, 1, t, here) else here)
    update = GodunovUpdate(jnp.asarray(problem.discount), mesh.spacing, 1, degree)
    shift = problem.hamiltonian(t, mesh.coordinates, jnp.zeros_like(mesh.coordinates))  # potentials and sources
    return discretised(problem, mesh, order, update, {"speed": tuple(found[k] for k in range(d))}, shift)


def _lax_friedrichs(problem: StationaryProblem, mesh: Mesh, order: int) -> SweptEquation:
    update = LaxFriedrichsUpdate(jnp.asarray(problem.discount), mesh.spacing, 1, problem.hamiltonian)
    x = tuple(mesh.coordinates[k] for k in range(problem.dimension))
    return discretised(problem, mesh, order, update, {"x": x})
