"""The solution: arrays at the saved times, how it ended, and what is done with it afterwards."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .checks import check_range, concrete, number, require
from .methods.base import AbstractEvolution, AbstractMethod, AbstractStationary, Evaluation, State
from .problem import Problem
from .problem.initials import Atoms
from .results import RESULTS, message
from .typing import Array, ArrayLike, Float, Points, PRNGKeyArray

if TYPE_CHECKING:
    from .level_sets import LevelSet
    from .trajectories import Inputs, Trajectory

_STEPS = 200
"""Of a trajectory, where no `dt` is given."""


class Solution(eqx.Module):
    """What `solve` returns.

    `ts` `[s]` and `points` `[m, d]` are the times and places; `u` `[s, m]` and `gradient` `[s, m, d]` the values there.
    `result` says how it ended; `stats` holds numbers about the run (steps, CFL number, start time, seconds, compile
    seconds); `equation` is the problem that the method really solves, with its effective viscosity.
    `solution(t, x)` evaluates u anywhere, `solution.gradient_at(t, x)` its gradient, `solution.level_set(t)` is where u
    is 0, `solution.feedback(t, x)` the optimal inputs, `solution.trajectory(x0)` the path that follows them, and
    `solution.save(path)` writes a file.
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
        time, places = jnp.asarray(t, self.u.dtype), self._places("x", x)
        self._check_time(time)
        evaluation = _evaluate(self, time, jnp.atleast_2d(places))
        if places.ndim == 2:
            return evaluation
        return Evaluation(evaluation.u[0], evaluation.gradient[0], evaluation.result, evaluation.stats)

    def level_set(self, t: ArrayLike, level: float = 0.0) -> "LevelSet":
        """Where u(t, ·) = `level`, in NumPy arrays, for d <= 3.

        d = 1: sorted points `[k, 1]`. d = 2: a list of polylines `[k, 2]`; a closed one repeats its first point at the
        end. d = 3: triangles `(vertices [n, 3], faces [m, 3])`, counter-clockwise seen from larger u. Across periodic
        faces both go on beyond the box; what goes round a period is cut once. Edges are straight between their points,
        which lie on the level set of `solution(t, ·)`: they are found on a tensor grid (the nodes of a grid method,
        else the `points` of the solution) by linear interpolation and moved onto it by Newton steps along ∇u.

        Raises `ValueError` for d > 3, for points that form no tensor grid, and where u is not finite.
        """
        from .level_sets import locate

        time = jnp.asarray(t, self.u.dtype)
        self._check_time(time)
        state = _reached(self, time)
        nodes = getattr(self.method, "nodes", None)  # grids have them
        points = np.asarray(self.points if nodes is None else nodes(self.problem))

        def sample(x: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
            found = _evaluated(self, time, state, None if nodes and x is points else jnp.asarray(x, self.u.dtype))
            return np.asarray(found.u), np.asarray(found.gradient)

        return locate(points, sample, self.problem.domain, float(level))

    def feedback(self, t: ArrayLike, x: ArrayLike) -> "Inputs":
        """The closed loop at time to go t and x `[d]` or `[m, d]`: `control`, `disturbance` and `velocity` from ∇u.

        A Hamiltonian of a control problem (see `hjsolve.problem.hamiltonians.controlled`) gives its optimal inputs
        `[k]` or `[m, k]`; for every other one they are None, and the velocity is −∂H/∂p(t, x, ∇u), which is optimal
        where H is convex.
        """
        from .trajectories import closed_loop

        places = self._places("x", x)
        gradient = self.evaluate(t, places).gradient
        wrapped = self.problem.domain.wrap(places)
        inputs = closed_loop(self.problem.hamiltonian, jnp.asarray(t, places.dtype), wrapped.T, gradient.T)
        return jax.tree.map(lambda a: a.T, inputs)

    def trajectory(
        self,
        x0: ArrayLike,
        *,
        t: float | None = None,
        dt: float | None = None,
        key: PRNGKeyArray | None = None,
    ) -> "Trajectory":
        """The optimal path from x0 `[d]` or `[m, d]` with the time t to go (default: the last saved time) until 0.

        It follows dx/ds = `feedback(T − s, x).velocity` in equal steps of at most `dt` (default t/200), by Runge-Kutta
        methods of diffrax, of order 3 on a grid and 5 for a representation; under viscosity that is the drift alone.
        With a `key` it is one path of dX = velocity ds + √(2ε) dW (Itô), of weak order 2 where ε does not depend on x,
        else 1. Data that are `Atoms` are singular at 0: paths then end at the start of the grid's march, or at the
        first saved time. The feedback of a `StationaryProblem` is followed for the time t, which must be given.

        ∇u of a representation is evaluated on the way. That of a grid is interpolated by quintics in space and
        linearly between the saved times, with an error of about (Δts)²/8 · ∂_tt ∇u: save as many times as the paths
        need. A path stops where it leaves the domain of a grid (`left`), arrives at a target (`arrived`; a `dt` that
        jumps over the target misses it), or u meets the ceiling, found to a cell. It goes on where u meets the floor,
        whose height an opponent may claim. Where ∇u jumps, the path takes one side; a control that jumps back and
        forth there chatters at the size of dt. Differentiable in reverse mode with respect to x0 and the numbers in
        the problem. Raises `ValueError` for x0 outside the domain and t beyond the saved times.
        """
        places = self._places("x0", x0)
        span, steps = self._span(t, dt)
        found = _followed(self, jnp.atleast_2d(places), span, steps, key)
        if places.ndim == 2:
            return found
        return eqx.tree_at(
            lambda f: (f.x, f.inputs, f.cost, f.left, f.arrived, f.end),
            found,
            replace_fn=lambda a: jax.tree.map(lambda b: b[0], a),
        )

    def save(self, path: str | Path) -> None:
        """Write the solution to `path`: `.npz` (NumPy), `.nc` (netCDF-3) or `.zarr` (Zarr v3), whole or not at all.

        It holds the times, the points, u and ∇u, and as text the problem, the method, the equation that it really
        solves, the result and the statistics. Points that form a tensor grid make `.nc` and `.zarr` open in xarray as
        u(time, x1, ..., xd) with coordinates. An existing file is replaced. Raises `ValueError` for another suffix.
        """
        from . import files

        arrays = {name: np.asarray(getattr(self, name)) for name in ("ts", "points", "u", "gradient")}
        files.save(Path(path), arrays, self.facts())

    def facts(self) -> dict[str, str]:
        """What a file says beside the arrays, as text: problem, method, equation, result and statistics."""
        stats = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in self.stats.items()}
        written = {
            name: eqx.tree_pformat(getattr(self, name), short_arrays=False)
            for name in ("problem", "method", "equation")
        }
        return {**written, "result": message(self.result), "stats": json.dumps(stats)}

    def _places(self, argument: str, x: ArrayLike) -> Array:
        places = jnp.asarray(x, self.u.dtype)
        d = self.problem.dimension
        require(
            places.ndim in (1, 2) and places.shape[-1] == d,
            f"`{argument}` must have shape [{d}] or [m, {d}]; got {places.shape}. The problem has dimension {d}.",
        )
        check_inside(argument, places, self.problem, self.method)
        return places

    def _span(self, t: float | None, dt: float | None) -> tuple[Array, int]:
        """The times to go between which a trajectory runs, and its number of steps."""
        from .trajectories import Meshed

        marches, rests = (isinstance(self.method, kind) for kind in (AbstractEvolution, AbstractStationary))
        require(
            isinstance(self.method, Meshed) or not (marches or rests),
            f"`trajectory` needs a solution on a uniform grid or by a method that evaluates any time; "
            f"{type(self.method).__name__} gives none. Use hj.methods.grid.FiniteDifference, or `feedback`.",
        )
        require(t is not None or not rests, "`t` is needed: how long to follow the feedback of a stationary solution.")
        last = float(self.ts[-1] if marches else self.problem.horizon)
        begin = float(self.ts[-1] if t is None else number("t", t))
        singular = not (marches or rests) and isinstance(self.problem.initial, Atoms)
        end = float(self.ts[0] if singular else self.stats["start"])
        require(
            end < begin <= last * (1 + 1e-6),
            f"`t` must be in ({end:g}, {last:g}], up to the last saved time of a grid; got {begin:g}. It is the time "
            "to go: save a later time, or start with less.",
        )
        step = (begin - end) / _STEPS if dt is None else float(number("dt", dt))
        check_range("dt", step, above=0.0, remedy="It is the time between two places of the path.")
        return jnp.asarray([min(begin, last), end], self.u.dtype), max(1, math.ceil((begin - end) / step * (1 - 1e-6)))

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
    """Refuse points `[..., d]` outside the domain of a method on a grid, which ends at the faces."""
    if not isinstance(method, AbstractEvolution | AbstractStationary):
        return
    outside = concrete(~problem.domain.contains(points, slack=1e-6))
    if outside is not None:
        require(
            not outside.any(),
            f"`{argument}` must lie in the domain for {type(method).__name__}, which knows nothing beyond it; "
            f"{int(outside.sum())} of {outside.size} are outside, the first of them "
            f"{np.asarray(points)[outside][:1].tolist()} of {_bounds(problem)}. Enlarge the domain.",
        )


def _bounds(problem: Problem) -> str:
    lower, upper = (concrete(end) for end in (problem.domain.lower, problem.domain.upper))
    return "it" if lower is None or upper is None else f"{lower.tolist()} to {upper.tolist()}"


@eqx.filter_jit
def _evaluate(solution: Solution, t: Array, points: Points) -> Evaluation:
    return _evaluated(solution, t, _reached(solution, t), points)


@eqx.filter_jit
def _reached(solution: Solution, t: Array) -> State:
    return solution._reach(solution.problem, solution.method, solution.states, solution.ts, t)


@eqx.filter_jit
def _evaluated(solution: Solution, t: Array, state: State, points: Points | None) -> Evaluation:
    return solution.method.evaluate(solution.problem, t, state, points, key=jax.random.key(0))


@eqx.filter_jit
def _followed(
    solution: Solution, x0: Points, span: Float[Array, "2"], steps: int, key: PRNGKeyArray | None
) -> "Trajectory":
    from .trajectories import follow, guide

    problem, method = solution.problem, solution.method
    walls = isinstance(method, AbstractEvolution | AbstractStationary)
    times = jnp.append(solution.stats["start"], solution.ts)  # the states of a march begin with that at its start
    return follow(problem, guide(problem, method, solution.states, times), x0, span, steps, walls, key)
