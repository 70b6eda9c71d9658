"""The only training loop: `fit(problem_or_data, method, recipe, key=...) -> (method, history)`."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .checks import as_array, check_ndim, require, whole_number
from .losses import AbstractLoss, SquaredError
from .methods.base import AbstractMethod, AbstractRepresentation, HoldsFixed, LearnsEquation
from .problem import Problem
from .results import RESULTS, message
from .solve import Progress, cast, solve
from .typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar

_Network = TypeVar("_Network", bound=eqx.Module)
_Loss = Callable[[Any, Any, PRNGKeyArray], Scalar]
"""(network, what it learns from, key) to the loss of one random batch."""
_CHUNK = 50
"""Steps per compiled call: between two of them NaN is looked for, progress reported and the budget checked."""


class Data(eqx.Module):
    """Examples: `inputs` `[n, d]` and `targets` `[n, ...]` (real numbers, or whole-number labels)."""

    inputs: Points
    targets: Array

    def __init__(self, inputs: ArrayLike, targets: ArrayLike):
        self.inputs = as_array("inputs", inputs)
        check_ndim("inputs", self.inputs, 2, "[n, d]", "One row per example.")
        labels = np.issubdtype(np.asarray(targets).dtype, np.integer)
        self.targets = jnp.asarray(targets) if labels else as_array("targets", targets)
        n = self.inputs.shape[0]
        require(n > 0, "`inputs` must hold at least one example; got none.")
        require(
            self.targets.ndim >= 1 and self.targets.shape[0] == n,
            f"`targets` must have one row per example ({n}); got shape {self.targets.shape}.",
        )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train: `steps` of `optimiser` (default Adam at 1e-2) on batches of `batch`, for at most `seconds`.

    For a `Problem`, the examples are `samples` points drawn uniformly from its domain and the targets are u(horizon, ·)
    by `reference`, any method that solves it. Methods that bring their own loss on a problem (deep BSDE) need neither
    `loss` nor `reference`; each step draws `batch` fresh paths, and the default is Adam at 1e-3 with cosine decay.
    """

    loss: AbstractLoss = dataclasses.field(default_factory=SquaredError)
    optimiser: optax.GradientTransformation | None = None
    steps: int = 1000
    batch: int = 128
    seconds: float | None = None
    reference: AbstractMethod | None = None
    samples: int = 4096

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "samples"):
            whole_number(name, getattr(self, name), least=1, remedy="Leave it out for the default.")
        require(
            self.seconds is None or self.seconds > 0, f"`seconds` must be > 0; got {self.seconds}. None is no limit."
        )


@dataclasses.dataclass(frozen=True)
class History:
    """How training went: the batch `losses` `[steps]`, the step and loss of the weights kept, and how it ended."""

    losses: np.ndarray[Any, np.dtype[Any]]
    best_step: int
    best_loss: float
    seconds: float
    result: RESULTS
    message: str


def fit(
    source: Problem | Data,
    method: _Network,
    recipe: Recipe,
    *,
    key: PRNGKeyArray,
    progress: Progress | None = None,
) -> tuple[_Network, History]:
    """Train `method` on a problem or on data; returns the trained method (the best weights seen) and the history.

    `method` is any module that maps one input `[d]` to its output (for `Data`), or any representation (for a
    `Problem`, by a reference or by a loss of its own). Every floating-point array in it is trained, but for those its
    `held()` names. A loss that is NaN or infinite ends training with `history.result = RESULTS.diverged`, a message
    that names the step, and the best weights before it. Computes in JAX's current default precision.
    """
    dtype = jnp.result_type(float)
    method = cast(method, dtype)
    data_key, batch_key = jax.random.split(key)
    method, loss, data = _task(source, method, recipe, data_key)
    method, data = cast((method, data), dtype)
    # a schedule for what draws fresh paths at every step: the rate must fall for the noise to average out
    default = _adam(recipe.steps if isinstance(method, LearnsEquation) else None)
    optimiser = default if recipe.optimiser is None else recipe.optimiser

    began = time.perf_counter()
    arrays, static = eqx.partition(method, _trained_leaves(method))
    state = (arrays, optimiser.init(arrays))
    best, best_loss, best_step = arrays, np.inf, 0
    losses: list[np.ndarray[Any, np.dtype[Any]]] = []
    result, note, done = RESULTS.successful, "", 0
    while done < recipe.steps:
        count = min(_CHUNK, recipe.steps - done)
        state, batch_losses = _chunk(loss, optimiser, state, static, data, jax.random.fold_in(batch_key, done), count)
        recent = np.asarray(batch_losses)[:count]
        losses.append(recent)
        if not np.isfinite(recent).all():
            bad = int(np.flatnonzero(~np.isfinite(recent))[0])
            result = RESULTS.diverged
            note = f"loss {recent[bad]} at step {done + bad}. {message(RESULTS.diverged)}"
            break
        done += count
        if recent.mean() < best_loss:
            best, best_loss, best_step = state[0], float(recent.mean()), done
        if progress is not None:
            progress(done / recipe.steps)
        if recipe.seconds is not None and time.perf_counter() - began > recipe.seconds:
            note = f"stopped after {done} of {recipe.steps} steps: the budget of {recipe.seconds} s is spent"
            break
    history = History(np.concatenate(losses), best_step, best_loss, time.perf_counter() - began, result, note)
    return eqx.combine(best, static), history


def _trained_leaves(method: Any) -> Any:
    """True at every floating-point array but those that the module holds fixed."""
    trained = jax.tree.map(eqx.is_inexact_array, method)
    if isinstance(method, HoldsFixed):
        trained = eqx.tree_at(lambda network: network.held(), trained, (False,) * len(method.held()))
    return trained


@functools.cache
def _adam(steps: int | None) -> optax.GradientTransformation:
    """Adam at 1e-2, or at 1e-3 falling to 0 along a cosine. The same object every time: it is part of a program."""
    return optax.adam(1e-2 if steps is None else optax.cosine_decay_schedule(1e-3, steps))


@eqx.filter_jit
def _chunk(
    loss: _Loss, optimiser: optax.GradientTransformation, state: Any, static: Any, data: Any, key: PRNGKeyArray,
    count: int,
) -> Any:  # fmt: skip
    """`count` steps; compiled once for a loss, an optimiser and an architecture."""

    def of_arrays(arrays: Any, key: PRNGKeyArray) -> Scalar:
        return loss(eqx.combine(arrays, static), data, key)

    def step(state: Any, key: PRNGKeyArray) -> Any:
        arrays, moments = state
        value, gradients = jax.value_and_grad(of_arrays)(arrays, key)
        updates, moments = optimiser.update(gradients, moments, arrays)
        return (optax.apply_updates(arrays, updates), moments), value

    return jax.lax.scan(step, state, jax.random.split(key, count))


class _OnRows(eqx.Module):
    """The network's output at each row."""

    def __call__(self, network: Any, inputs: Points) -> Array:
        return jax.vmap(network)(inputs)


class _AtHorizon(eqx.Module):
    """U of a representation at each row, at the problem's horizon."""

    problem: Problem

    def __call__(self, network: Any, inputs: Points) -> Array:
        t = jnp.asarray(self.problem.horizon, inputs.dtype)
        return network.evaluate(self.problem, t, network.prepare(self.problem), inputs).u


class _OnExamples(eqx.Module):
    """A loss on a batch of rows, drawn without replacement."""

    predict: _OnRows | _AtHorizon
    loss: Callable[[Array, Array], Scalar]
    batch: int = eqx.field(static=True)

    def __call__(self, network: Any, data: Data, key: PRNGKeyArray) -> Scalar:
        size = min(self.batch, data.inputs.shape[0])
        rows = jax.random.choice(key, data.inputs.shape[0], (size,), replace=False)
        return self.loss(self.predict(network, data.inputs[rows]), data.targets[rows])


class _Residual(eqx.Module):
    """The network's own loss on a problem."""

    batch: int = eqx.field(static=True)

    def __call__(self, network: LearnsEquation, problem: Problem, key: PRNGKeyArray) -> Scalar:
        return network.residual_loss(problem, self.batch, key=key)


def _task(source: Problem | Data, method: Any, recipe: Recipe, key: PRNGKeyArray) -> tuple[Any, _Loss, Any]:
    """The method to train, its loss, and what the loss reads."""
    if isinstance(source, Data):
        return method, _OnExamples(_OnRows(), recipe.loss, recipe.batch), source
    if not isinstance(source, Problem):
        raise TypeError(f"fit() takes a Problem or Data; got {type(source).__name__}. Use hj.Data(inputs, targets).")
    if not isinstance(method, AbstractRepresentation):
        raise TypeError(f"fit() trains representations on a Problem; got {type(method).__name__}. Give Data instead.")
    if isinstance(method, LearnsEquation):
        source = cast(source, jnp.result_type(float))
        begun = method.begin(source, key=key)
        return begun, _Residual(recipe.batch), source
    require(
        recipe.reference is not None,
        "`reference` is needed to fit a Problem: a method that solves it, e.g. HopfCole(). Set it in Recipe.",
    )
    assert recipe.reference is not None
    method.check(source)
    domain = source.domain
    points = jax.random.uniform(key, (recipe.samples, source.dimension)) * domain.extent + domain.lower
    targets = solve(source, recipe.reference, jnp.atleast_1d(source.horizon), points=points).u[0]
    return (
        method,
        _OnExamples(_AtHorizon(cast(source, targets.dtype)), recipe.loss, recipe.batch),
        Data(points, targets),
    )
