"""Averages over batches of paths with their error bars: −s log of a mean of exponentials, or a plain mean."""

import abc
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ...typing import Array, Float, Scalar


class Batch(NamedTuple):
    """One batch at one point: the averages of r costs `[r]`, their co-moments `[r, r]`, and Σ(w/w̄ − 1)²/n `[r]`."""

    value: Array
    moments: Array
    spread: Array


class Merged(NamedTuple):
    """All batches: averages `[r]`, their covariance `[r, r]`, each batch's weights `[B, r]`, Σ(w/w̄ − 1)²/n `[r]`."""

    value: Array
    covariance: Array
    weights: Array
    spread: Array


class AbstractAverage(eqx.Module):
    """A functional of the costs A_i of paths with log-likelihood ratios λ_i, computed batch by batch."""

    @abc.abstractmethod
    def batch(self, costs: Float[Array, "r n"], ratio: Float[Array, "n"], group: int) -> Batch:
        """The averages over one batch, whose paths depend on each other in groups of `group`."""

    @abc.abstractmethod
    def merge(self, batches: Batch, groups: int) -> Merged:
        """The average over the batches (a leading axis B), each with `groups` independent groups."""


class SoftMinimum(AbstractAverage):
    """−s log E[exp(−A/s)], s = ε/c, in the log domain; error bars by the delta method."""

    scale: Scalar

    def batch(self, costs: Float[Array, "r n"], ratio: Float[Array, "n"], group: int) -> Batch:
        """Log-mean-exp, and moments of the weights relative to their mean."""
        scores = ratio - costs / self.scale
        n = scores.shape[1]
        top = jax.nn.logsumexp(scores, axis=1) - jnp.log(n)
        relative = jnp.expm1(jax.lax.stop_gradient(scores - top[:, None]))
        return Batch(-self.scale * top, _comoments(relative, group), jnp.mean(relative**2, axis=1))

    def merge(self, batches: Batch, groups: int) -> Merged:
        """Batches weigh by their own mean of weights."""
        tops = -batches.value / self.scale
        top = jax.nn.logsumexp(tops, axis=0) - jnp.log(tops.shape[0])
        offsets = jnp.expm1(tops - top)
        covariance = _across(offsets, 1 + offsets, batches.moments, groups)
        spread = jnp.mean(offsets**2 + (1 + offsets) ** 2 * batches.spread, axis=0)
        return Merged(-self.scale * top, self.scale**2 * covariance, 1 + offsets, spread)


class Mean(AbstractAverage):
    """E[A], for equations without |p|²; guides have no place here."""

    def batch(self, costs: Float[Array, "r n"], ratio: Float[Array, "n"], group: int) -> Batch:
        """Mean and moments about it."""
        value = jnp.mean(costs, axis=1)
        centred = jax.lax.stop_gradient(costs - value[:, None])
        return Batch(value, _comoments(centred, group), jnp.zeros_like(value))

    def merge(self, batches: Batch, groups: int) -> Merged:
        """The mean of the batches."""
        value = jnp.mean(batches.value, axis=0)
        offsets = batches.value - value
        covariance = _across(offsets, jnp.ones_like(offsets), batches.moments, groups)
        return Merged(value, covariance, jnp.ones_like(offsets), jnp.mean(batches.spread, axis=0))


def _comoments(deviations: Float[Array, "r n"], group: int) -> Float[Array, "r r"]:
    """Σ over groups of products of group means, over the number of groups."""
    r, n = deviations.shape
    means = jnp.mean(deviations.reshape(r, n // group, group), axis=2)
    return jnp.einsum("ig,jg->ij", means, means, precision=jax.lax.Precision.HIGHEST) * group / n


def _across(offsets: Array, factors: Array, moments: Array, groups: int) -> Float[Array, "r r"]:
    """The covariance of the average of B x groups group means, from offsets `[B, r]` and moments `[B, r, r]`."""
    products = offsets[:, :, None] * offsets[:, None, :] + factors[:, :, None] * factors[:, None, :] * moments
    return jnp.mean(products, axis=0) / (offsets.shape[0] * groups - 1)
