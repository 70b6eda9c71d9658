"""The only training loop: `fit(problem_or_data, method, recipe, key=...) -> (method, history)`."""

import dataclasses
import functools
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .checks import require
from .methods.base import HoldsFixed, LearnsEquation
from .preconditions import check_key
from .problem import Problem
from .results import RESULTS, message
from .solve import Progress, cast
from .tasks import Data, Loss, Recipe, task
from .typing import Array, PRNGKeyArray, Scalar
from .weights import check_architecture, checked_path, describe, packed, read, unpacked, write

_Network = TypeVar("_Network", bound=eqx.Module)
_WINDOW = 50
"""Steps between weights that may be the best, and after which NaN ends a call."""
_MOST = 64
"""Windows in one compiled call at most: between two calls progress is reported and the budget checked."""
_CALL = 0.25
"""Seconds that a call should take."""
_BETWEEN_SAVES = 10.0
"""Seconds of training that a killed process loses at most."""


@dataclasses.dataclass(frozen=True)
class History:
    """How training went: the batch `losses` `[steps]`, the step and loss of the weights kept, and how it ended.

    Every 50 steps, and at the start and the end, the weights may be the best so far: their loss is the larger of the
    mean over the steps that led there and their own on the next batch.
    """

    losses: np.ndarray[Any, np.dtype[Any]]
    best_step: int
    best_loss: float
    seconds: float
    result: RESULTS
    message: str


@dataclasses.dataclass
class _Run:
    """All that training is after some steps.

    Weights, moments, the best weights, their loss and step, the last window's mean, the sum of the one begun.
    """

    state: tuple[Any, Any, Any, Array, Array, Array, Array]
    losses: np.ndarray[Any, np.dtype[Any]] = dataclasses.field(default_factory=lambda: np.zeros(0))
    seconds: float = 0.0

    @property
    def done(self) -> int:
        return len(self.losses)


def fit(
    source: Problem | Data,
    method: _Network,
    recipe: Recipe,
    *,
    key: PRNGKeyArray,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> tuple[_Network, History]:
    """Train `method` on a problem or on data; returns the trained method (the best weights seen) and the history.

    `method` is any module that maps one input `[d]` to its output (for `Data`), or any representation (for a
    `Problem`, by a reference or by a loss of its own). Every floating-point array in it is trained, but for those its
    `held()` names. A loss that is NaN or infinite ends training with `history.result = RESULTS.diverged`, a message
    that names the step, and the best weights before it. Computes in JAX's current default precision.

    `progress` is called with the share of the steps done, some times a second; `study.terminal.progress` is a bar:
    `with progress("training") as reached: hj.fit(..., progress=reached)`.

    `checkpoint` names an .npz file that training is saved to (every 10 s, at the end, and when it is interrupted) and
    goes on from if it exists: bit for bit what it would have been without a break, with the same source, recipe and
    key, also where `steps` is raised; the weights are those of the file. Raises `ValueError` where the file is of
    another architecture, key, source, loss, batch, kind of optimiser (its rates are not compared) or precision, or of
    other fixed numbers of the network.
    """
    dtype = jnp.result_type(float)
    check_key(key)
    if not isinstance(recipe, Recipe):
        raise TypeError(f"`recipe` must be an hj.Recipe; got {recipe!r}. Use hj.Recipe() for the defaults.")
    file = None if checkpoint is None else checked_path("checkpoint", checkpoint)
    method = cast(method, dtype)
    data_key, batch_key = jax.random.split(key)
    method, loss, data = task(source, method, recipe, data_key)
    method, data = cast((method, data), dtype)
    # a schedule for what draws fresh paths at every step: the rate must fall for the noise to average out
    default = _adam(recipe.steps if isinstance(method, LearnsEquation) else None)
    optimiser = default if recipe.optimiser is None else recipe.optimiser

    arrays, static = eqx.partition(method, _trained_leaves(method))
    unknown = jnp.asarray(jnp.inf, dtype)
    run = _Run((arrays, optimiser.init(arrays), arrays, unknown, jnp.asarray(0), -unknown, jnp.zeros((), dtype)))
    identity = {} if file is None else _identity(source, method, recipe, key)
    if file is not None and file.exists():
        _resume(file, run, method, identity, recipe.steps)

    def chunk(run: _Run, stop: int, *, closing: bool) -> Any:
        numbers = jnp.asarray(run.done), jnp.asarray(stop), jnp.asarray(closing)
        return _chunk(loss, optimiser, run.state, static, data, batch_key, *numbers)

    began, earlier, saved, windows = time.perf_counter(), run.seconds, time.perf_counter(), 1
    result, note = RESULTS.successful, ""
    try:
        while run.done < recipe.steps:
            if recipe.seconds is not None and run.done > 0 and run.seconds > recipe.seconds:
                note = f"stopped after {run.done} of {recipe.steps} steps: the budget of {recipe.seconds} s is spent"
                break
            called = time.perf_counter()
            stop = min((run.done // _WINDOW + windows) * _WINDOW, recipe.steps)
            state, recent = chunk(run, stop, closing=False)
            recent = np.asarray(recent)[: stop - run.done]
            bad = np.flatnonzero(~np.isfinite(recent))
            _advance(run, state, recent[: bad[0] + 1] if len(bad) else recent, earlier + time.perf_counter() - began)
            if len(bad):
                result = RESULTS.diverged
                note = f"loss {recent[bad[0]]} at step {run.done - 1}. {message(RESULTS.diverged)}"
                break
            if time.perf_counter() - called < _CALL / 2:
                windows = min(2 * windows, _MOST)
            if progress is not None:
                progress(run.done / recipe.steps)
            if file is not None and time.perf_counter() - saved > _BETWEEN_SAVES:
                _save(file, run, identity)
                saved = time.perf_counter()
    finally:
        if file is not None and run.done > 0 and result == RESULTS.successful:
            _save(file, run, identity)
    if result == RESULTS.successful:  # the loss of the last weights is that of a step that is not taken
        run.state, _ = chunk(run, run.done + 1, closing=True)
    _, _, best, best_loss, best_step, *_ = run.state
    history = History(run.losses, int(best_step), float(best_loss), run.seconds, result, note)
    return eqx.combine(best, static), history


def _advance(run: _Run, state: Any, recent: np.ndarray[Any, np.dtype[Any]], seconds: float) -> None:
    """All at once, so that an interruption finds a run as it was either before or after a call."""
    run.__dict__.update({"losses": np.append(run.losses, recent), "state": state, "seconds": seconds})


def _save(file: Path, run: _Run, identity: Mapping[str, np.ndarray[Any, np.dtype[Any]]]) -> None:
    content = {"losses": run.losses, "seconds": np.asarray(run.seconds)}
    write(file, {**content, **identity, **packed(run.state, "state")})


def _resume(
    file: Path, run: _Run, method: Any, identity: Mapping[str, np.ndarray[Any, np.dtype[Any]]], steps: int
) -> None:
    content = read(file)
    check_architecture(file, content, method)
    require(
        {"key", "source", "held", "losses", "seconds"} <= content.keys(),
        f"`checkpoint` {file.name} holds weights alone and no training to go on with. Choose another file.",
    )
    for name, meaning in (
        ("key", "`key`"),
        ("source", "data, problem, loss or `batch`"),
        ("held", "numbers that training leaves alone (`held()` of the network)"),
    ):
        require(
            np.array_equal(content[name], identity[name]),
            f"`checkpoint` {file.name} was made with other {meaning}: its run cannot be continued with this one.",
        )
    own = packed(run.state, "state")
    known = {place: (a.shape, a.dtype) for place, a in own.items()}
    found = {place: (a.shape, a.dtype) for place, a in content.items() if place.startswith("state")}
    require(
        known == found,
        f"`checkpoint` {file.name} was made with another optimiser or precision than this run's. Use the same, or "
        "another file.",
    )
    run.state = unpacked(content, "state", run.state)
    run.losses, run.seconds = content["losses"], float(content["seconds"])
    require(
        run.done <= steps, f"`steps` must be at least the {run.done} that `checkpoint` {file.name} holds; got {steps}."
    )


def _identity(
    source: Problem | Data, method: Any, recipe: Recipe, key: PRNGKeyArray
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """What a run is continued with: the network's architecture, the key, and all that a step's loss is made of."""
    told = (source, recipe.loss, recipe.reference)
    return {
        "architecture": np.array(describe(method)),
        "key": _key_data(key),
        "source": _digest(f"{describe(told)} {recipe.batch} {recipe.samples}", told),
        "held": _digest("", method.held() if isinstance(method, HoldsFixed) else ()),
    }


def _digest(text: str, tree: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """Of a text and all arrays of a tree."""
    digest = hashlib.sha256(text.encode())
    for leaf in jax.tree.leaves(tree):
        if eqx.is_array_like(leaf):
            digest.update(np.ascontiguousarray(leaf).tobytes())
    return np.array(digest.hexdigest())


def _key_data(key: PRNGKeyArray) -> np.ndarray[Any, np.dtype[Any]]:
    return np.asarray(jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key)


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
    loss: Loss, optimiser: optax.GradientTransformation, state: Any, static: Any, data: Any, key: PRNGKeyArray,
    start: Array, stop: Array, closing: Array,
) -> Any:  # fmt: skip
    """Steps start, ..., stop − 1 and their losses; compiled once for a loss, an optimiser and an architecture.

    A step's batch depends on the key and its number alone, and windows begin at multiples of their length, so that it
    does not matter how steps are called. Weights within a window may be the best in the `closing` call alone.
    """

    def of_arrays(arrays: Any, key: PRNGKeyArray) -> Scalar:
        return loss(eqx.combine(arrays, static), data, key)

    def step(number: Array, carry: Any) -> Any:
        arrays, moments, losses, total = carry
        value, gradients = jax.value_and_grad(of_arrays)(arrays, jax.random.fold_in(key, number))
        updates, moments = optimiser.update(gradients, moments, arrays)
        return optax.apply_updates(arrays, updates), moments, losses.at[number - start].set(value), total + value

    def window(carry: Any) -> Any:
        first, (arrays, moments, best, best_loss, best_step, recent, begun), losses, _ = carry
        within = first % _WINDOW
        own = jnp.where(within == 0, recent, begun / jnp.maximum(within, 1))
        last = jnp.minimum(first - within + _WINDOW, stop)
        after, moments, losses, begun = jax.lax.fori_loop(
            first, last, step, (arrays, moments, losses, jnp.where(within == 0, 0.0, begun))
        )
        own = jnp.maximum(own, losses[first - start])  # NaN if either is
        better = (own < best_loss) & ((within == 0) | closing)
        best = jax.tree.map(lambda new, old: jnp.where(better, new, old), arrays, best)
        best_loss, best_step = jnp.where(better, own, best_loss), jnp.where(better, first, best_step)
        recent = jnp.where(last % _WINDOW == 0, begun / _WINDOW, recent)
        return last, (after, moments, best, best_loss, best_step, recent, begun), losses, jnp.isfinite(begun)

    losses = jnp.zeros(_WINDOW * _MOST, state[3].dtype)
    carry = (jnp.asarray(start), state, losses, jnp.asarray(True))
    _, state, losses, _ = jax.lax.while_loop(lambda carry: (carry[0] < stop) & carry[3], window, carry)
    return state, losses
