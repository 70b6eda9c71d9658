"""Sets of admissible inputs of a control system, with their extreme points in closed form."""

import abc
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, number, require, whole_number
from ...typing import Array, ArrayLike, Float, Values, Vectors
from .base import as_column, each, squared_length, total


class AbstractInputs(eqx.Module):
    """A bounded set A of inputs a in R^k. Directions q and inputs are `[k, ...]`, component first."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """k."""

    @abc.abstractmethod
    def minimiser(self, q: Vectors) -> Vectors:
        """One a of A `[k, ...]` at which q·a is least."""

    @abc.abstractmethod
    def least(self, q: Vectors) -> Values:
        """min over A of q·a `[...]`."""

    @abc.abstractmethod
    def reach(self, columns: Sequence[Any]) -> Values:
        """max over A of |Σ_j a_j columns_j| `[...]`, an upper bound of one component of a speed."""


class Box(AbstractInputs):
    """lower_j <= a_j <= upper_j. `lower` and `upper` `[k]`, or numbers for k = 1."""

    lower: Array
    upper: Array

    def __init__(self, lower: ArrayLike, upper: ArrayLike):
        bounds = (as_array("lower", lower), as_array("upper", upper))
        self.lower, self.upper = (bound[None] if bound.ndim == 0 else bound for bound in bounds)
        remedy = "Give one number per input."
        check_ndim("lower", self.lower, 1, "[k]", remedy)
        require(
            self.lower.shape == self.upper.shape,
            f"`lower` and `upper` must have the same shape; got {self.lower.shape} and {self.upper.shape}. {remedy}",
        )
        check_range("lower", self.lower, remedy="Inputs are bounded.")
        check_range(
            "upper - lower", self.upper - self.lower, least=0.0, remedy="Each upper bound lies above its lower."
        )

    @property
    def size(self) -> int:
        """k."""
        return len(self.lower)

    def minimiser(self, q: Vectors) -> Vectors:
        """lower_j where q_j >= 0, else upper_j."""
        return each(lambda q, low, high: jnp.where(q >= 0, low, high), q, *self._columns(q))

    def least(self, q: Vectors) -> Values:
        """Σ_j q_j (lower_j + upper_j)/2 − |q_j| (upper_j − lower_j)/2."""
        return total(
            lambda q, low, high: q * ((low + high) / 2) - jnp.abs(q) * ((high - low) / 2), q, *self._columns(q)
        )

    def reach(self, columns: Sequence[Any]) -> Values:
        """|Σ_j columns_j (lower_j + upper_j)/2| + Σ_j |columns_j| (upper_j − lower_j)/2."""
        middle, half = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        centre = sum(column * middle[j] for j, column in enumerate(columns))
        return jnp.abs(centre) + sum(jnp.abs(column) * half[j] for j, column in enumerate(columns))

    def _columns(self, q: Vectors) -> tuple[Array, Array]:
        return as_column(self.lower, q), as_column(self.upper, q)


class Ball(AbstractInputs):
    """|a − centre| <= radius in R^k. `centre` defaults to 0 in R^`size`."""

    radius: Array
    centre: Float[Array, "k"]

    def __init__(self, radius: ArrayLike, *, size: int | None = None, centre: ArrayLike | None = None):
        self.radius = number("radius", radius)
        check_range("radius", self.radius, least=0.0, remedy="Inputs fill a ball.")
        require((size is None) != (centre is None), "Give either `size`, the number of inputs, or `centre`.")
        if centre is None:
            count = whole_number("size", size, least=1, remedy="It is the number of inputs.")
            self.centre = as_array("centre", np.zeros(count))
        else:
            self.centre = as_array("centre", centre)
            check_ndim("centre", self.centre, 1, "[k]", "Give one number per input.")
            check_range("centre", self.centre, remedy="Inputs are bounded.")

    @property
    def size(self) -> int:
        """k."""
        return len(self.centre)

    def minimiser(self, q: Vectors) -> Vectors:
        """centre − radius q/|q|; the centre where q = 0."""
        length = _length(q)
        scale = jnp.where(length > 0, self.radius / jnp.where(length > 0, length, 1.0), 0.0)
        return each(lambda centre, q: centre - scale * q, jnp.broadcast_to(as_column(self.centre, q), q.shape), q)

    def least(self, q: Vectors) -> Values:
        """q·centre − radius |q|."""
        return total(jnp.multiply, q, jnp.broadcast_to(as_column(self.centre, q), q.shape)) - self.radius * _length(q)

    def reach(self, columns: Sequence[Any]) -> Values:
        """|Σ_j columns_j centre_j| + radius √Σ_j columns_j²."""
        centre = sum(column * self.centre[j] for j, column in enumerate(columns))
        return jnp.abs(centre) + self.radius * jnp.sqrt(sum(column * column for column in columns))


class Finite(AbstractInputs):
    """The inputs `values` `[n, k]`, or `[n]` for k = 1, and no others."""

    values: Float[Array, "n k"]

    def __init__(self, values: ArrayLike):
        given = as_array("values", values)
        self.values = given[:, None] if given.ndim == 1 else given
        check_ndim("values", self.values, 2, "[n, k]", "One row for each input.")
        require(self.values.size > 0, f"`values` must hold at least one input; got shape {given.shape}.")
        check_range("values", self.values, remedy="Inputs are bounded.")

    @property
    def size(self) -> int:
        """k."""
        return self.values.shape[1]

    def minimiser(self, q: Vectors) -> Vectors:
        """The first of the values with the least q·a."""
        chosen = jnp.argmin(self._products(q), axis=0)
        return jnp.moveaxis(jnp.asarray(self.values)[chosen], -1, 0)

    def least(self, q: Vectors) -> Values:
        """min_n q·values_n."""
        return jnp.min(self._products(q), axis=0)

    def reach(self, columns: Sequence[Any]) -> Values:
        """max_n |Σ_j columns_j values_nj|."""
        terms = [jnp.abs(sum(c * row[j] for j, c in enumerate(columns))) for row in self.values]
        return jnp.max(jnp.stack(jnp.broadcast_arrays(*terms)), axis=0)

    def _products(self, q: Vectors) -> Values:
        return jnp.tensordot(jnp.asarray(self.values), q, axes=1)


def _length(q: Vectors) -> Values:
    """|q|, with derivative 0 at 0."""
    square = squared_length(q)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
