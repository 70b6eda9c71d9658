"""What a residual block makes of the slopes that its filters measure: a numerical Hamiltonian, known or learnt."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_ndim, require, whole_number
from ...problem.hamiltonians import AbstractHamiltonian
from ...problem.hamiltonians.base import as_column
from ...typing import Array, ArrayLike, Float, PRNGKeyArray, Scalar, Values, Vectors


class AbstractReadout(eqx.Module):
    """φ(t, x, z) `[...]` of the channels z `[c, ...]`: with z = Mp, H(t, x, p)."""

    @abc.abstractmethod
    def __call__(self, t: Scalar, x: Vectors, z: Float[Array, "c ..."]) -> Values:
        """φ(t, x, z)."""


class Rectified(AbstractReadout):
    """φ(z) = Σ_c a_c max(z_c, 0)^q, q = `power` 1 (ReLU) or 2 (ReLU²).

    With the channels p⁻ and −p⁺ of an axis this is the Engquist-Osher scheme of a|p| (q = 1) and of a p² (q = 2).
    """

    weights: Float[Array, "c"]
    power: int = eqx.field(static=True)

    def __init__(self, weights: ArrayLike, power: int = 1):
        self.weights = as_array("weights", weights)
        check_ndim("weights", self.weights, 1, "[channels]", "One number per filter.")
        self.power = whole_number("power", power, least=1, remedy="1 is ReLU, 2 is ReLU².")

    def __call__(self, t: Scalar, x: Vectors, z: Float[Array, "c ..."]) -> Values:
        """Σ_c a_c max(z_c, 0)^q."""
        return jnp.tensordot(jnp.asarray(self.weights), jnp.maximum(z, 0.0) ** self.power, 1)


class Known(AbstractReadout):
    """φ(t, x, z) = H(t, x, z) for a given H: with central differences as channels, a Lax-Friedrichs scheme."""

    hamiltonian: AbstractHamiltonian

    def __call__(self, t: Scalar, x: Vectors, z: Float[Array, "c ..."]) -> Values:
        """H(t, x, z)."""
        return self.hamiltonian(t, x, z)


class Perceptron(AbstractReadout):
    """φ(z) = w·σ(A z + a) + b with `width` hidden units, σ(s) = (s + √(s² + 4))/2, the same at every node."""

    inner: Float[Array, "width c"]
    shift: Float[Array, "width"]
    outer: Float[Array, "width"]
    offset: Array

    def __init__(self, inner: ArrayLike, shift: ArrayLike, outer: ArrayLike, offset: ArrayLike = 0.0):
        self.inner = as_array("inner", inner)
        self.shift, self.outer, self.offset = (
            as_array(name, value) for name, value in (("shift", shift), ("outer", outer), ("offset", offset))
        )
        check_ndim("inner", self.inner, 2, "[width, channels]", "One row per hidden unit.")
        width = self.inner.shape[:1]
        require(
            self.shift.shape == width == self.outer.shape,
            f"`shift` and `outer` must have shape {width}; got {self.shift.shape} and {self.outer.shape}.",
        )
        require(self.offset.shape == (), f"`offset` must be one number; got shape {self.offset.shape}.")

    @staticmethod
    def random(channels: int, width: int, *, key: PRNGKeyArray) -> "Perceptron":
        """Gaussian weights of variance 1/fan-in, and no offset."""
        first, second, third = jax.random.split(key, 3)
        inner = jax.random.normal(first, (width, channels)) / jnp.sqrt(channels)
        outer = jax.random.normal(second, (width,)) / width
        return Perceptron(inner, jax.random.normal(third, (width,)), outer, jnp.zeros(()))

    def __call__(self, t: Scalar, x: Vectors, z: Float[Array, "c ..."]) -> Values:
        """w·σ(A z + a) + b."""
        hidden = jax.nn.squareplus(jnp.tensordot(jnp.asarray(self.inner), z, 1) + as_column(self.shift, z))
        return jnp.tensordot(jnp.asarray(self.outer), hidden, 1) + self.offset
