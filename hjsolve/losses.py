"""What training minimises: numbers from a batch of predictions and targets."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from .typing import Array, Float, Scalar


class AbstractLoss(eqx.Module):
    """A loss over a batch."""

    @abc.abstractmethod
    def __call__(self, predictions: Float[Array, "b ..."], targets: Array) -> Scalar:
        """The mean loss of predictions `[b, ...]` against targets `[b, ...]`."""


class SquaredError(AbstractLoss):
    """Mean squared error."""

    def __call__(self, predictions: Float[Array, "b ..."], targets: Array) -> Scalar:
        """Mean of |prediction − target|²."""
        if predictions.shape != targets.shape:
            raise ValueError(f"`targets` must have the predictions' shape {predictions.shape}; got {targets.shape}.")
        return jnp.mean((predictions - targets) ** 2)


class CrossEntropy(AbstractLoss):
    """Mean negative log-likelihood of whole-number labels under the softmax of the logits."""

    def __call__(self, predictions: Float[Array, "b K"], targets: Array) -> Scalar:
        """Mean of −log softmax(logits)[label]."""
        if predictions.ndim != 2 or not jnp.issubdtype(targets.dtype, jnp.integer):
            raise ValueError(
                f"CrossEntropy needs logits [b, K] and whole-number labels; got {predictions.shape}, {targets.dtype}."
            )
        chosen = jnp.take_along_axis(jax.nn.log_softmax(predictions, axis=1), targets[:, None], axis=1)
        return -jnp.mean(chosen)
