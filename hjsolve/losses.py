"""What training minimises: numbers from a batch of predictions and targets."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .checks import check_range, require
from .typing import Array, Float, Scalar


class AbstractLoss(eqx.Module):
    """A loss over a batch."""

    def check(self, predictions: jax.ShapeDtypeStruct, targets: Array) -> None:
        """Refuse targets `[n, ...]` that do not go with predictions of this shape."""

    @abc.abstractmethod
    def __call__(self, predictions: Float[Array, "b ..."], targets: Array) -> Scalar:
        """The mean loss of predictions `[b, ...]` against targets `[b, ...]`."""


class SquaredError(AbstractLoss):
    """Mean squared error."""

    def check(self, predictions: jax.ShapeDtypeStruct, targets: Array) -> None:
        """One real number per output."""
        require(
            predictions.shape == targets.shape,
            f"`targets` must have the predictions' shape {predictions.shape}; got {targets.shape}. For whole-number "
            "labels give Recipe(loss=hj.losses.CrossEntropy()).",
        )

    def __call__(self, predictions: Float[Array, "b ..."], targets: Array) -> Scalar:
        """Mean of |prediction − target|²."""
        return jnp.mean((predictions - targets) ** 2)


class CrossEntropy(AbstractLoss):
    """Mean negative log-likelihood of whole-number labels under the softmax of the logits."""

    def check(self, predictions: jax.ShapeDtypeStruct, targets: Array) -> None:
        """Labels 0, ..., K − 1 for K logits."""
        require(
            len(predictions.shape) == 2 and targets.ndim == 1 and jnp.issubdtype(targets.dtype, jnp.integer),
            f"CrossEntropy needs logits [n, K] and whole-number labels [n]; got logits {predictions.shape} and targets "
            f"{targets.shape} of {targets.dtype}.",
        )
        most = predictions.shape[1] - 1
        check_range("targets", targets, least=0, most=most, remedy="Labels are counted from 0, one per logit.")

    def __call__(self, predictions: Float[Array, "b K"], targets: Array) -> Scalar:
        """Mean of −log softmax(logits)[label]."""
        chosen = jnp.take_along_axis(jax.nn.log_softmax(predictions, axis=1), targets[:, None], axis=1)
        return -jnp.mean(chosen)
