"""The method of characteristics: the solution carried along rays, for any smooth H(t, x, p) without viscosity."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, counts, require
from ...problem import Problem
from ...problem.hamiltonians import Norm, Polyhedral
from ...problem.hamiltonians.convexity import is_convex
from ...problem.hopf_cole import check_periodic_data
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .inviscid import poison, require_inviscid
from .rays import Rays, Tracer
from .starts import in_box, map_blocks, spread

_DEFAULT_RAYS = {1: 512, 2: 2048}
_NEWTON_STEPS = 30
_SHORTEST = 1e-3
"""Of a Newton step: below it the search has stalled."""
_SAME = 1e-6
"""Starts of rays closer than this, relative to their size, are the same branch."""
_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
"""For the derivatives of u in the problem's numbers: an integral along a ray."""
_NODES = np.append((1 + _GAUSS) / 2, 1.0)
_ROUNDS = 3
_ZOOMS = 16
"""Halvings of the box in which the first crossing is looked for; the crossing time is quadratic in that box."""
_ZOOM_SAMPLES = 32


class Fan(eqx.Module):
    """Relative places `[n, d]` in [−1, 1]^d from which rays are traced."""

    places: Points


class _Root(NamedTuple):
    """The start of a ray, the ray at the nodes (the last is its end), its distance from x, and u carried on to x."""

    y: Point
    ray: Rays
    miss: Scalar
    value: Scalar
    converged: Array


class Characteristics(AbstractRepresentation):
    """ẋ = ∂H/∂p, ṗ = −∂H/∂x, u̇ = p·∂H/∂p − H from (y, ∇g(y), g(y)): the smooth solution of `u_t + H(t, x, ∇u) = 0`.

    H and g must be twice differentiable along the rays (kinks of either send out fans that no ray enters; `HopfLax`
    serves them). u(t, x) is read off the rays through (t, x): a fan of `rays` rays (default 512, 2048, 1024 for d = 1,
    2, more), started evenly over the domain and the reach of its speeds, gives the `branches` that end nearest to x;
    Newton's method brings each to x.

    One branch: u is smooth there and exact to the integrator's tolerance (`tolerance`, relative and absolute; default
    1e-11 in float64, 1e-5 in float32). Several: rays have crossed. For H convex in p (known from its type) u is the
    lowest branch, the viscosity solution, as long as the fan finds it; otherwise the result is `RESULTS.shock`, and u
    (still the lowest branch) is not to be trusted there. Where no ray arrives u is NaN and the result
    `RESULTS.not_converged`. `stats`, all `[m]`: `branches` found; `crossed`, whether there are several or the ray
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
            number = counts(name, value)
            require(isinstance(number, int) and number >= 1, f"`{name}` must be a number >= 1; got {value}.")
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
        nodes = held[1] * jnp.asarray(_NODES, points.dtype)
        roots, branches = jax.lax.stop_gradient(self._roots(tracer, held[0], nodes, held[2], state))
        local = lambda x, y, ray: _near_ray(problem, held[0], nodes, ray, y, time, x)
        u, p = jax.vmap(jax.value_and_grad(local))(points, roots.y, roots.ray)
        found = branches > 0
        u, p = jnp.where(found, u, jnp.nan), jnp.where(found[:, None], p, jnp.nan)
        determinant = roots.ray.determinant[:, -1]
        crossed = (branches > 1) | (determinant <= 0)
        value, slope = jax.vmap(jax.value_and_grad(problem.initial))(problem.domain.wrap(points))
        u, p = jnp.where(positive, u, value), jnp.where(positive, p, slope)
        crossed, found = crossed & positive, found | ~positive
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

        `determinant` `[s, n]` of what is returned is det ∂x/∂y, which vanishes where neighbouring rays meet.
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

    def _roots(
        self, tracer: Tracer, problem: Problem, nodes: Array, points: Points, state: Fan
    ) -> tuple[_Root, Array]:
        """The start of the lowest branch through each point, and the number of branches."""
        lower = jnp.minimum(jnp.asarray(problem.domain.lower), jnp.min(points, axis=0))
        upper = jnp.maximum(jnp.asarray(problem.domain.upper), jnp.max(points, axis=0))
        starts, ends = _table(tracer, problem, nodes[-1], lower, upper, state.places)
        scale = 1 + jnp.max(jnp.abs(starts))

        def at(x: Point) -> tuple[_Root, Array]:
            distance = jnp.sum((ends - x) ** 2, axis=1)
            distance = jnp.where(jnp.isfinite(distance), distance, jnp.inf)
            nearest = jax.lax.top_k(-distance, self.branches)[1]
            roots = jax.vmap(lambda y: _newton(tracer, problem, nodes, x, y))(starts[nearest])
            values = jnp.where(roots.converged, roots.value, jnp.inf)
            apart = jnp.max(jnp.abs(roots.y[:, None] - roots.y[None]), axis=2) > _SAME * scale
            earlier = np.tri(self.branches, k=-1, dtype=bool)
            repeated = jnp.any(~apart & earlier & roots.converged[None, :], axis=1)
            best = jnp.argmin(values)
            return jax.tree.map(lambda a: a[best], roots), jnp.sum(roots.converged & ~repeated)

        return map_blocks(jax.vmap(at), points, len(starts))


def _table(
    tracer: Tracer, problem: Problem, t: Scalar, lower: Array, upper: Array, places: Points
) -> tuple[Points, Points]:
    """Starts of rays around [lower, upper], as far as rays travel by time t, and their ends (inf where there is none).

    Each round widens the box by the largest displacement per axis that the one before saw.
    """
    trace = jax.vmap(lambda y: tracer.to(problem, y, t))

    def widen(_: int, carry: tuple[Points, Points, Array]) -> tuple[Points, Points, Array]:
        starts = in_box(places, lower - carry[2], upper + carry[2])
        ends, reached = trace(starts)
        sound = reached[:, None] & jnp.isfinite(ends.x)
        reach = jnp.max(jnp.where(sound, jnp.abs(ends.x - starts), 0.0), axis=0)
        return starts, jnp.where(sound, ends.x, jnp.inf), reach

    carry = (places, places, jnp.zeros_like(lower))
    return jax.lax.fori_loop(0, _ROUNDS, widen, carry)[:2]


def _newton(tracer: Tracer, problem: Problem, nodes: Array, x: Point, start: Point) -> _Root:
    """The ray through x at the last of the times `nodes` that starts near `start`.

    Newton steps of the start, shortened until the ray ends nearer to x.
    """
    tolerance = 100 * tracer.atol * (1 + jnp.max(jnp.abs(x)))

    def unfinished(carry: tuple[Point, Rays, Point, Scalar, Scalar, Array]) -> Array:
        _, _, _, miss, fraction, count = carry
        return (miss > tolerance) & (fraction > _SHORTEST) & (count < _NEWTON_STEPS)

    def body(
        carry: tuple[Point, Rays, Point, Scalar, Scalar, Array],
    ) -> tuple[Point, Rays, Point, Scalar, Scalar, Array]:
        y, ray, step, miss, fraction, count = carry
        trial = y + fraction * step
        new_ray, reached = tracer.along(problem, trial, nodes)
        new_miss = jnp.max(jnp.abs(new_ray.x[-1] - x))
        nearer = reached & (new_miss < miss)
        kept = (trial, new_ray, _step(new_ray, x), new_miss)
        kept = jax.tree.map(lambda new, old: jnp.where(nearer, new, old), kept, (y, ray, step, miss))
        return *kept, jnp.where(nearer, 1.0, fraction / 4), count + 1

    one, d, count = jnp.ones((), x.dtype), x.shape[0], len(nodes)
    zeros = lambda *shape: jnp.zeros((count, *shape), x.dtype)
    nothing = Rays(zeros(d), zeros(d), zeros(), zeros(d, d), zeros(d, d))
    carry = (start, nothing, jnp.zeros_like(start), one * jnp.inf, one, jnp.zeros((), int))
    y, ray, _, miss, _, _ = jax.lax.while_loop(unfinished, body, carry)
    value = ray.u[-1] + jnp.sum(ray.p[-1] * (x - ray.x[-1]))
    return _Root(y, ray, miss, value, miss <= tolerance)


def _step(ray: Rays, x: Point) -> Point:
    """The Newton step −(∂x/∂y)⁻¹(X − x); zero where the Jacobian is singular."""
    step = jnp.linalg.solve(ray.jacobian[-1], x - ray.x[-1])
    return jnp.where(jnp.all(jnp.isfinite(step)), step, 0.0)


def _near_ray(
    problem: Problem, held: Problem, nodes: Array, ray: Rays, y: Point, t: Scalar, x: Point
) -> Scalar:
    """U at (t, x) from the ray that ends there, with the derivatives of u in t, x and the problem's numbers.

    To second order u(t, x) = ū + p̄·δ − H τ + ½(∂_xx, ∂_xt, ∂_tt) about the ray's end, δ = x − x̄, τ = t − t̄, with
    ∂_xx u = S = ∂p/∂y (∂x/∂y)⁻¹, ∂_xt u = −(∂_xH + S ∂_pH), ∂_tt u = −(∂_tH + ∂_pH·∂_xt u). A change of the numbers
    moves u by that of g(y) − ∫ H dt along the ray (the envelope theorem), here the ray that ends at x.
    """
    last = jax.tree.map(lambda a: a[-1], ray)
    end = nodes[-1]
    inverse = jnp.linalg.inv(last.jacobian)
    inverse = jnp.where(jnp.all(jnp.isfinite(inverse)), inverse, 0.0)
    curvature = last.bend @ inverse
    curvature = (curvature + curvature.T) / 2
    energy, (energy_t, energy_x, velocity) = jax.value_and_grad(held.hamiltonian, argnums=(0, 1, 2))(
        end, _wrapped(held, last.x), last.p
    )
    energy, energy_t, energy_x, velocity = jax.lax.stop_gradient((energy, energy_t, energy_x, velocity))
    mixed = -(energy_x + curvature @ velocity)
    twice = -(energy_t + velocity @ mixed)
    delta, tau = x - last.x, t - end
    jet = last.u + last.p @ delta - energy * tau
    jet = jet + 0.5 * delta @ (curvature @ delta) + tau * (mixed @ delta) + 0.5 * twice * tau**2

    start = inverse @ (delta - velocity * tau)

    def action(problem: Problem) -> Scalar:
        height = problem.initial(_wrapped(problem, y + start))  # type: ignore[operator]
        along = jax.tree.map(lambda a: a[:-1], ray)
        places = _wrapped(problem, along.x + along.jacobian @ start)
        energies = jax.vmap(problem.hamiltonian)(nodes[:-1], places, along.p + along.bend @ start)
        cost = 0.5 * end * jnp.sum(jnp.asarray(_WEIGHTS, x.dtype) * energies)
        return height - cost - tau * problem.hamiltonian(end, _wrapped(problem, last.x), last.p)

    return jet + action(problem) - action(held)


def _wrapped(problem: Problem, x: Point) -> Point:
    return problem.domain.wrap(x) if any(problem.domain.periodic) else x


@eqx.filter_jit
def _trace(tracer: Tracer, problem: Problem, starts: Points, ts: Float[Array, "s"]) -> Rays:
    return jax.vmap(lambda y: tracer.along(problem, y, ts)[0], out_axes=1)(starts)


@eqx.filter_jit
def _first_crossing(tracer: Tracer, problem: Problem, places: Points) -> Scalar:
    crossing = jax.vmap(lambda y: tracer.first_crossing(problem, y))
    lower, upper = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper)
    starts = (lower + upper) / 2 + places * (upper - lower) / 2
    times = crossing(starts)
    near = places[:_ZOOM_SAMPLES]

    def zoom(_: int, carry: tuple[Point, Scalar, Point]) -> tuple[Point, Scalar, Point]:
        centre, best, width = carry
        trials = centre + width * near
        times = crossing(trials)
        first = jnp.argmin(times)
        earlier = times[first] < best
        return jnp.where(earlier, trials[first], centre), jnp.where(earlier, times[first], best), width / 2

    first = jnp.argmin(times)
    width = (upper - lower) / max(2.0, len(places) ** (1 / problem.dimension) / 4)
    return jax.lax.fori_loop(0, _ZOOMS, zoom, (starts[first], times[first], width))[1]


def _cast(problem: Problem, dtype: jnp.dtype) -> Problem:
    return jax.tree.map(lambda a: jnp.asarray(a, dtype) if eqx.is_inexact_array(a) else a, problem)
