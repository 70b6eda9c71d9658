"""Where a run went wrong: which step, which time, which place, and whose number it was."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .methods.base import AbstractEvolution, State
from .problem import Problem
from .problem.initials import Atoms
from .problem.obstacles import Obstacle, height
from .typing import Array, Points, Scalar

Fault = tuple[str, int]
"""What is wrong, and at which of the places."""


def whereabouts(problem: Problem, method: AbstractEvolution, state: State, stats: dict[str, Array]) -> str:
    """One sentence about a march that stopped: its step, its time, and the place that made it stop.

    `state` is the last good one. A function of the problem that is NaN or infinite there, or one step later, is named;
    else the steepest place is, where a solution that blows up does so.
    """
    t, x = stats["reached"], method.nodes(problem)
    times = (t, jnp.minimum(t + stats["largest_dt"], problem.horizon))
    what, place = next(_faults(problem, method, state, times, x))
    named = ", ".join(f"{value:.4g}" for value in np.asarray(x[place]))
    return f"It stopped in step {int(stats['steps'])}, at t = {float(t):.6g}: {what} at x = ({named})."


def _faults(
    problem: Problem, method: AbstractEvolution, state: State, times: tuple[Scalar, Scalar], x: Points
) -> Iterator[Fault]:
    numbers, gradient = _numbers(problem, method, state, times, x)
    slope = np.linalg.norm(np.asarray(gradient), axis=1)
    for subject, values in zip(Numbers._fields, numbers, strict=True):
        for wrong, place in () if values is None else _not_finite(_SUBJECTS[subject], values):
            yield wrong + (f" for |∇u| = {slope[place]:.4g}" if subject == "hamiltonian" else ""), place
    steepest = int(np.nanargmax(np.where(np.isfinite(slope), slope, -1.0)))
    yield f"the solution is steepest, |∇u| = {slope[steepest]:.4g},", steepest


class Numbers(NamedTuple):
    """What may be wrong, in the order in which it is to blame: `[..., m]`, the times first."""

    initial: Array | None
    ceiling: Array | None
    floor: Array | None
    u: Array
    hamiltonian: Array
    speed_bound: Array
    viscosity: Array


_SUBJECTS = {name: f"`{name}` is" for name in Numbers._fields} | {
    "u": "u is",
    "speed_bound": "the Hamiltonian's `speed_bound` is",
}


@eqx.filter_jit
def _numbers(
    problem: Problem, method: AbstractEvolution, state: State, times: tuple[Scalar, Scalar], x: Points
) -> tuple[Numbers, Array]:
    """All of them, and ∇u `[m, d]`, in one program."""
    columns = x.T
    found = method.evaluate(problem, times[0], state, None)
    p = found.gradient.T

    def at_times(function: Callable[[Scalar], Array]) -> Array:
        return jnp.stack([function(t) for t in times])

    def of(obstacle: Obstacle | None) -> Array | None:
        return None if obstacle is None else at_times(lambda t: height(obstacle, t, columns))

    numbers = Numbers(
        None if isinstance(problem.initial, Atoms) else jax.vmap(problem.initial)(x),
        of(problem.ceiling),
        of(problem.floor),
        found.u,
        at_times(lambda t: problem.hamiltonian(t, columns, p)),
        at_times(lambda t: problem.hamiltonian.speed_bound(t, columns, p, p)),
        at_times(lambda t: problem.viscosity.bound(t, columns)),
    )
    return numbers, found.gradient


def _not_finite(subject: str, values: Array) -> Iterator[Fault]:
    """The first place `[m]` where an entry of values `[..., m]` is NaN or infinite."""
    flat = np.asarray(values).reshape(-1, np.shape(values)[-1])
    bad = ~np.isfinite(flat).all(axis=0)
    if bad.any():
        place = int(np.argmax(bad))
        wrong = flat[:, place]
        yield f"{subject} {wrong[~np.isfinite(wrong)][0]}", place
