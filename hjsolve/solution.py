"""The solution: arrays at the saved times, how it ended, and evaluation anywhere."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .checks import concrete, require
from .methods.base import AbstractEvolution, AbstractMethod, Evaluation, State
from .problem import Problem
from .results import RESULTS
from .typing import Array, ArrayLike, Float, Points


class Solution(eqx.Module):
    """What `solve` returns.

    `ts` `[s]` and `points` `[m, d]` are the times and places; `u` `[s, m]` and `gradient` `[s, m, d]` the values there.
    `result` says how it ended; `stats` holds numbers about the run (steps, CFL number, start time, seconds, compile
    seconds); `equation` is the problem that the method really solves, with its effective viscosity.
    `solution(t, x)` evaluates u anywhere, `solution.gradient_at(t, x)` its gradient.
    """

    problem: Problem
    method: AbstractMethod
    ts: Float[Array, "s"]
    points: Points
    u: Float[Array, "s m"]
    gradient: Float[Array, "s m d"]
    result: RESULTS
    stats: dict[str, Any]
    equation: Problem
    states: State
    _reach: Callable[..., State] = eqx.field(repr=False)
    """`reach(problem, method, states, starts, t)`: the method's state at time t, marched from the last one before t."""

    def __call__(self, t: ArrayLike, x: ArrayLike) -> Array:
        """U at time t and x: `[d] -> []` or `[m, d] -> [m]`.

        Any 0 <= t <= horizon. An evolution marches on from the last saved state before t, so that nothing is lost to
        interpolation in time; keep `ts` dense where many evaluations are wanted.
        """
        return self.evaluate(t, x).u

    def gradient_at(self, t: ArrayLike, x: ArrayLike) -> Array:
        """∇u at time t and x: `[d] -> [d]` or `[m, d] -> [m, d]`."""
        return self.evaluate(t, x).gradient

    def evaluate(self, t: ArrayLike, x: ArrayLike) -> Evaluation:
        """U, ∇u, result and stats at time t and x, `[d]` or `[m, d]`."""
        dtype = self.u.dtype
        time, places = jnp.asarray(t, dtype), jnp.asarray(x, dtype)
        d = self.problem.dimension
        require(
            places.ndim in (1, 2) and places.shape[-1] == d,
            f"`x` must have shape [{d}] or [m, {d}]; got {places.shape}. The problem has dimension {d}.",
        )
        self._check_time(time)
        check_inside("x", places, self.problem, self.method)
        evaluation = _evaluate(self, time, jnp.atleast_2d(places))
        if places.ndim == 2:
            return evaluation
        return Evaluation(evaluation.u[0], evaluation.gradient[0], evaluation.result, evaluation.stats)

    def _check_time(self, t: Array) -> None:
        known, start = concrete(t), concrete(self.stats["start"])
        horizon = concrete(self.problem.horizon)
        if known is None or start is None or horizon is None:
            return
        slack = 1e-6 * float(horizon)
        require(
            known.ndim == 0 and float(start) - slack <= float(known) <= float(horizon) + slack,
            f"`t` must be one time in [{float(start):g}, {float(horizon):g}]; got {known.tolist()}. "
            "The problem's horizon is the last time.",
        )


def check_inside(argument: str, points: Array, problem: Problem, method: AbstractMethod) -> None:
    """Refuse points `[..., d]` outside the domain of a method that marches on a grid, which ends at the faces."""
    if not isinstance(method, AbstractEvolution):
        return
    outside = concrete(~problem.domain.contains(points, slack=1e-6))
    if outside is not None:
        require(
            not outside.any(),
            f"`{argument}` must lie in the domain for {type(method).__name__}, which knows nothing beyond it; "
            f"{int(outside.sum())} of {outside.size} are outside. Enlarge the domain.",
        )


@eqx.filter_jit
def _evaluate(solution: Solution, t: Array, points: Points) -> Evaluation:
    state = solution._reach(solution.problem, solution.method, solution.states, solution.ts, t)
    return solution.method.evaluate(solution.problem, t, state, points, key=jax.random.key(0))
