"""The Hopf-Lax formula: the viscosity solution for convex H(p) without viscosity, one minimisation per point."""

from functools import partial
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_range, number, require, whole_number
from ...problem import Problem
from ...problem.hamiltonians import Polyhedral
from ...problem.hamiltonians.base import AbstractHamiltonian, Proximable
from ...problem.hopf_cole import check_periodic_data, on_domain
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Array, Float, Function, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .convex.control import Control, control_form
from .convex.kinks import MOST_CONTROLS, compass, descend
from .convex.lowest_atom import lowest_atom
from .convex.panoc import Minimum, panoc
from .convex.screening import Screened, across, cells, height, looks_convex, objective_at, screen
from .inviscid import default_tolerance, poison, require_inviscid, value_and_slope
from .starts import map_blocks, sampled_reach, spread

_REACH_SAMPLES = 256
_LANES = 64
"""Searches that run at once: more points at a time mean fewer starts at a time."""
_LOOKS = 12
"""Most searches from a line through the best end along each axis."""

_T = TypeVar("_T")


class Starts(eqx.Module):
    """Relative places: `controls` `[starts − 1, n, size]` to begin at, `samples` `[k, d]` that measure the reach."""

    controls: Float[Array, "cells n size"]
    samples: Points


class _Found(NamedTuple):
    """The best control, its velocity, u, the gradient p, the gap, the share of starts that agree, the iterations."""

    a: Array
    v: Points
    u: Array
    p: Points
    gap: Array
    agreement: Array
    iterations: Array


class HopfLax(AbstractRepresentation):
    """u(t, x) = min_y g(y) + t L((x − y)/t), the solution of `u_t + H(∇u) = 0` for convex H.

    H is `Quadratic`, `Power`, `Eikonal`, `Norm`, `Polyhedral` or `ConvexSeparable`: convex, free of t and x, with a
    proximal map of L (which may be the indicator of a ball, a box, ...). g is any Lipschitz function, to d = 1000 and
    more where it is smooth; it may have kinks (at the minimiser) for d <= 6 (K <= 6 for `Polyhedral`), at more cost.
    `Atoms` are served too:
    u = min_j g_j + tL((x − y_j)/t), +inf (so `RESULTS.nonfinite`) where no atom is within reach.

    Each point runs `starts` searches by accelerated forward-backward steps (PANOC) in the velocity v = (x − y)/t, each
    begun at the best of 64 places (16 beyond 6 dimensions) in a cell of its own of the reach of the data's slopes, and
    keeps the lowest. In 2 to 6 dimensions more begin at minima on the lines through the best end along the axes, until
    none is lower. Beyond 6 dimensions one search suffices where its gap closes and g lies above its tangent at all
    places tried, as convex data do. For other data only the best of the starts is known: a narrow well may be missed.

    **Certificate.** With p = ∇g(y), `stats["gap"]` `[m]` is t[L(v) + H(p)] − p·(x − y) >= 0 (Fenchel-Young). For
    convex g the error of u is at most this; otherwise it vanishes at stationary points alone. A gap above
    `tolerance`·(1 + |u|) (default 4e-11 in float64, 2e-5 in float32) is `RESULTS.not_converged`. At a kink of g, p is
    an average of gradients around y. `stats["agreement"]` `[m]` is the share of starts that reach the same u, 0 where
    a line led to a lower one: below 1 the data are not convex. `stats["iterations"]` `[m]` counts those of the best
    search (limit `max_iterations`).

    **Derivatives.** The gradient is p. u is differentiable once in t, x and the parameters of H and g, at the fixed
    minimiser (envelope theorem): ∂u/∂t = −H(p). The minimiser itself is held, so that second derivatives, and
    derivatives of the gradient, are not provided: do not use the zeros that come out.

    On a `Box` this is the Cauchy problem on R^d; periodic axes continue the data periodically. Cost per point and
    start: two evaluations of g and ∇g an iteration, typically 10 to 60 iterations; memory O(m d + starts d).
    Raises `ValueError` for other H and for viscosity. Sources: Evans, *PDE*, 3.3.2; Darbon & Osher 2016,
    arXiv 1605.01799; Chow, Darbon, Osher & Yin 2019, doi:10.1016/j.jcp.2019.01.051.
    """

    starts: int = eqx.field(static=True)
    max_iterations: int = eqx.field(static=True)
    tolerance: Array | None

    def __init__(self, starts: int = 16, max_iterations: int = 500, tolerance: float | None = None):
        self.starts = whole_number("starts", starts, least=1, remedy="Wells of data need more of them.")
        self.max_iterations = whole_number("max_iterations", max_iterations, least=1, remedy="The default is 500.")
        self.tolerance = None if tolerance is None else jnp.asarray(number("tolerance", tolerance))
        if tolerance is not None:
            check_range("tolerance", tolerance, above=0.0, remedy="None is the precision's own limit.")

    def check(self, problem: Problem) -> None:
        """Refuse viscosity, H that is not convex or depends on t or x, and atoms or growing data on a torus."""
        require_inviscid(problem, "HopfLax")
        hamiltonian = problem.hamiltonian
        require(
            isinstance(hamiltonian, Proximable | Polyhedral),
            f"HopfLax needs a convex `hamiltonian` of p alone: Quadratic, Power, Eikonal, Norm, Polyhedral or "
            f"ConvexSeparable; got {type(hamiltonian).__name__}. For convex data and any H(p) use Hopf; for H that "
            "depends on t or x use Characteristics or hj.methods.grid.FiniteDifference.",
        )
        require(
            not (isinstance(problem.initial, Atoms) and any(problem.domain.periodic)),
            "`domain` must not be periodic for Atoms, which live on R^d. Give a Box, or a function as data.",
        )
        check_periodic_data(problem, "HopfLax")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Starts:
        """Where the searches begin, relative to the reach."""
        first, second = jax.random.split(jax.random.key(0) if key is None else key)
        d = problem.dimension
        size = _control(problem).size
        return Starts(cells(first, self.starts, size), spread(second, _REACH_SAMPLES, d))

    def evaluate(
        self, problem: Problem, t: Scalar, state: Starts, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u at `points`; at t = 0 the data themselves (+inf for Atoms, which are singular)."""
        assert points is not None, "HopfLax has no nodes; solve() refuses points=None"
        positive = t > 0
        time = jnp.where(positive, t, 1.0)
        hamiltonian, initial = problem.hamiltonian, problem.initial
        if isinstance(initial, Atoms):
            u, gradient = lowest_atom(hamiltonian, initial, time, points)
            return Evaluation(jnp.where(positive, poison(problem, u), jnp.inf), gradient, RESULTS.successful, {})
        arrays, rest = eqx.partition((problem, time, points), eqx.is_array)
        held, held_time, held_points = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        found = jax.lax.stop_gradient(self._minimise(held, held_time, state, held_points))
        g = on_domain(initial, problem.domain)
        u = _envelope(hamiltonian, g, time, points, found)
        value, slope = jax.vmap(value_and_slope(g))(points)
        u, gradient = jnp.where(positive, u, value), jnp.where(positive[None], found.p, slope)
        gap = jnp.where(positive, found.gap, 0.0)
        converged = gap <= self._tolerance(u) * (1 + jnp.abs(u))
        result = RESULTS.where(jnp.all(converged), RESULTS.successful, RESULTS.not_converged)
        stats = {"gap": gap, "agreement": found.agreement, "iterations": found.iterations}
        return Evaluation(poison(problem, u), gradient, result, stats)

    def equation(self, problem: Problem, state: Starts | None = None) -> Problem:
        """The problem itself."""
        return problem

    def _tolerance(self, like: Array) -> Scalar:
        return default_tolerance(like) if self.tolerance is None else self.tolerance.astype(like.dtype)

    def _minimise(self, problem: Problem, t: Scalar, state: Starts, points: Points) -> _Found:
        control = _control(problem)
        g = on_domain(problem.initial, problem.domain)  # type: ignore[arg-type]
        data = value_and_slope(g)
        lower = jnp.minimum(jnp.asarray(problem.domain.lower), jnp.min(points, axis=0))
        upper = jnp.maximum(jnp.asarray(problem.domain.upper), jnp.max(points, axis=0))
        scales = jnp.ones((2, control.size), points.dtype)
        if self.starts > 1 and control.size == problem.dimension:

            def fastest(y: Points) -> Points:
                return t * jax.vmap(lambda z: control.best(data(z)[1]))(y)

            low, high = sampled_reach(fastest, lower, upper, state.samples)
            reach = jnp.maximum(high - upper, lower - low)
            near = jnp.minimum((upper - lower) / 4, reach)
            scales = jnp.maximum(jnp.stack([reach, near]), jnp.finfo(points.dtype).tiny) / t

        def block(xs: Points) -> _Found:
            results = self._search(control, data, t, xs, state.controls, scales)
            if control.size > MOST_CONTROLS:
                return results
            rough = results.gap > self._tolerance(results.u) * (1 + jnp.abs(results.u))

            def polish() -> _Found:
                polished = jax.vmap(lambda x, r: _at_kink(control, data, t, x, r, self._tolerance(x)))(xs, results)
                return _where(rough, polished, results)

            return jax.lax.cond(jnp.any(rough), polish, lambda: results)

        return map_blocks(block, points, 1)

    def _search(
        self, control: Control, data: Function, t: Scalar, xs: Points, fractions: Array, scales: Array
    ) -> _Found:
        """The lowest minimum of several searches for every x, best start first; those not needed are left out.

        Then from minima on the lines through the best end, one axis after the other as long as any ends lower. One
        loop for both: the search is most of the program.
        """
        screened = jax.vmap(lambda x: screen(control, data, objective_at(control, data, t, x), x, fractions, scales))(
            xs
        )
        m = len(xs)
        lines = control.size if 1 < control.size <= MOST_CONTROLS and self.starts > 1 else 0
        together = min(self.starts, max(1, _LANES // m))
        groups = -(-self.starts // together)
        begins = jnp.pad(screened.begins, ((0, 0), (0, groups * together - self.starts), (0, 0)), mode="edge")
        tolerance = self._tolerance(xs)

        def suffices(x: Point, screened: Screened, end: Minimum) -> Array:
            closed = t * end.gap <= tolerance * (1 + jnp.abs(t * end.value))
            value = objective_at(control, data, t, x)(end.z)[0]
            return closed & looks_convex(screened, end.z, value, end.gradient)

        def from_lines(count: Array, x: Point, end: Minimum) -> Array:
            axes = ((count - groups) * together + jnp.arange(together)) % lines
            return across(control, objective_at(control, data, t, x), end.z, scales[1], axes)

        def more(carry: tuple[Array, Minimum, Array, Array, Array]) -> Array:
            count, _, _, done, quiet = carry
            looking = (count >= groups) & (quiet * together < lines) & ((count - groups) * together < _LOOKS * lines)
            return (count < groups) & ~jnp.all(done) | looking

        def search(
            carry: tuple[Array, Minimum, Array, Array, Array],
        ) -> tuple[Array, Minimum, Array, Array, Array]:
            count, best, values, done, quiet = carry
            first = jnp.minimum(count, groups) * together
            some = jax.lax.dynamic_slice_in_dim(begins, first, together, axis=1)
            if lines:
                some = jax.lax.cond(
                    count < groups, lambda: some, lambda: jax.vmap(partial(from_lines, count))(xs, best)
                )
            ends, found = jax.vmap(lambda x, a: self._run(control, data, t, x, a))(xs, some)
            values = jax.lax.dynamic_update_slice_in_dim(values, found, first, axis=1)
            lower = ends.value < best.value - jnp.sqrt(jnp.finfo(xs.dtype).eps) * jnp.abs(best.value)
            best = _where(ends.value < best.value, ends, best)
            if control.size > MOST_CONTROLS:  # in few dimensions the others cost little
                done = jax.vmap(suffices)(xs, screened, best)
            return count + 1, best, values, done, jnp.where((count < groups) | jnp.any(lower), 0, quiet + 1)

        nowhere, infinity = jnp.zeros((m, control.size), xs.dtype), jnp.full(m, jnp.inf, xs.dtype)
        nothing = Minimum(nowhere, infinity, nowhere, infinity, jnp.zeros(m, int))
        values = jnp.full((m, (groups + 1) * together), jnp.inf, xs.dtype)  # with room for what lines give
        start = jnp.zeros((), int), nothing, values, jnp.zeros(m, bool), jnp.zeros((), int)
        count, best, values, _, _ = jax.lax.while_loop(more, search, start)
        searched = jnp.minimum(count, groups) * together
        u = t * best.value
        close = (u + jnp.sqrt(tolerance) * (1 + jnp.abs(u)))[:, None]
        same = t * values[:, : groups * together] <= close
        agreement = jnp.sum(same, axis=1).astype(u.dtype) / searched
        v = jax.vmap(control.steer)(best.z)
        p = jax.vmap(lambda x, v: data(x - t * v)[1])(xs, v)
        return _Found(best.z, v, u, p, t * best.gap, agreement, best.iterations)

    def _run(self, control: Control, data: Function, t: Scalar, x: Point, begins: Array) -> tuple[Minimum, Array]:
        """The best of the searches from `begins` `[k, size]`, and the values of all."""
        objective, tolerance = objective_at(control, data, t, x), self._tolerance(x)
        precise = jnp.sqrt(jnp.finfo(x.dtype).eps)

        def finished(value: Scalar, gap: Scalar, residual: Array, gradient: Array) -> Array:
            closed = t * gap <= 0.5 * tolerance * (1 + jnp.abs(t * value))
            return closed & (jnp.max(jnp.abs(residual)) <= precise * (1 + jnp.max(jnp.abs(gradient))))

        def one(a: Array) -> Minimum:
            return panoc(objective, control.proximal, control.conjugate, a, finished, self.max_iterations)

        ends = jax.vmap(one)(begins)
        values = jnp.where(jnp.isfinite(ends.value), ends.value, jnp.inf)
        return jax.tree.map(lambda a: a[jnp.argmin(values)], ends._replace(value=values)), values


def _where(condition: Array, new: _T, old: _T) -> _T:
    """Row by row."""
    return jax.tree.map(lambda a, b: jnp.where(condition.reshape((-1,) + (1,) * (a.ndim - 1)), a, b), new, old)


def _control(problem: Problem) -> Control:
    hamiltonian = problem.hamiltonian
    assert isinstance(hamiltonian, Proximable | Polyhedral)
    return control_form(hamiltonian, problem.dimension)


def _at_kink(control: Control, data: Function, t: Scalar, x: Point, found: _Found, tolerance: Scalar) -> _Found:
    """The search taken on for kinks of g, from where it stopped."""
    objective = objective_at(control, data, t, x)
    one = jnp.ones((), x.dtype)
    a = compass(lambda a: height(control, objective, a, one), found.a, 0.25 * (1 + jnp.max(jnp.abs(found.a))))
    end = descend(control, data, x, t, a, 0.5 * tolerance * (1 + jnp.abs(found.u)) / t)
    return found._replace(a=end.z, v=control.steer(end.z), u=t * end.value, p=end.p, gap=t * end.gap)


def _envelope(hamiltonian: AbstractHamiltonian, g: Function, t: Scalar, points: Points, found: _Found) -> Array:
    """u, with the derivatives of p·x − (p·y − g(y)) − tH(p) at fixed p and y."""
    y = jax.lax.stop_gradient(points - t * found.v)
    p = found.p
    costs = hamiltonian(t, points.T, p.T)
    bound = jnp.sum(p * (points - y), axis=1) + jax.vmap(g)(y) - t * costs
    return found.u + (bound - jax.lax.stop_gradient(bound))
