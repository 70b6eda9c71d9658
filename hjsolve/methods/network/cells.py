"""What moves a state from one layer to the next: residual, recurrent and LSTM cells as steps of ẋ = f(t, x)."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, require, whole_number
from ...problem.hamiltonians.base import as_column
from ...typing import Array, ArrayLike, Float, PRNGKeyArray, Scalar, Vectors


class AbstractCell(eqx.Module):
    """A layer as a step of ẋ = f(x); every array has a leading axis in a network, of all layers or of length 1.

    `dt` is the time that a whole layer takes: gates are given for it, not per unit of time.
    """

    @abc.abstractmethod
    def velocity(self, x: Vectors, dt: Scalar) -> Vectors:
        """f(x) `[d, ...]`."""

    @abc.abstractmethod
    def step(self, x: Vectors, h: Scalar, dt: Scalar) -> Vectors:
        """The state a time h later, of first order in h; with h = `dt` what the layer computes."""

    @property
    @abc.abstractmethod
    def dimension(self) -> int:
        """The dimension d of the state."""


class Residual(AbstractCell):
    """f(x) = W tanh(A x + a): x ↦ x + h f(x), the explicit Euler step. A `[k, d]`, a `[k]`, W `[d, k]`."""

    inner: Float[Array, "*layers k d"]
    shift: Float[Array, "*layers k"]
    outer: Float[Array, "*layers d k"]

    def __init__(self, inner: ArrayLike, shift: ArrayLike, outer: ArrayLike):
        self.inner, self.shift, self.outer = _matrices(inner, shift, outer)

    @property
    def dimension(self) -> int:
        """The dimension d of the state."""
        return int(self.inner.shape[-1])

    def velocity(self, x: Vectors, dt: Scalar) -> Vectors:
        """W tanh(A x + a)."""
        return _perceptron(self.inner, self.shift, self.outer, x)

    def step(self, x: Vectors, h: Scalar, dt: Scalar) -> Vectors:
        """x + h f(x)."""
        return x + h * self.velocity(x, dt)


class Recurrent(AbstractCell):
    """ẋ = −λ∘x + W tanh(A x + a), a leaky recurrent network: x ↦ e^{−λh}x + (1 − e^{−λh})/λ W tanh(A x + a).

    The exponential Euler step, exact in the linear part. `leak` λ `[d]` > 0 per unit of time is trained by its
    logarithm.
    """

    log_leak: Float[Array, "*layers d"]
    inner: Float[Array, "*layers k d"]
    shift: Float[Array, "*layers k"]
    outer: Float[Array, "*layers d k"]

    def __init__(self, leak: ArrayLike, inner: ArrayLike, shift: ArrayLike, outer: ArrayLike):
        self.inner, self.shift, self.outer = _matrices(inner, shift, outer)
        rates = as_array("leak", leak)
        check_range("leak", rates, above=0.0, remedy="Use the Residual cell for a state that does not fade.")
        shape = (*self.inner.shape[:-2], self.inner.shape[-1])
        require(rates.shape in ((), shape), f"`leak` must be a number or have shape {shape}; got {rates.shape}.")
        module = jnp if isinstance(rates, jax.Array) else np
        self.log_leak = module.broadcast_to(module.log(rates), shape)

    @property
    def dimension(self) -> int:
        """The dimension d of the state."""
        return int(self.inner.shape[-1])

    def velocity(self, x: Vectors, dt: Scalar) -> Vectors:
        """−λ∘x + W tanh(A x + a)."""
        return _perceptron(self.inner, self.shift, self.outer, x) - as_column(jnp.exp(self.log_leak), x) * x

    def step(self, x: Vectors, h: Scalar, dt: Scalar) -> Vectors:
        """The exponential Euler step."""
        leak = as_column(jnp.exp(jnp.asarray(self.log_leak)), x)
        pushed = _perceptron(self.inner, self.shift, self.outer, x)
        return jnp.exp(-leak * h) * x - jnp.expm1(-leak * h) / leak * pushed


class LSTM(AbstractCell):
    """c ↦ φ∘c + i∘g: the cell state of an LSTM whose gates read it, φ, i = σ(W c + b) and g = tanh(W c + b).

    With the forget gate φ = e^{−λΔ}, Δ the time of a layer, it is the exponential Euler step of ċ = −λ(c)∘c + b(c),
    λ = −log φ/Δ and b = λ i∘g/(1 − e^{−λΔ}): first order where λ varies. `gates` W `[3, d, d]` and `shifts` `[3, d]`
    for φ, i and g in this order. Source: Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735.
    """

    gates: Float[Array, "*layers 3 d d"]
    shifts: Float[Array, "*layers 3 d"]

    def __init__(self, gates: ArrayLike, shifts: ArrayLike):
        self.gates, self.shifts = as_array("gates", gates), as_array("shifts", shifts)
        shape = self.gates.shape
        require(
            len(shape) >= 3 and shape[-3] == 3 and shape[-1] == shape[-2],
            f"`gates` must have shape [3, d, d], for the forget gate, the input gate and the input; got {shape}.",
        )
        require(self.shifts.shape == shape[:-1], f"`shifts` must have shape {shape[:-1]}; got {self.shifts.shape}.")

    @property
    def dimension(self) -> int:
        """The dimension d of the state."""
        return int(self.gates.shape[-1])

    def velocity(self, x: Vectors, dt: Scalar) -> Vectors:
        """−λ∘c + b."""
        rate, push = self._rates(x, dt)
        return push - rate * x

    def step(self, x: Vectors, h: Scalar, dt: Scalar) -> Vectors:
        """The exponential Euler step; φ∘c + i∘g for h = dt."""
        rate, push = self._rates(x, dt)
        return jnp.exp(-rate * h) * x + push * _share(rate * h) * h

    def _rates(self, x: Vectors, dt: Scalar) -> tuple[Vectors, Vectors]:
        """λ and b."""
        forget, let, given = (
            jnp.tensordot(jnp.asarray(self.gates)[k], x, 1) + as_column(jnp.asarray(self.shifts)[k], x)
            for k in range(3)
        )
        faded = jax.nn.softplus(-forget)  # λΔ = −log σ
        return faded / dt, jax.nn.sigmoid(let) * jnp.tanh(given) / (dt * _share(faded))


def random_cell(kind: str, dimension: int, hidden: int, *, key: PRNGKeyArray) -> AbstractCell:
    """Gaussian weights of variance 1/fan-in; "residual", "recurrent" (with a leak of 1) or "lstm" (half forgotten)."""
    d, k = dimension, whole_number("hidden", hidden, least=1, remedy="Units between x and f(x).")
    first, second, third = jax.random.split(key, 3)
    if kind == "lstm":
        return LSTM(jax.random.normal(first, (3, d, d)) / np.sqrt(d), jnp.zeros((3, d)))
    inner, outer = jax.random.normal(first, (k, d)) / np.sqrt(d), jax.random.normal(second, (d, k)) / np.sqrt(k)
    shift = jax.random.normal(third, (k,))
    if kind == "recurrent":
        return Recurrent(jnp.ones(d), inner, shift, outer)
    require(kind == "residual", f"`cell` must be 'residual', 'recurrent' or 'lstm'; got {kind!r}.")
    return Residual(inner, shift, outer)


def _matrices(inner: ArrayLike, shift: ArrayLike, outer: ArrayLike) -> tuple[Array, Array, Array]:
    a, s, w = (as_array(name, v) for name, v in (("inner", inner), ("shift", shift), ("outer", outer)))
    if a.ndim != 3:
        check_ndim("inner", a, 2, "[k, d]", "With a leading axis for layers with weights of their own.")
    require(s.shape == a.shape[:-1], f"`shift` must have shape {a.shape[:-1]}; got {s.shape}.")
    turned = (*a.shape[:-2], a.shape[-1], a.shape[-2])
    require(w.shape == turned, f"`outer` must have shape {turned}; got {w.shape}.")
    return a, s, w


def _perceptron(inner: Array, shift: Array, outer: Array, x: Vectors) -> Vectors:
    hidden = jnp.tanh(jnp.tensordot(jnp.asarray(inner), x, 1) + as_column(jnp.asarray(shift), x))
    return jnp.tensordot(jnp.asarray(outer), hidden, 1)


def _share(z: Vectors) -> Vectors:
    """(1 − e^{−z})/z, 1 at 0."""
    small = jnp.abs(z) < 1e-5
    safe = jnp.where(small, 1.0, z)
    return jnp.where(small, 1 - z / 2, -jnp.expm1(-safe) / safe)
