"""Where a run went wrong: which step, which time, which place, and whose number it was."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from .methods.base import AbstractEvolution, State
from .problem import Problem
from .problem.initials import Atoms
from .problem.obstacles import height
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
    if not isinstance(problem.initial, Atoms):
        yield from _not_finite("`initial` is", jax.vmap(problem.initial)(x))
    for name, obstacle in (("ceiling", problem.ceiling), ("floor", problem.floor)):
        if obstacle is not None:
            for t in times:
                yield from _not_finite(f"`{name}` is", height(obstacle, t, x.T))
    found = method.evaluate(problem, times[0], state, None)
    yield from _not_finite("u is", found.u)
    columns, p = x.T, found.gradient.T
    slope = np.linalg.norm(np.asarray(found.gradient), axis=1)
    hamiltonian = problem.hamiltonian
    for t in times:
        for wrong, place in _not_finite("`hamiltonian` is", hamiltonian(t, columns, p)):
            yield f"{wrong} for |∇u| = {slope[place]:.4g}", place
        yield from _not_finite("the Hamiltonian's `speed_bound` is", hamiltonian.speed_bound(t, columns, p, p))
        yield from _not_finite("`viscosity` is", problem.viscosity.bound(t, columns))
    steepest = int(np.nanargmax(np.where(np.isfinite(slope), slope, -1.0)))
    yield f"the solution is steepest, |∇u| = {slope[steepest]:.4g},", steepest


def _not_finite(subject: str, values: Array) -> Iterator[Fault]:
    """The first place `[m]` where an entry of values `[..., m]` is NaN or infinite."""
    flat = np.atleast_2d(np.asarray(values))
    bad = ~np.isfinite(flat).all(axis=0)
    if bad.any():
        place = int(np.argmax(bad))
        wrong = flat[:, place]
        yield f"{subject} {wrong[~np.isfinite(wrong)][0]}", place
