"""The only time loop: `solve(problem, method, ts)`."""

import functools
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import numpy as np

from .checks import as_array, whole_number
from .clock import CompileClock
from .kernels.compensated import Compensated, compensated, resumed, settled
from .kernels.vectors import wide_vectors
from .methods.base import (
    AbstractEvolution,
    AbstractMethod,
    AbstractRepresentation,
    AbstractStationary,
    Evaluation,
    State,
)
from .preconditions import (
    as_times,
    check_key,
    check_kinds,
    check_obstacles,
    check_periodic_hamiltonian,
    check_points,
    check_start,
    check_times,
    check_viscosity,
)
from .problem import Problem, StationaryProblem
from .problem.jumps import from_jump, next_jump
from .results import RESULTS, HJWarning, message
from .solution import Solution
from .typing import Array, ArrayLike, Float, Points, PRNGKeyArray, Scalar

Progress = Callable[[float], None]
_Tree = TypeVar("_Tree")
_MAX_STEPS = 1_000_000
_REPORT_EVERY = 64
"""Steps between two progress reports: rare enough to cost nothing."""
_SHORTEST = 1 / 64
"""Of the rounding of the horizon: a march whose steps are shorter has stalled."""


def solve(
    problem: Problem | StationaryProblem,
    method: AbstractMethod,
    ts: ArrayLike | None = None,
    *,
    points: ArrayLike | None = None,
    key: PRNGKeyArray | None = None,
    max_steps: int | None = None,
    checkpoints: int | None = None,
    throw: bool = True,
    progress: Progress | None = None,
) -> Solution:
    """Solve `u_t + H(t, x, ∇u) = ε Δu`, `u(0, ·) = g`, and save at the times `ts`; or a `StationaryProblem`, without.

    **Arguments.** `ts` `[s]` increases within [0, horizon]. `points` `[m, d]`: where to evaluate; None means the
    nodes of a grid method and is refused by methods that have none. `key`: randomness, for methods that sample.
    `max_steps`: limit on time steps (default 1,000,000). `checkpoints`: states kept for reverse-mode differentiation
    (default about √(2·max_steps)). `throw`: raise `RuntimeError` if the run does not end successfully; otherwise read
    `solution.result`. `progress`: called with the fraction of the horizon reached.

    Differentiable in reverse mode with respect to every number in the problem and the method, and batched by
    `equinox.filter_vmap` over problems. The derivative in ε at ε = 0 is that of FiniteDifference, from the right;
    methods that take another formula there (particles, SemiLagrangian) give 0. Computes in JAX's current default
    precision.
    """
    check_kinds(problem, method)
    if max_steps is not None:
        max_steps = whole_number("max_steps", max_steps, least=1, remedy="None is no limit but 1e6.")
    check_key(key)
    points_given = None if points is None else as_array("points", points)
    times = as_times(ts, problem)
    posed: Any = problem  # of the kind that the method solves
    check_times(times, posed)
    check_points(points_given, posed, method)
    method.check(posed)
    if isinstance(problem, Problem):
        check_start(times, problem, method)
        check_obstacles(problem, method)
    dtype = jnp.result_type(float)
    problem, method, times, points_given = cast((problem, method, times, points_given), dtype)
    check_viscosity(problem, method)
    check_periodic_hamiltonian(problem)
    key = jax.random.key(0) if key is None else key
    options = (max_steps or _MAX_STEPS, checkpoints, progress)

    began = time.perf_counter()
    with CompileClock() as clock:
        solved = _compiled(problem, method, times, points_given, key, options)
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(solved))
        if not traced:
            jax.block_until_ready(solved)
    if not traced:
        elapsed = time.perf_counter() - began
        compiling = min(clock.seconds, elapsed)
        # arrays, not floats: a float in a pytree would be a compile-time constant of every later evaluation
        solved.stats["compile_seconds"] = np.asarray(compiling)
        solved.stats["seconds"] = np.asarray(elapsed - compiling)
        _finish(solved, throw)
    return solved


def _compiled(*arguments: Any) -> Solution:
    """`_solve` compiled for the widest vectors of the CPU where it is a program of its own, which alone may be told."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments))
    solved: Solution
    try:
        solved = _jitted(() if traced else wide_vectors())(*arguments)
    except ValueError as error:
        if "compiler_options" not in str(error):
            raise
        solved = _jitted(())(*arguments)  # a function in the problem closes over a traced value
    return solved


@functools.cache
def _jitted(options: tuple[tuple[str, str], ...]) -> Any:
    return eqx.filter_jit(_solve, compiler_options=dict(options) or None)  # type: ignore[call-overload]


def _solve(
    problem: Problem,
    method: AbstractMethod,
    ts: Float[Array, "s"],
    points: Points | None,
    key: PRNGKeyArray,
    options: tuple[int, int | None, Progress | None],
) -> Solution:
    prepare_key, evaluate_key = jax.random.split(key)
    if isinstance(method, AbstractEvolution):
        where = method.nodes(problem) if points is None else points
        states, evaluations, stats, result = _march(problem, method, ts, points, prepare_key, options)
        result = RESULTS.where(result == RESULTS.successful, _worst(evaluations.result), result)
        equation, reach = method.equation(problem), _reach_by_marching
    elif isinstance(method, AbstractRepresentation):
        assert points is not None
        where = points
        states = method.prepare(problem, key=prepare_key)
        keys = jax.random.split(evaluate_key, len(ts))
        evaluations = jax.lax.map(lambda tk: method.evaluate(problem, tk[0], states, points, key=tk[1]), (ts, keys))
        equation, reach = method.equation(problem, states), _reach_directly
        stats = {"start": jnp.zeros((), ts.dtype), "steps": jnp.zeros((), int)}
        result = _worst(evaluations.result)
    elif isinstance(method, AbstractStationary):
        posed: Any = problem
        where = method.nodes(posed) if points is None else points
        states, result, stats = method.relax(posed, key=prepare_key)
        evaluations = jax.tree.map(lambda a: a[None], method.evaluate(problem, ts[0], states, points, key=evaluate_key))
        equation, reach = method.equation(problem, states), _reach_directly
        stats = {"start": jnp.zeros((), ts.dtype), **stats}
    else:
        raise TypeError(f"`method` must be an evolution or a representation; got {type(method).__name__}.")
    u, gradient = evaluations.u, evaluations.gradient
    finite = jnp.all(jnp.isfinite(u)) & jnp.all(jnp.isfinite(gradient))
    result = RESULTS.where((result == RESULTS.successful) & ~finite, RESULTS.nonfinite, result)
    stats = {**evaluations.stats, **stats}
    return Solution(problem, method, ts, where, u, gradient, result, stats, equation, states, reach)


def _march(
    problem: Problem,
    method: AbstractEvolution,
    ts: Array,
    points: Points | None,
    key: PRNGKeyArray,
    options: tuple[int, int | None, Progress | None],
) -> tuple[State, Evaluation, dict[str, Array], RESULTS]:
    start = method.start_time(problem)
    initial = method.init(problem, key=key)
    counters = (jnp.zeros((), int), jnp.asarray(jnp.inf, ts.dtype), jnp.zeros((), ts.dtype))

    def save(carry: Any, t: Scalar) -> Any:
        march = _advance(problem, method, carry, jnp.maximum(t, start), options)
        state = march[1]
        return march, (settled(state), method.evaluate(problem, t, state, points))

    begin = (compensated(start), initial, counters, RESULTS.successful)
    march, (states, evaluations) = jax.lax.scan(save, begin, ts)
    clock, _, (steps, smallest, largest), result = march
    stats = {"start": start, "reached": clock.value, "steps": steps, "smallest_dt": smallest, "largest_dt": largest}
    joined = jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), settled(initial), states)
    return joined, evaluations, stats, result


def _advance(
    problem: Problem,
    method: AbstractEvolution,
    carry: Any,
    target: Scalar,
    options: tuple[int, int | None, Progress | None],
) -> Any:
    """March (t, state, counters, result) to `target`, in steps that end on it exactly; t is summed up."""
    max_steps, checkpoints, progress = options
    shortest = _SHORTEST * jnp.finfo(target.dtype).eps * problem.horizon

    def left(clock: Compensated) -> Scalar:
        return (target - clock.value) - clock.lost

    def unfinished(carry: Any) -> Array:
        clock, _, (steps, _, _), result = carry
        return (left(clock) > 0) & (result == RESULTS.successful) & (steps < max_steps)

    def body(carry: Any) -> Any:
        clock, state, (steps, smallest, largest), _ = carry
        t = clock.value
        stop, smooth = _up_to_jump(problem, t, target)
        stable = method.stable_dt(smooth, t, state)
        remaining = (stop - t) - clock.lost
        # equal steps to the stop: no sliver of a last step
        pieces = jnp.maximum(jnp.ceil(remaining / stable * (1 - 1e-6)), 1.0)
        dt = jnp.where(pieces > 1, remaining / pieces, remaining)
        new, result = method.step(smooth, t, dt, state)
        underflow = (pieces > 1) & ~(dt > shortest)
        result = RESULTS.where(underflow & (result == RESULTS.successful), RESULTS.step_underflow, result)
        steps = steps + 1
        if progress is not None:
            _report(progress, steps, (t + dt) / problem.horizon)
        later = _chosen(pieces > 1, clock.plus(dt), compensated(stop))
        lost = result == RESULTS.nonfinite  # the last good state stays
        clock, new = _chosen(lost, (clock, state), (later, new))
        return clock, new, (steps, jnp.minimum(smallest, dt), jnp.maximum(largest, dt)), result

    clock, state, counters, result = eqxi.while_loop(
        unfinished, body, carry, max_steps=max_steps, kind="checkpointed", checkpoints=checkpoints
    )
    stopped = (result == RESULTS.successful) & (left(clock) > 0)
    return clock, state, counters, RESULTS.where(stopped, RESULTS.max_steps_reached, result)


def _up_to_jump(problem: Problem, t: Scalar, target: Scalar) -> tuple[Scalar, Problem]:
    """Where steps from t must end at the latest, and the problem as it is until then."""
    jump = next_jump(problem, t)
    return (target, problem) if jump is None else (jnp.minimum(target, jump.astype(t.dtype)), from_jump(problem, t))


def _reach_by_marching(problem: Problem, method: AbstractEvolution, states: State, ts: Array, t: Scalar) -> State:
    start = method.start_time(problem)
    times = jnp.concatenate([start[None], jnp.maximum(ts, start)])
    t = jnp.maximum(t, start)
    index = jnp.sum(times <= t) - 1
    state = resumed(jax.tree.map(lambda s: s[index], states))
    counters = (jnp.zeros((), int), jnp.asarray(jnp.inf, ts.dtype), jnp.zeros((), ts.dtype))
    carry = (compensated(times[index]), state, counters, RESULTS.successful)
    return _advance(problem, method, carry, t, (_MAX_STEPS, None, None))[1]


def _reach_directly(problem: Problem, method: AbstractMethod, states: State, ts: Array, t: Scalar) -> State:
    return states


def _chosen(condition: Array, yes: _Tree, no: _Tree) -> _Tree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _report(progress: Progress, steps: Array, fraction: Array) -> None:
    def report() -> None:
        jax.debug.callback(lambda f: progress(float(f)), fraction)

    jax.lax.cond(steps % _REPORT_EVERY == 0, report, lambda: None)


def _worst(results: RESULTS) -> RESULTS:
    """The first result that is not successful among a batch."""
    failed = results != RESULTS.successful
    return jax.tree.map(lambda r: r[jnp.argmax(failed)], results)


def cast(tree: _Tree, dtype: Any) -> _Tree:
    """Every floating-point array of a pytree in `dtype`."""
    return jax.tree.map(lambda a: jnp.asarray(a, dtype) if eqx.is_inexact_array(a) else a, tree)


def _finish(solution: Solution, throw: bool) -> None:
    name, result = type(solution.method).__name__, solution.result
    if result == RESULTS.under_resolved or result == RESULTS.under_sampled:
        warnings.warn(f"{name}: {message(result)}", HJWarning, stacklevel=3)
    elif throw and result != RESULTS.successful:
        raise RuntimeError(f"{name} did not finish: {message(result)}{_where(solution)}")


def _where(solution: Solution) -> str:
    """At which step, time and place a march stopped."""
    method = solution.method
    if not isinstance(method, AbstractEvolution):
        return ""
    from .diagnosis import whereabouts

    last = jax.tree.map(lambda a: a[-1], solution.states)
    return " " + whereabouts(solution.problem, method, last, solution.stats)
