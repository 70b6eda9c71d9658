"""Finite differences: one-sided derivatives, a numerical Hamiltonian, central viscosity, an explicit stepper."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_kind, check_range, concrete, counts, require
from ...kernels.compensated import Compensated, compensated, settled
from ...kernels.propagator import normaliser, propagate
from ...problem import Problem
from ...problem.hamiltonians.base import each, total
from ...problem.hopf_cole import check_periodic_data, parameters, require_hopf_cole, solved_by_propagator
from ...problem.initials import Atoms
from ...problem.probe import depends_on
from ...problem.viscosities import Constant, Numerical
from ...results import RESULTS
from ...typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar, Values, Vectors
from ..base import AbstractEvolution, Evaluation
from .derivatives import WENO5, AbstractDerivative
from .diffusion import Diffusion, Rate, hindrance, on_moving_faces
from .faces import check_faces, on_faces
from .fluxes import AbstractFlux, LocalLaxFriedrichs, Slopes, numerical
from .hessian import GridHessian, diffused
from .mesh import Mesh, Stretchings, check_cells, check_stretchings, mesh_on
from .step_rules import CFL, AbstractStepRule, halved
from .steppers import SSPRK3, AbstractExplicit, AbstractStepper, RightHandSide
from .stiffness import check_stepper
from .stretchings import AbstractStretching

_LARGEST_SECOND = {2: 4.0, 6: 544 / 90}
"""Δx² times the largest eigenvalue of −∂_ii, by order of the central difference."""
_START_FRACTION = 0.1
_LASTING = 0.1
"""Of the range of u: what diffusion may change in a step that is not limited by its stability."""
_LONG = 1 / 256
"""Of the horizon: longer steps are tried before they are taken, and none is where the problem changes in time."""
_OVER = 1 + 1e-6
"""What a step times the rates may come to: 1 but for rounding."""


class FiniteDifference(AbstractEvolution):
    """du/dt = −Ĥ(t, x, p⁻, p⁺) + ε Δu on a grid, by default WENO5 + local Lax-Friedrichs + SSP-RK3.

    `cells` is one number, or one per axis; an axis of n cells has n + 1 nodes, a periodic axis n. `stretching` maps
    equal cells to unequal ones, on every axis or by a list with None for uniform axes. The step obeys
    `Δt Σ_i (α_i/Δx_i + kε/Δx_i²) <= number` with the speeds α_i of the current gradients; `stepper=steppers.Auto()`
    does without the second term where viscosity can be split off (in steps in which it changes u by a tenth of its
    range at most). The viscous term is central of order 6 (2 with first-order derivatives). Order 5 in Δx where u is
    smooth with `step_rules.PowerLaw()`, 3 in Δt; first order in L1 at kinks. Any dimension; memory is a few fields per
    axis. Rounding does not grow with the number of steps, which are added up without (but those of ForwardEuler): in
    float32 that of the slopes remains, some 1e-8 |u|/Δx a unit of time.

    Data that are `Atoms` are singular at t = 0: the march starts at `start` (default horizon/10) from their exact
    normalised solution, and the unnormalised u_N is returned.
    """

    cells: int | tuple[int, ...] = eqx.field(static=True)
    knows_obstacles = True

    derivative: AbstractDerivative
    flux: AbstractFlux
    stepper: AbstractStepper
    step_rule: AbstractStepRule
    stretching: AbstractStretching | tuple[AbstractStretching | None, ...] | None
    start: Array | None

    def __init__(
        self,
        cells: int | tuple[int, ...],
        *,
        derivative: AbstractDerivative | None = None,
        flux: AbstractFlux | None = None,
        stepper: AbstractStepper | None = None,
        step_rule: AbstractStepRule | None = None,
        stretching: AbstractStretching | Sequence[AbstractStretching | None] | None = None,
        start: ArrayLike | None = None,
    ):
        self.cells = counts("cells", cells)
        self.derivative = WENO5() if derivative is None else derivative
        self.flux = LocalLaxFriedrichs() if flux is None else flux
        self.stepper = SSPRK3() if stepper is None else stepper
        self.step_rule = CFL() if step_rule is None else step_rule
        self.stretching = tuple(stretching) if isinstance(stretching, list | tuple) else stretching  # type: ignore[assignment]
        self.start = None if start is None else as_array("start", start)
        for argument, home, value, kind in (
            ("derivative", "derivatives", self.derivative, AbstractDerivative),
            ("flux", "fluxes", self.flux, AbstractFlux),
            ("stepper", "steppers", self.stepper, AbstractStepper),
            ("step_rule", "step_rules", self.step_rule, AbstractStepRule),
        ):
            check_kind(argument, value, kind, f"hj.methods.grid.{home}")
        for map_ in self.stretching if isinstance(self.stretching, tuple) else (self.stretching,):
            if map_ is not None:
                check_kind("stretching", map_, AbstractStretching, "hj.methods.grid.stretchings")
        least = 2 * self.derivative.width
        require(
            min((self.cells,) if isinstance(self.cells, int) else self.cells) >= least,
            f"`cells` must be >= {least} for {type(self.derivative).__name__}; got {cells}. "
            "Give one number, or one per axis.",
        )
        if self.start is not None:
            check_range("start", self.start, above=0.0, remedy="Atoms are singular at t = 0; start a little later.")

    def check(self, problem: Problem) -> None:
        """Refuse a `cells` of the wrong length, and atoms where their exact start is not known."""
        check_cells(self.cells, problem.dimension)
        check_stretchings(self._stretchings(problem), problem.domain)
        self.flux.check(problem.hamiltonian)
        check_faces(problem, self.mesh(problem), self.derivative.width)
        check_periodic_data(problem, "FiniteDifference")
        check_stepper(problem, self, self.mesh(problem), self.stepper)
        if not isinstance(problem.initial, Atoms):
            require(self.start is None, "`start` is for Atoms alone; other data start at t = 0. Leave it out.")
            return
        require_hopf_cole(problem, "A grid started from Atoms", "Give the initial data as a function.")
        require(
            not any(problem.domain.periodic),
            "`domain` must not be periodic for Atoms, which live on R^d. Give a Box, or a function as data.",
        )
        start, horizon = concrete(self.start_time(problem)), concrete(problem.horizon)
        if start is not None and horizon is not None:
            require(
                start < horizon,
                f"`start` must be below the horizon {horizon}; got {start}. It should be small against the first `ts`.",
            )

    def mesh(self, problem: Problem) -> Mesh:
        """The grid on the problem's domain."""
        return mesh_on(problem.domain, self.cells, self._stretchings(problem))

    def _stretchings(self, problem: Problem) -> Stretchings:
        return self.stretching if isinstance(self.stretching, tuple) else (self.stretching,) * problem.dimension

    def nodes(self, problem: Problem) -> Points:
        """The nodes `[m, d]`, last axis fastest."""
        return self.mesh(problem).points

    def start_time(self, problem: Problem) -> Scalar:
        """0, or `start` for Atoms."""
        horizon = jnp.asarray(problem.horizon)
        if not isinstance(problem.initial, Atoms):
            return jnp.zeros_like(horizon)
        return _START_FRACTION * horizon if self.start is None else jnp.asarray(self.start, horizon.dtype)

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Compensated:
        """The data on the nodes `[n_1, ..., n_d]`; for Atoms their normalised solution at the start time."""
        mesh = self.mesh(problem)
        initial = problem.initial
        if not isinstance(initial, Atoms):
            u = eqx.filter_vmap(initial)(mesh.points).reshape(mesh.shape)
            return self._sum(problem.confined(self.start_time(problem), mesh.coordinates, u))
        c, epsilon = parameters(problem)
        t = self.start_time(problem)
        y, g = jnp.asarray(initial.y), jnp.asarray(initial.g)
        u, _ = propagate(mesh.points, y, g, initial.log_weights, c, epsilon, t)
        return self._sum((u + normaliser(problem.dimension, c, epsilon, t)).reshape(mesh.shape))

    def _sum(self, u: Values) -> Compensated:
        """A sum of steps that begins with u: compensated beyond order 1, where rounding is far below the error."""
        return compensated(u) if self.stepper.order > 1 else settled(compensated(u))

    def stable_dt(self, problem: Problem, t: Scalar, state: Compensated) -> Scalar:
        """The step rule's share of 1/Σ_i(α_i/(C_a Δx_i) + k ε/(C_d Δx_i²)), with the stepper's limits C_a and C_d.

        A step so long that slopes grow beyond the limit within it is halved (data without slopes allow any). Where the
        problem changes in time, steps are at most horizon/256, and halved where the limit does not hold later in them.
        Where diffusion has no limit of stability, it changes u by a tenth of its range in a step at most. Those of
        `Fixed` are what they are. Steps are constants to autodiff.
        """
        mesh = self.mesh(problem)
        u = on_faces(problem, mesh, t, state.value)  # what faces hold may be the steepest of all
        rate = jnp.max(self._rates(problem, t, u))
        limit = jnp.where(rate > 0, 1 / jnp.where(rate > 0, rate, 1.0), problem.horizon)
        dt = self.step_rule(limit, jnp.min(mesh.spacing / mesh.domain.extent))
        if self.step_rule.bounded and not isinstance(self.stepper, AbstractExplicit):
            dt = jnp.minimum(dt, self._while_shape_lasts(problem, mesh, u))
        if self.step_rule.bounded and problem.changes_in_time:

            def too_late(dt: Scalar) -> Array:
                later = [jnp.max(self._rates(problem, t + dt * s, u)) for s in (0.5, 1.0)]
                return dt * jnp.max(jnp.stack(later)) > _OVER

            dt = halved(jnp.minimum(dt, _LONG * problem.horizon), too_late)
        elif self.step_rule.bounded and self._speed_depends_on_slopes(problem):
            dt = jax.lax.cond(dt > _LONG * problem.horizon, lambda: self._shortened(problem, t, dt, u), lambda: dt)
        return jax.lax.stop_gradient(dt)

    def _while_shape_lasts(self, problem: Problem, mesh: Mesh, u: Values) -> Scalar:
        """How long diffusion takes to change u by a share of its range: implicit stages are accurate for no longer."""
        if hindrance(problem, mesh) is not None:
            return jnp.asarray(problem.horizon)
        assert isinstance(problem.viscosity, Constant)
        noise = jnp.finfo(u.dtype).eps * jnp.max(jnp.abs(u)) * jnp.sum(8 / mesh.spacing**2)
        bend = jnp.max(jnp.abs(diffused(jnp.ones_like(problem.horizon), GridHessian(mesh, u, self._viscous_order()))))
        rate = problem.viscosity.epsilon * jnp.maximum(bend - noise, 0.0)
        longest = _LASTING * (jnp.max(u) - jnp.min(u))
        return jnp.where(rate > 0, longest / jnp.where(rate > 0, rate, 1.0), problem.horizon)

    def _shortened(self, problem: Problem, t: Scalar, dt: Scalar, u: Values) -> Scalar:
        """The longest dt/2^k after which, by Euler's step, the limit still holds."""
        whole = isinstance(self.stepper, AbstractExplicit) or hindrance(problem, self.mesh(problem)) is not None
        change = self._change(problem, u, viscous=whole)(t, u)  # diffusion split off makes no slope steeper
        return halved(dt, lambda dt: dt * jnp.max(self._rates(problem, t, u + dt * change)) > _OVER)

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: Compensated) -> tuple[Compensated, RESULTS]:
        """One step of the stepper."""
        mesh, u = self.mesh(problem), state.value
        new = state.plus(self.stepper.increment(self._right_hand_side(problem, t, u), t, dt, u))
        u = problem.confined(t + dt, mesh.coordinates, on_faces(problem, mesh, t + dt, new.value))
        finite = jnp.isfinite(jnp.sum(u))
        return Compensated(u, new.lost), RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)

    def _right_hand_side(self, problem: Problem, t: Scalar, u: Values) -> RightHandSide:
        """−Ĥ + εΔu, with the range of the slopes of u, where the step begins."""
        parts, mesh = None, self.mesh(problem)
        if hindrance(problem, mesh) is None:
            transport = on_moving_faces(problem, mesh, self._change(problem, u, viscous=False))
            parts = transport, Diffusion(problem, mesh, self._viscous_order())
        return RightHandSide(
            self._change(problem, u),
            parts,
            lambda stepper: jnp.max(self._rates(problem, t, u, stepper)),
        )

    def _change(self, problem: Problem, begin: Values, *, viscous: bool = True) -> Rate:
        """(t, u) ↦ −Ĥ + ε Δu, or −Ĥ alone, with the range of the slopes of `begin`."""
        mesh = self.mesh(problem)
        x, order, slopes = mesh.coordinates, self._viscous_order(), mesh.slopes(begin)

        def rate(t: Scalar, u: Values) -> Values:
            p_minus, p_plus = self._one_sided(mesh, u)
            transport = numerical(self.flux, problem.hamiltonian, t, x, Slopes(p_minus, p_plus, slopes))
            if not viscous:
                return -transport
            p = each(lambda minus, plus: (minus + plus) / 2, p_minus, p_plus)

            hessian = GridHessian(mesh, u, order)
            if isinstance(problem.viscosity, Constant):
                return diffused(problem.viscosity.epsilon, hessian) - transport
            return problem.viscosity.contract(t, x, p, hessian) - transport

        return jax.checkpoint(rate, prevent_cse=False)  # kept by the loops around it

    def evaluate(
        self, problem: Problem, t: Scalar, state: Compensated, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and the scheme's own gradient (p⁻ + p⁺)/2, at the nodes or by quintic interpolation at `points`."""
        mesh = self.mesh(problem)
        p_minus, p_plus = self._one_sided(mesh, state.value)
        fields = jnp.moveaxis(jnp.concatenate([state.value[None], (p_minus + p_plus) / 2]), 0, -1)
        d = problem.dimension
        values = fields.reshape(-1, d + 1) if points is None else mesh.at(fields, points)
        u = values[:, 0]
        if isinstance(problem.initial, Atoms):
            u = u - normaliser(d, *parameters(problem), jnp.maximum(t, self.start_time(problem)))
        cfl = self.stable_dt(problem, t, state) * jnp.max(self._rates(problem, t, state.value))
        return Evaluation(u, values[:, 1:], RESULTS.successful, {"cfl": cfl})

    def equation(self, problem: Problem, state: Compensated | None = None) -> Problem:
        """The problem itself, for first-order derivatives with the viscosity α_i Δx_i/2 added on each axis.

        That is the leading order in Δx of the spatial scheme. With Atoms, the source dε/(2ct) of u_N is included.
        """
        solved = solved_by_propagator(problem)
        if self.derivative.order > 1:
            return solved
        viscosity = Numerical(problem.viscosity, problem.hamiltonian, self.mesh(problem).spacing_at)
        return eqx.tree_at(lambda p: p.viscosity, solved, viscosity)

    def _viscous_order(self) -> int:
        return 2 if self.derivative.order == 1 else 6

    def _one_sided(self, mesh: Mesh, u: Values) -> tuple[Vectors, Vectors]:
        spacing, width = mesh.spacing, self.derivative.width
        wide = mesh.padded_everywhere(u, width)
        minus: list[Values] = []
        plus: list[Values] = []
        for axis in range(u.ndim):
            pair = self.derivative(mesh.along(wide, axis, width), spacing[axis], axis)
            stretch = mesh.stretch(axis)
            for side, slope in zip((minus, plus), pair, strict=True):
                side.append(slope if stretch is None else slope / stretch)
        return jnp.stack(minus), jnp.stack(plus)

    def _speed_depends_on_slopes(self, problem: Problem) -> bool:
        x = jnp.asarray(problem.domain.lower)
        return depends_on(lambda p: problem.hamiltonian.speed_bound(jnp.zeros((), x.dtype), x, -p, p), 0, x)

    def _rates(self, problem: Problem, t: Scalar, u: Values, stepper: AbstractStepper | None = None) -> Values:
        """Σ_i(α_i/(C_a Δx_i) + kε/(C_d Δx_i²)) at every node, or everywhere; by first-order differences."""
        mesh = self.mesh(problem)
        slopes = mesh.slopes(u)
        stepper = self.stepper if stepper is None else stepper
        splits = hindrance(problem, mesh) is None

        def rates(t: Scalar, x: Vectors, spacing: Vectors) -> Values:
            speed = problem.hamiltonian.speed_bound(t, x, *slopes.everywhere(x))
            advective = total(lambda s, h: s / h, speed, spacing)
            eigenvalue = _LARGEST_SECOND[self._viscous_order()] * total(lambda h: 1 / h**2, spacing)
            return stepper.rates(advective, problem.viscosity.bound(t, x) * eigenvalue, splits)

        x, spacing = jnp.asarray(mesh.domain.lower), mesh.spacing
        if not mesh.stretched and not depends_on(rates, 1, t, x, spacing):
            return rates(t, x, spacing)
        return rates(t, mesh.coordinates, mesh.spacings)
