"""What `solve` asks of its arguments before any work starts."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .checks import as_array, concrete, require
from .methods.base import AbstractEvolution, AbstractMethod, AbstractStationary
from .problem import Problem, StationaryProblem
from .problem.initials import Atoms
from .problem.obstacles import height
from .problem.probe import depends_on
from .problem.viscosities import Varying
from .solution import check_inside
from .typing import Array, ArrayLike


def as_times(ts: ArrayLike | None, problem: Problem | StationaryProblem) -> Array:
    """`ts` as an array; one time that means nothing for a stationary problem, which refuses any."""
    if isinstance(problem, StationaryProblem):
        require(ts is None, f"`ts` must be left out for a StationaryProblem, whose solution has no time; got {ts}.")
        return jnp.zeros(1)
    require(ts is not None, "`ts` is needed: the times in (0, horizon] to save, such as [0.5].")
    return as_array("ts", ts)


def check_kinds(problem: Any, method: Any) -> None:
    """Refuse what is no problem or no method, and methods of the other kind."""
    if not isinstance(problem, Problem | StationaryProblem):
        raise TypeError(f"`problem` must be an hj.Problem; got {problem!r}. Build one, or take exact.problem().")
    if not isinstance(method, AbstractMethod):
        hint = f"write {method.__name__}(...), an instance" if isinstance(method, type) else f"got {method!r}"
        raise TypeError(f"`method` must be one of hj.methods, such as HopfCole() or FiniteDifference(100); {hint}.")
    if isinstance(problem, StationaryProblem) != isinstance(method, AbstractStationary):
        raise TypeError(
            f"`method` {type(method).__name__} does not solve a {type(problem).__name__}. FastSweeping and "
            "PolicyIteration of hj.methods.grid solve a StationaryProblem, all other methods a Problem."
        )


def check_obstacles(problem: Problem, method: AbstractMethod) -> None:
    """Refuse obstacles that the method does not know, and a ceiling below the floor."""
    require(
        method.knows_obstacles or (problem.ceiling is None and problem.floor is None),
        f"`ceiling` and `floor` must be None for {type(method).__name__}, which knows no obstacles. Use "
        "hj.methods.grid.FiniteDifference.",
    )
    if problem.ceiling is None or problem.floor is None or not isinstance(method, AbstractEvolution):
        return
    x = method.nodes(problem).T
    for t in (method.start_time(problem), problem.horizon):
        gap = concrete(jnp.min(height(problem.ceiling, t, x) - height(problem.floor, t, x)))
        require(
            None if gap is None else gap >= 0,
            f"`ceiling` must not be below `floor`; it is, by {0.0 if gap is None else -gap:.4g} somewhere at time "
            f"{concrete(t)}. Nothing lies between them.",
        )


def check_viscosity(problem: Problem | StationaryProblem, method: AbstractMethod) -> None:
    """Refuse a varying viscosity that is negative at a node (or a place of the domain), at first or in the end."""
    if not isinstance(problem, Problem) or not isinstance(problem.viscosity, Varying):
        return
    x = method.nodes(problem) if isinstance(method, AbstractEvolution) else _spread(problem)
    for t in (jnp.zeros_like(jnp.asarray(problem.horizon)), jnp.asarray(problem.horizon)):
        epsilon = concrete(problem.viscosity.bound(t, x.T))
        if epsilon is not None and (epsilon < 0).any():
            place = int(np.argmin(epsilon))
            raise ValueError(
                f"`viscosity` must be >= 0; got {epsilon[place]:.4g} at t = {float(t):.4g}, x = "
                f"{np.asarray(x[place]).tolist()}. Negative diffusion has no solution."
            )


def check_periodic_hamiltonian(problem: Problem | StationaryProblem) -> None:
    """Refuse an H that jumps across a periodic face."""
    axes = [axis for axis, periodic in enumerate(problem.domain.periodic) if periodic]
    known = concrete(problem.domain.lower) is not None and concrete(problem.domain.upper) is not None
    if not axes or not known or not _reads_place(problem):
        return
    values = concrete(_across(problem, axes))
    if values is None or not np.isfinite(values).all():
        return
    for axis, (left, right, inside) in zip(axes, values, strict=True):
        jump = np.abs(left - right).max()
        scale = np.abs(inside).max()
        require(
            jump <= 1e-4 * scale,
            f"`hamiltonian` must be periodic on this domain; H(t, x, p) jumps by {jump:.3g} across axis {axis}. Use a "
            "Box there, or the period of H.",
        )


def _reads_place(problem: Problem | StationaryProblem) -> bool:
    x = jnp.asarray(problem.domain.lower)
    return depends_on(lambda x: problem.hamiltonian(jnp.zeros((), x.dtype), x, jnp.ones_like(x)), 0, x)


@eqx.filter_jit
def _across(problem: Problem | StationaryProblem, axes: list[int]) -> Array:
    """H `[axes, 3, m]` at pairs of points on both faces of each axis, and between them, with several slopes."""
    x = _spread(problem)
    slopes = jnp.sin(1 + jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    t = jnp.zeros((), x.dtype)

    def at(places: Array) -> Array:
        return problem.hamiltonian(t, places.T, slopes.T)

    lower, upper = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper)
    rows = [[at(x.at[:, k].set(lower[k])), at(x.at[:, k].set(upper[k])), at(x)] for k in axes]
    return jnp.stack([jnp.stack(row) for row in rows])


def _spread(problem: Problem | StationaryProblem) -> Array:
    """Places `[16, d]` of the domain: the additive sequence of square roots of primes."""
    primes = np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29])
    d = problem.dimension
    shares = np.outer(np.arange(1, 17), np.sqrt(np.resize(primes, d)) + np.arange(d) // len(primes)) % 1
    lower, extent = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.extent)
    return lower + extent * jnp.asarray(shares, extent.dtype)


def check_key(key: Any) -> None:
    """Refuse what is no random key."""
    if key is not None:
        drawn = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        legacy = isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32
        require(drawn or legacy, f"`key` must be a random key of JAX; got {key!r}. Write jax.random.key(0).")


def check_times(ts: Array, problem: Problem) -> None:
    """Refuse times that do not increase within the horizon."""
    listed = ts.ndim == 1 and ts.shape[0] > 0
    require(listed, f"`ts` must be a list of at least one time; got shape {ts.shape}. Write [0.5] for one.")
    known, horizon = concrete(ts), concrete(problem.horizon)
    if known is None:
        return
    shown = known.tolist()
    require((known >= 0).all(), f"`ts` must be >= 0; got {shown}. The data are given at t = 0.")
    require((known[1:] > known[:-1]).all(), f"`ts` must increase strictly; got {shown}. Sort them and drop repeats.")
    if horizon is not None:
        slack = 1e-6 * float(horizon.max())
        require(
            known[-1] <= float(horizon.min()) + slack,
            f"`ts` must end within the horizon {float(horizon.min()):g}; got {shown[-1]:g}. Raise `horizon`.",
        )


def check_start(ts: Array, problem: Problem, method: AbstractMethod) -> None:
    """Refuse times before the march begins."""
    if not isinstance(method, AbstractEvolution):
        first = concrete(ts[0])
        require(
            None if first is None or not isinstance(problem.initial, Atoms) else first > 0,
            "`ts` must be > 0 for Atoms, which are singular at t = 0; got 0. Leave that time out.",
        )
        return
    first, start = concrete(ts[0]), concrete(method.start_time(problem))
    if first is None or start is None:
        return
    require(
        first >= start * (1 - 1e-6),
        f"`ts` must not begin before the start time {start:g} of {type(method).__name__}, which data that are singular "
        f"at t = 0 need; got {first:g}. Give the method an earlier `start`.",
    )


def check_points(points: Array | None, problem: Problem, method: AbstractMethod) -> None:
    """Refuse points of another shape, that are not finite, or outside the domain of a grid."""
    d = problem.dimension
    if points is None:
        require(
            isinstance(method, AbstractEvolution | AbstractStationary),
            f"`points` is needed: {type(method).__name__} has no nodes of its own. Give an array [m, {d}].",
        )
        return
    require(
        points.ndim == 2 and points.shape[1] == d and points.shape[0] > 0,
        f"`points` must have shape [m, {d}] with m >= 1; got {points.shape}. One row per point"
        + (", e.g. x[:, None]." if d == 1 else "."),
    )
    known = concrete(points)
    require(
        None if known is None else np.isfinite(known).all(),
        "`points` must be finite; an entry is infinite, first in row "
        f"{0 if known is None else int(np.argmin(np.isfinite(known).all(axis=1)))}. Remove those rows.",
    )
    check_inside("points", points, problem, method)
