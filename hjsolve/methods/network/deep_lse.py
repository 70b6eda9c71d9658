"""Log-sum-exp layers on top of each other: what one layer, convex in x, cannot represent."""

import itertools
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_range, check_shape, number, require, whole_number
from ...typing import Array, ArrayLike, Float, Point, PRNGKeyArray, Scalar
from .lse import LSE


class SoftplusLayer(eqx.Module):
    """x ↦ θ log(1 + e^{(Wx + b)/θ}), `weights` W `[n, d]`, `bias` b `[n]`: every unit is an LSE of two atoms.

    With the units (0, 0) and (W_i, b_i) a softplus is an LSE layer of its own, at the temperature θ of all: ReLU as
    θ → 0.
    """

    weights: Float[Array, "n d"]
    bias: Float[Array, "n"]
    log_temperature: Array

    def __init__(self, weights: ArrayLike, bias: ArrayLike, temperature: ArrayLike):
        self.weights, self.bias = as_array("weights", weights), as_array("bias", bias)
        require(
            self.weights.ndim == 2 and self.bias.shape == self.weights.shape[:1],
            f"`weights` and `bias` must have shapes [n, d] and [n]; got {self.weights.shape} and {self.bias.shape}.",
        )
        theta = number("temperature", temperature)
        check_range("temperature", theta, above=0.0, remedy="At 0 a softplus is a ReLU, whose layer is max-plus.")
        self.log_temperature = (jnp if isinstance(theta, jax.Array) else np).log(theta)

    def __call__(self, x: Point) -> Point:
        """The features of one point."""
        theta = jnp.exp(self.log_temperature)
        check_shape("x", x, self.weights.shape[1:], "one point: jax.vmap(network) takes rows")
        return theta * jax.nn.softplus((jnp.asarray(self.weights) @ x + self.bias) / theta)

    def unit(self, i: int) -> LSE:
        """Unit i as an LSE layer of two atoms: a Hopf-Cole solution of its own."""
        weights = jnp.stack([jnp.zeros_like(self.weights[i]), self.weights[i]])
        return LSE(weights, jnp.stack([jnp.zeros(()), self.bias[i]]), jnp.exp(self.log_temperature))


class DeepLSE(eqx.Module):
    """f(x) = readout(φ(x)), φ = `features`, softplus layers one after the other, and `readout` an LSE layer.

    In the features the readout is the Hopf-Cole solution, f + u_N(t, φ(x)) = |φ(x)|²/(4t): `theory.as_problem(
    network.readout)` is its equation. In x it is no longer convex: layers whose weights have both signs bend it down.
    Training moves all weights, the softplus temperatures by their logarithm; the readout's as it was made.
    Source: arXiv 2605.28983.
    """

    features: tuple[SoftplusLayer, ...]
    readout: LSE

    def __init__(self, features: Sequence[SoftplusLayer], readout: LSE):
        self.features, self.readout = tuple(features), readout
        require(len(self.features) > 0, "`features` must hold at least one layer; without one use LSE.")
        widths = [*(layer.weights.shape for layer in self.features), (1, readout.dimension)]
        for below, above in itertools.pairwise(widths):
            require(
                below[0] == above[1], f"a layer of {below[0]} units must feed one of as many inputs; got {above[1]}."
            )

    @staticmethod
    def random(
        dimension: int, widths: Sequence[int], units: int, *, temperature: float, key: PRNGKeyArray
    ) -> "DeepLSE":
        """Gaussian softplus layers of `widths` units and a readout of `units` atoms, all at one `temperature`."""
        sizes = [dimension, *widths]
        for size in (*sizes, units):
            whole_number("dimension, widths and units", size, least=1, remedy="See hj.methods.network.DeepLSE.")
        *keys, last = jax.random.split(key, len(sizes))
        layers = []
        for k, below, above in zip(keys, sizes, sizes[1:], strict=False):
            first, second = jax.random.split(k)
            weights = jax.random.normal(first, (above, below)) * math.sqrt(2 / below)
            layers.append(SoftplusLayer(weights, jax.random.normal(second, (above,)), temperature))
        return DeepLSE(layers, LSE.random(units, sizes[-1], temperature=temperature, key=last))

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone in the readout."""
        return self.readout.held()

    def lift(self, x: Point) -> Point:
        """φ(x), where the readout is a solution."""
        for layer in self.features:
            x = layer(x)
        return x

    def __call__(self, x: Point) -> Scalar:
        """f(x) for one point x `[d]`."""
        return self.readout(self.lift(x))
