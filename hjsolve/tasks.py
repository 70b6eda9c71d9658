"""What `fit` minimises: a loss of (network, what it learns from, key), made from a problem or from data."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from .checks import as_array, check_ndim, check_range, concrete, number, require, whole_number
from .losses import AbstractLoss, SquaredError
from .methods.base import AbstractMethod, AbstractRepresentation, LearnsEquation
from .problem import Problem
from .solve import cast, solve
from .typing import Array, ArrayLike, Points, PRNGKeyArray, Scalar

Loss: TypeAlias = Callable[[Any, Any, PRNGKeyArray], Scalar]
"""(network, what it learns from, key) to the loss of one random batch."""


class Data(eqx.Module):
    """Examples: `inputs` `[n, d]` and `targets` `[n, ...]` (real numbers, or whole-number labels)."""

    inputs: Points
    targets: Array

    def __init__(self, inputs: ArrayLike, targets: ArrayLike):
        self.inputs = as_array("inputs", inputs)
        check_ndim("inputs", self.inputs, 2, "[n, d]", "One row per example.")
        labels = np.issubdtype(np.asarray(targets).dtype, np.integer)
        self.targets = jnp.asarray(targets) if labels else as_array("targets", targets)
        for name, array in (("inputs", self.inputs), ("targets", self.targets)):
            known = concrete(array)
            infinite = None if known is None else int(np.isinf(known).sum())
            require(not infinite, f"`{name}` must be finite; {infinite} entries are infinite. Remove or replace them.")
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
        if self.seconds is not None:
            check_range("seconds", number("seconds", self.seconds), above=0.0, remedy="None is no limit.")
        if not callable(self.loss) or isinstance(self.loss, type):
            raise TypeError(f"`loss` must be one of hj.losses, such as SquaredError(); got {self.loss!r}.")
        if self.optimiser is not None and not hasattr(self.optimiser, "update"):
            raise TypeError(f"`optimiser` must be of optax, such as optax.adam(1e-2); got {self.optimiser!r}.")


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
    """A loss on a batch of rows, drawn independently (without replacement sorting all would cost more than a step)."""

    predict: _OnRows | _AtHorizon
    loss: Callable[[Array, Array], Scalar]
    batch: int = eqx.field(static=True)

    def __call__(self, network: Any, data: Data, key: PRNGKeyArray) -> Scalar:
        count = data.inputs.shape[0]
        if self.batch >= count:
            return self.loss(self.predict(network, data.inputs), data.targets)
        rows = jax.random.randint(key, (self.batch,), 0, count)
        return self.loss(self.predict(network, data.inputs[rows]), data.targets[rows])


class _Residual(eqx.Module):
    """The network's own loss on a problem."""

    batch: int = eqx.field(static=True)

    def __call__(self, network: LearnsEquation, problem: Problem, key: PRNGKeyArray) -> Scalar:
        return network.residual_loss(problem, self.batch, key=key)


def task(source: Problem | Data, method: Any, recipe: Recipe, key: PRNGKeyArray) -> tuple[Any, Loss, Any]:
    """The method to train, its loss, and what the loss reads."""
    if isinstance(source, Data):
        if not callable(method):
            raise TypeError(f"`method` must be a network that maps one input [d]; got {type(method).__name__}.")
        if isinstance(recipe.loss, AbstractLoss):
            recipe.loss.check(eqx.filter_eval_shape(jax.vmap(method), source.inputs), source.targets)
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
