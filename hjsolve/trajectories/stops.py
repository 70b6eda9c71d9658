"""Where paths stop: at a face, a target or the ceiling."""

import functools
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import optimistix

from ..problem import Problem, StationaryProblem
from ..typing import Array, Float, Point, Scalar
from .closed_loop import Inputs
from .dynamics import inside

_SLACK = 1e-6
"""Of the domain's extent: rounding that does not count as leaving it."""
_HALVINGS = 60
"""Of a step, to find where a path stops: more than float64 can tell."""


class Path(NamedTuple):
    """One path at its n times (or, with a leading axis, many)."""

    x: Float[Array, "n d"]
    cost: Float[Array, "n"]
    inputs: Inputs
    cost_rate: Float[Array, "n"]
    contact: Float[Array, "n"]


def run_on(path: Path) -> tuple[Path, Array, Array, Array]:
    """What `stop` gives where nothing stops a path."""
    n = path.cost.shape[0]
    return path, jnp.asarray(False), jnp.asarray(False), jnp.asarray(n - 1, path.cost.dtype)


def stop(problem: Problem | StationaryProblem, dt: Scalar, noisy: bool, path: Path) -> tuple[Path, Array, Array, Array]:
    """The path at rest from where it first meets a face, the target or the ceiling; whether a face, whether the target
    stopped it; and the number of steps made until then.

    It is found after the integration: an event of diffrax ends one system, and batched over paths each would carry a
    time of its own, for which ∇u of a grid has to be interpolated in time on all nodes again.
    """
    room, distance = jax.vmap(functools.partial(_ahead, problem))(path.x)
    over = (room < -_SLACK) | (distance <= 0)
    out = over | (path.contact >= 0.5)
    stops, first, n = jnp.any(out), jnp.argmax(out), len(out)
    k = jnp.maximum(first - 1, 0)
    begin, end = (path.x[k], path.cost[k]), (path.x[k + 1], path.cost[k + 1])
    if noisy:
        leaves = arrives = jax.tree.map(jnp.subtract, end, begin)
    else:
        leaves, arrives = ((dt * path.inputs.velocity[j], dt * path.cost_rate[j]) for j in (k, k + 1))
    piece = diffrax.ThirdOrderHermitePolynomialInterpolation(t0=0.0, t1=1.0, y0=begin, y1=end, k0=leaves, k1=arrives)
    meets = over[first] & (first > 0)
    share = _root(problem, piece, meets, path.x.dtype)
    share = jnp.where(meets, share, jnp.where(first > 0, 1.0, 0.0))
    place, paid = piece.evaluate(share)
    room, distance = _ahead(problem, place)
    arrived = over[first] & (distance <= room)
    number = jnp.arange(n)
    rests = stops & (number >= first)
    held = jnp.where(rests, k, number)
    inputs = jax.tree.map(lambda a: a[held], path.inputs)
    inputs = Inputs(inputs.control, inputs.disturbance, jnp.where(rests[:, None], 0.0, inputs.velocity))
    x = inside(problem.domain, jnp.where(rests[:, None], place, path.x))
    cost = jnp.where(rests, paid, path.cost)
    return (
        path._replace(x=x, cost=cost, inputs=inputs),
        over[first] & ~arrived,
        arrived,
        jnp.where(stops, k + share, n - 1),
    )


def _ahead(problem: Problem | StationaryProblem, x: Point) -> tuple[Scalar, Scalar]:
    """How far x `[d]` is from the nearest face, of the domain's extent, and from the target; < 0 beyond."""
    domain = problem.domain
    to_faces = jnp.minimum(x - domain.lower, domain.upper - x) / domain.extent
    room = jnp.min(jnp.where(jnp.asarray(domain.periodic), jnp.inf, to_faces))
    target = problem.target if isinstance(problem, StationaryProblem) else None
    distance = jnp.full_like(room, jnp.inf) if target is None else target.distance(domain.wrap(x))
    return room, jnp.asarray(distance, x.dtype)


def _root(problem: Problem | StationaryProblem, piece: Any, meets: Array, dtype: Any) -> Scalar:
    """The share of a step at which `piece` is on a face or the target, where it `meets` one."""

    def margin(share: Scalar, args: object) -> Scalar:
        # where nothing is met, a root that has a derivative
        return jnp.where(meets, jnp.minimum(*_ahead(problem, piece.evaluate(share)[0])), 0.5 - share)

    eps = float(jnp.finfo(dtype).eps)
    bisection: Any = optimistix.Bisection
    share: Scalar = optimistix.root_find(
        margin,
        bisection(rtol=eps, atol=eps, flip=True),
        jnp.asarray(0.5, dtype),
        options={"lower": 0.0, "upper": 1.0},
        max_steps=_HALVINGS,
        throw=False,
    ).value
    return share
