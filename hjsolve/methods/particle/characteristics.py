"""The method of characteristics: the solution carried along rays, for any smooth H(t, x, p) without viscosity."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_ndim, check_range, require, whole_number
from ...problem import Problem
from ...problem.hamiltonians import Norm, Polyhedral
from ...problem.hamiltonians.convexity import is_convex
from ...problem.hopf_cole import check_periodic_data
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .inviscid import poison, require_inviscid
from .rays.branches import rays_through
from .rays.jet import NODES, near_ray
from .rays.rays import Rays, Tracer
from .starts import spread

_DEFAULT_RAYS = {1: 512, 2: 2048}
_ZOOMS = 16
"""Halvings of the box in which the first crossing is looked for; the crossing time is quadratic in that box."""


class Fan(eqx.Module):
    """Relative places `[n, d]` in [−1, 1]^d from which rays are traced."""

    places: Points


class Characteristics(AbstractRepresentation):
    """ẋ = ∂H/∂p, ṗ = −∂H/∂x, u̇ = p·∂H/∂p − H from (y, ∇g(y), g(y)): the smooth solution of `u_t + H(t, x, ∇u) = 0`.

    H and g must be twice differentiable along the rays (kinks of either send out fans that no ray enters; `HopfLax`
    serves them). u(t, x) is read off the rays through (t, x): a fan of `rays` rays (default 512, 2048, 1024 for d = 1,
    2, more), started evenly over the domain and the reach of its speeds, gives the `branches` that end near x with the
    lowest u; Newton's method brings each to x.

    One branch: u is smooth there and exact to the integrator's tolerance (`tolerance`, relative and absolute; default
    1e-11 in float64, 1e-5 in float32). Several: rays have crossed. For H convex in p (known from its type) u is the
    lowest branch, the viscosity solution, as long as the fan finds it; otherwise the result is `RESULTS.shock`, and u
    (still the lowest branch) is not to be trusted there. Where no ray arrives u is NaN and the result
    `RESULTS.not_converged`, as it is where a ray of the fan that was not followed promises a lower u: raise `rays` or
    `branches`. `stats`, all `[m]`: `branches` found; `crossed`, whether there are several or the ray
    passed a focus; `determinant`, det ∂x/∂y of the branch taken; `miss`, how far from x it ends.

    ∇u = p of that branch. u and ∇u are differentiable in t, x and all parameters, u to second order (the start y
    follows x by the implicit function theorem, the choice of branch is held).
    On a `Box` this is the Cauchy problem on R^d; periodic axes continue data and H periodically.

    Cost: (rays + 5 branches m) integrations of d² + d + 1 equations; memory O(rays d²). Meant for d <= 10 or so.
    Raises `ValueError` for viscosity, `Atoms`, and `Norm` or `Polyhedral` Hamiltonians. Source: Evans, *PDE*, 3.2.
    """

    fan: int | None = eqx.field(static=True)
    branches: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    tolerance: Array | None

    def __init__(
        self,
        rays: int | None = None,
        branches: int = 6,
        *,
        tolerance: float | None = None,
        max_steps: int = 4096,
    ):
        given = {"branches": branches, "max_steps": max_steps, **({} if rays is None else {"rays": rays})}
        for name, value in given.items():
            whole_number(name, value, least=1, remedy="Leave it out for the default.")
        require(
            rays is None or rays >= branches,
            f"`rays` must be >= `branches` = {branches}, which are picked from them; got {rays}.",
        )
        self.fan, self.branches, self.max_steps = rays, int(branches), int(max_steps)
        self.tolerance = None if tolerance is None else jnp.asarray(tolerance, float)
        if tolerance is not None:
            check_range("tolerance", tolerance, above=0.0, remedy="None is 1e-11 in float64, 1e-5 in float32.")

    def check(self, problem: Problem) -> None:
        """Refuse viscosity, atoms, Hamiltonians of norm type, and growing data on a torus."""
        require_inviscid(problem, "Characteristics")
        hamiltonian = problem.hamiltonian
        require(
            not isinstance(hamiltonian, Norm | Polyhedral),
            f"Characteristics needs a smooth `hamiltonian`; got {type(hamiltonian).__name__}, whose kinks send out "
            "fans that no ray enters. Use HopfLax.",
        )
        require(
            not isinstance(problem.initial, Atoms),
            "Characteristics needs `initial` to be a smooth function; got Atoms. Use HopfLax.",
        )
        check_periodic_data(problem, "Characteristics")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Fan:
        """The relative places that rays start from."""
        key = jax.random.key(0) if key is None else key
        d = problem.dimension
        count = _DEFAULT_RAYS.get(d, 1024) if self.fan is None else self.fan
        return Fan(spread(key, max(count, self.branches), d))

    def evaluate(
        self, problem: Problem, t: Scalar, state: Fan, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u at `points` from the rays that reach them; at t = 0 the data themselves."""
        assert points is not None, "Characteristics has no nodes; solve() refuses points=None"
        assert not isinstance(problem.initial, Atoms)
        positive = t > 0
        time = jnp.where(positive, t, problem.horizon)
        arrays, rest = eqx.partition((problem, time, points), eqx.is_array)
        held = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        tracer = self._tracer(points)
        nodes = held[1] * jnp.asarray(NODES, points.dtype)
        roots, branches, lower = jax.lax.stop_gradient(
            rays_through(tracer, held[0], nodes, held[2], state.places, self.branches)
        )

        def local(x: Point, y: Point, ray: Rays) -> Scalar:
            return near_ray(problem, held[0], nodes, ray, y, time, x)

        u, p = jax.vmap(jax.value_and_grad(local))(points, roots.y, roots.ray)
        found = branches > 0
        u, p = jnp.where(found, u, jnp.nan), jnp.where(found[:, None], p, jnp.nan)
        determinant = roots.ray.determinant[:, -1]
        crossed = (branches > 1) | (determinant <= 0)
        value, slope = jax.vmap(jax.value_and_grad(problem.initial))(problem.domain.wrap(points))
        u, p = jnp.where(positive, u, value), jnp.where(positive, p, slope)
        crossed, found = crossed & positive, (found & ~lower) | ~positive
        result = RESULTS.successful
        if not is_convex(problem.hamiltonian):
            result = RESULTS.where(jnp.any(crossed), RESULTS.shock, result)
        result = RESULTS.where(jnp.all(found), result, RESULTS.not_converged)
        stats = {
            "branches": jnp.where(positive, branches, 1),
            "crossed": crossed,
            "determinant": jnp.where(positive, determinant, 1.0),
            "miss": jnp.where(positive, roots.miss, 0.0),
        }
        return Evaluation(poison(problem, u), p, result, stats)

    def equation(self, problem: Problem, state: Fan | None = None) -> Problem:
        """The problem itself."""
        return problem

    def rays(self, problem: Problem, y: ArrayLike, ts: ArrayLike) -> Rays:
        """The rays from y `[n, d]` at times ts `[s]` (increasing, >= 0): x, p `[s, n, d]`, u `[s, n]`, ∂x/∂y, ∂p/∂y.

        `determinant` `[s, n]` of what is returned is det ∂x/∂y, which vanishes where neighbouring rays meet. Between
        the integrator's steps rays are known by its dense output, to about 1000 times the tolerance.
        """
        self.check(problem)
        dtype = jnp.result_type(float)
        starts, times = jnp.asarray(as_array("y", y), dtype), jnp.asarray(as_array("ts", ts), dtype)
        d = problem.dimension
        require(
            starts.ndim == 2 and starts.shape[1] == d,
            f"`y` must have shape [n, {d}]; got {starts.shape}. One row per ray.",
        )
        check_ndim("ts", times, 1, "[s]", "Give a list of times.")
        check_range("ts", times, least=0.0, remedy="Rays start at t = 0.")
        check_range("ts", jnp.diff(times), above=0.0, remedy="Times must increase.")
        return _trace(self._tracer(starts), _cast(problem, dtype), starts, times)

    def shock_time(self, problem: Problem) -> Scalar:
        """When rays that start in the domain first cross, det ∂x/∂y = 0; +inf if they do not before the horizon.

        The earliest of a fan of rays, refined around its start. In one dimension with H(p) it is −1/min (H'(g'))'.
        """
        self.check(problem)
        dtype = jnp.result_type(float)
        return _first_crossing(self._tracer(jnp.zeros((), dtype)), _cast(problem, dtype), self.prepare(problem).places)

    def _tracer(self, like: Array) -> Tracer:
        default = jnp.finfo(like.dtype).eps ** 0.7
        tolerance = jnp.asarray(default if self.tolerance is None else self.tolerance, like.dtype)
        return Tracer(tolerance, tolerance, self.max_steps)


@eqx.filter_jit
def _trace(tracer: Tracer, problem: Problem, starts: Points, ts: Float[Array, "s"]) -> Rays:
    def along(y: Point) -> Rays:
        return tracer.along(problem, y, ts)[0]

    return jax.vmap(along, out_axes=1)(starts)


@eqx.filter_jit
def _first_crossing(tracer: Tracer, problem: Problem, places: Points) -> Scalar:
    def crossing(y: Point) -> Scalar:
        return tracer.first_crossing(problem, y)

    def zoom(_: int, carry: tuple[Point, Scalar, Point]) -> tuple[Point, Scalar, Point]:
        centre, best, width = carry
        trials = centre + width * places
        times = jax.vmap(crossing)(trials)
        first = jnp.argmin(times)
        earlier = times[first] < best
        return jnp.where(earlier, trials[first], centre), jnp.where(earlier, times[first], best), width / 2

    lower, upper = jnp.asarray(problem.domain.lower, places.dtype), jnp.asarray(problem.domain.upper, places.dtype)
    start = ((lower + upper) / 2, jnp.asarray(jnp.inf, places.dtype), (upper - lower) / 2)
    return jax.lax.fori_loop(0, _ZOOMS, zoom, start)[1]


def _cast(problem: Problem, dtype: jnp.dtype) -> Problem:
    return jax.tree.map(lambda a: jnp.asarray(a, dtype) if eqx.is_inexact_array(a) else a, problem)
