"""The separable Hopf-Cole propagator: any time in one step for H = c|p|², by splitting with a potential or a drift."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_range, counts, require
from ...problem import AbstractDomain, Problem
from ...problem.boundaries import Extrapolation
from ...problem.hopf_cole import check_periodic_data, on_domain, parameters, parts, require_hopf_cole
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Array, ArrayLike, Function, Points, PRNGKeyArray, Scalar
from ..base import Evaluation, State
from .heat import Flow, inviscid, viscous
from .on_grid import AbstractOnGrid
from .sources import Nodes, source_nodes, target_nodes
from .splitting import Splitting

_LEAST_CELLS = 6
_LARGEST_ERROR = 0.02
"""Of the data's range: what interpolation between nodes may cost before it is called under-resolved."""
_FLOOR = 0.1
"""Of the rounding of the data's range: a smaller ε/c cannot be told from its limit."""
_SHARE = 0.25
"""Of the time in which paths part by e: a step of the splitting."""
_LOOKS = 4096
"""Places at which the range of the data is looked up."""


class Propagator(AbstractOnGrid):
    """u = −(ε/c) log ∫ (4πεt)^{−d/2} exp(−(c/ε)(g(y) + |x−y|²/(4ct))) dy for H = c|p|², one axis at a time.

    The heat kernel separates, so that on a tensor grid with n nodes per axis the exact solution is d one-dimensional
    log-sum-exp passes: cost d·n^{d+1} multiply-adds (matrix products), memory a few fields; at ε = 0 each pass is a
    lower envelope of parabolas, cost d·n^d. There is no time step, no stability limit and no smallest ε: every time in
    `ts` is reached in one step from the data. Use it for H = c|p|² on any grid that fits memory (d = 1 to 6); for other
    Hamiltonians, varying viscosity or boundary conditions use `FiniteDifference`.

    `cells` is one number or one per axis (n + 1 nodes on a free axis, n on a periodic one). On a `Box` this is the
    Cauchy problem on R^d: data are read outside the box, as far as the solution depends on them, on `sources` intervals
    per free axis (default twice the cells). Periodic axes use their own nodes.

    Accuracy, uniformly in ε: where nodes resolve the integrand, of width √(2εt/(1 + 2ct g'')), plain sums are exact to
    round-off. Where they do not (small ε, kinks), the piecewise-linear interpolant is propagated exactly: error O(h²),
    none for kinks on nodes. The change on leaving out every second node (`stats["coarsening_change"]`) decides which,
    for each axis and block of lines; `stats["interpolated_lines"]` is the fraction of lines interpolated,
    `stats["interpolation_error"]` bounds the error, and above 2% of the data's range the result is
    `RESULTS.under_resolved`. At ε = 0 itself the minimum is over the nodes (the exact distance transform, up to h²/16ct
    above the minimum over the interpolant, which is the limit ε → 0). ∇u is exact on nodes, a Gibbs average carried
    through the passes; at kinks not once ε/c falls below the rounding of u. Other points are interpolated by quintics.

    With a potential V(x) or a drift b(t, x), H = c|p|² + b·p − V is split into the exact propagator and transport along
    b with the source V. `order` 2 is Strang's splitting; positive time steps allow no more (Sheng, Suzuki), so `order`
    4 is its extrapolation (4u_{Δt/2} − u_{Δt})/3, thrice the work. `dt` is the step (default horizon/64, or a quarter
    of the time in which paths part by e on the box, 1/√(2cV'') or 1/|b'|, if that is shorter); without V and b it is
    ignored. Steps of a splitting are short: nodes are refined fourfold by quintics along each axis, and
    where √(2εΔt) is small even against that the linear interpolant is propagated: fewer, longer steps suit small ε.

    Raises `ValueError` for other Hamiltonians, varying viscosity, boundary conditions other than `Extrapolation`, data
    that do not match across periodic faces, and `Atoms`.
    Source: Evans, *Partial Differential Equations*, 4.4.1; Felzenszwalb & Huttenlocher 2012,
    doi:10.4086/toc.2012.v008a019; Suzuki 1991, doi:10.1063/1.529425.
    """

    cells: int | tuple[int, ...] = eqx.field(static=True)
    sources: int | tuple[int, ...] | None = eqx.field(static=True)
    order: int = eqx.field(static=True)
    dt: Array | None

    def __init__(
        self,
        cells: int | tuple[int, ...],
        *,
        sources: int | tuple[int, ...] | None = None,
        order: int = 2,
        dt: ArrayLike | None = None,
    ):
        self.cells = counts("cells", cells)
        self.sources = None if sources is None else counts("sources", sources)
        for argument, value in (("cells", self.cells), ("sources", self.sources)):
            least = _LEAST_CELLS if value is None else min((value,) if isinstance(value, int) else value)
            require(
                least >= _LEAST_CELLS,
                f"`{argument}` must be >= {_LEAST_CELLS} per axis; got {value}. Give one number, or one per axis.",
            )
        require(order in (2, 4), f"`order` must be 2 or 4; got {order!r}. It is the order in time of the splitting.")
        self.order = order
        self.dt = None if dt is None else as_array("dt", dt)
        if self.dt is not None:
            check_range("dt", self.dt, above=0.0, remedy="The step is a positive time.")

    def check(self, problem: Problem) -> None:
        """Refuse what is not `c|p|² + b·p − V` with constant viscosity on R^d or a torus, and data it cannot read."""
        require_hopf_cole(problem, "Propagator", "Use hj.methods.grid.FiniteDifference.", drift=True, potential=True)
        require(
            not isinstance(problem.initial, Atoms),
            "`initial` must not be Atoms for Propagator, whose grid cannot hold point masses. Use "
            "hj.methods.particle.HopfCole, which is exact for them.",
        )
        d = problem.dimension
        for argument, value in (("cells", self.cells), ("sources", self.sources)):
            require(
                not isinstance(value, tuple) or len(value) == d,
                f"`{argument}` must have one entry per axis ({d}); got {value}. One number serves every axis.",
            )
        faces = zip(problem.domain.boundary, problem.domain.periodic, strict=True)
        require(
            all(periodic or all(isinstance(face, Extrapolation) for face in pair) for pair, periodic in faces),
            "`boundary` must be the default for Propagator, which solves the Cauchy problem on R^d. Use "
            "hj.methods.grid.FiniteDifference; a zero Neumann condition is a Torus of twice the size with even data.",
        )
        check_periodic_data(problem, "Propagator")

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> State:
        """Nothing, as every time is reached from the data; with a potential or drift, u on the nodes that it needs."""
        return self._splitting(problem).start() if _is_split(problem) else ()

    def stable_dt(self, problem: Problem, t: Scalar, state: State) -> Scalar:
        """Infinite: any time in one step; `dt` with a potential or a drift."""
        horizon = jnp.asarray(problem.horizon)
        if not _is_split(problem):
            return jnp.full_like(horizon, jnp.inf)
        if self.dt is not None:
            return jnp.asarray(self.dt, horizon.dtype)
        fastest = jax.lax.stop_gradient(self._growth(problem, t))
        return jnp.minimum(horizon / 64, _SHARE / jnp.where(fastest > 0, fastest, _SHARE / horizon))

    def _growth(self, problem: Problem, t: Scalar) -> Scalar:
        """The largest rate at which paths part on the box: √(2c|∂_ii V|), and |∂_i b_i| of the drift."""
        found = parts(problem.hamiltonian)
        assert found is not None
        x = self.nodes(problem).T

        def along(function: Callable[[Array], Array], axis: int) -> Callable[[Array], Array]:
            unit = jnp.zeros_like(x).at[axis].set(1.0)
            return lambda x: jax.jvp(function, (x,), (unit,))[1]

        def largest(axis: int) -> Scalar:
            bend = along(along(found.potential, axis), axis)(x)
            spread = along(lambda x: found.drift(t, x)[axis], axis)(x)
            return jnp.maximum(jnp.sqrt(2 * found.c * jnp.max(jnp.abs(bend))), jnp.max(jnp.abs(spread)))

        return functools.reduce(jnp.maximum, [largest(axis) for axis in range(problem.dimension)])

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: State) -> tuple[State, RESULTS]:
        """One step of the splitting; nothing to do without one."""
        if not _is_split(problem):
            return state, RESULTS.successful
        new = self._splitting(problem).step(t, dt, state)
        finite = jnp.isfinite(jnp.sum(new.u))
        return new, RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)

    def evaluate(
        self, problem: Problem, t: Scalar, state: State, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u at the nodes, or by quintic interpolation at `points`; at t = 0 the data themselves."""
        positive = t > 0
        time = jnp.where(positive, t, 1.0)

        def reached() -> tuple[Array, Array, RESULTS, dict[str, Array]]:
            least, largest = _range(on_domain(problem.initial, problem.domain), problem.domain)  # type: ignore[arg-type]
            flow, spacing, covered = self._flow(problem, time, state, least, largest - least)
            coarse = flow.error > _LARGEST_ERROR * (largest - least)
            result = RESULTS.where(coarse, RESULTS.under_resolved, RESULTS.successful)
            result = RESULTS.where(covered, result, RESULTS.unbounded)
            stats = {
                "resolution": jnp.sqrt(2 * parameters(problem)[1] * time) / jnp.max(spacing),
                "coarsening_change": flow.change,
                "interpolated_lines": flow.interpolated,
                "interpolation_error": flow.error,
            }
            return *self._placed(problem, flow.u, flow.gradient, points), result, stats

        def data() -> tuple[Array, Array, RESULTS, dict[str, Array]]:
            zero = jnp.zeros((), time.dtype)
            names = ("resolution", "coarsening_change", "interpolated_lines", "interpolation_error")
            stats = dict.fromkeys(names, zero)
            return *self._data(problem, points), RESULTS.successful, stats

        return Evaluation(*jax.lax.cond(positive, reached, data))

    def equation(self, problem: Problem, state: State | None = None) -> Problem:
        """The problem itself: the propagator is exact, and a splitting adds terms of `order` in dt only."""
        return problem

    def _flow(
        self, problem: Problem, t: Scalar, state: State, least: Scalar, size: Scalar
    ) -> tuple[Flow, Array, Array]:
        """U and ∇u on the mesh at t > 0, the spacing of the nodes that carry the data, and whether they reach.

        The data lie between `least` and `least + size`, about.
        """
        if _is_split(problem):
            return self._splitting(problem).flow(state), state.nodes.spacing, state.covered
        mesh, domain = self.mesh(problem), problem.domain
        c, epsilon = parameters(problem)
        g = on_domain(problem.initial, domain)  # type: ignore[arg-type]
        sources, covered = source_nodes(g, mesh, self._intervals(problem), c, epsilon, t)
        load, targets = sources.slabs(g), target_nodes(mesh)
        # so small that it makes no difference: the limit ε = 0 of the interpolated data
        floor = jax.lax.stop_gradient(c * _FLOOR * jnp.finfo(t.dtype).eps * size)
        positive = jnp.where(epsilon > 0, jnp.maximum(epsilon, floor), 1.0)
        flow = jax.lax.cond(
            epsilon > 0,
            lambda: viscous(load, least, sources, targets, domain, c, positive, t),
            lambda: inviscid(load, sources, targets, domain, c, t),
        )
        return flow, sources.spacing, covered

    def _placed(
        self, problem: Problem, u: Array, gradient: tuple[Array, ...], points: Points | None
    ) -> tuple[Array, Array]:
        if points is None:
            return u.reshape(-1), jnp.stack([p.reshape(-1) for p in gradient], axis=1)
        fields = jnp.stack([u, *gradient], axis=-1)
        values = self.mesh(problem).at(fields, points)
        return values[:, 0], values[:, 1:]

    def _data(self, problem: Problem, points: Points | None) -> tuple[Array, Array]:
        g = jax.value_and_grad(on_domain(problem.initial, problem.domain))  # type: ignore[arg-type]
        if points is not None:
            return jax.vmap(g)(points)
        u, gradient = target_nodes(self.mesh(problem)).sample(g)
        return u.reshape(-1), gradient.reshape(-1, problem.dimension)

    def _intervals(self, problem: Problem) -> tuple[int, ...]:
        d = problem.dimension
        if self.sources is not None:
            return _per_axis(self.sources, d)
        return tuple(2 * n for n in _per_axis(self.cells, d))

    def _splitting(self, problem: Problem) -> Splitting:
        return Splitting(problem, self.mesh(problem), self._intervals(problem), self.order)


def _range(g: Function, domain: AbstractDomain) -> tuple[Scalar, Scalar]:
    """About the least and the largest value of the data on the domain."""
    count = max(2, round(_LOOKS ** (1 / domain.dimension)))
    lower = jnp.asarray(domain.lower)
    looks = Nodes(lower, domain.extent / (count - 1), jnp.zeros((len(lower), 2), int), (count,) * len(lower))
    values = jax.lax.stop_gradient(looks.sample(g))
    return jnp.min(values), jnp.max(values)


def _per_axis(count: int | tuple[int, ...], d: int) -> tuple[int, ...]:
    return (count,) * d if isinstance(count, int) else count


def _is_split(problem: Problem) -> bool:
    found = parts(problem.hamiltonian)
    return found is not None and bool(found.drifts or found.potentials)
