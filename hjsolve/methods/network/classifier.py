"""A classifier of one log-sum-exp unit per class: each logit is a Hamilton-Jacobi solution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, require
from ...typing import Array, ArrayLike, Float, Point, PRNGKeyArray
from .lse import LSE


class LSEClassifier(eqx.Module):
    """Logits F_k(x) = f_k(x)/τ, one LSE layer f_k per class k; class probabilities are their softmax.

    `units` is an LSE with a leading class axis on its weights `[K, N, d]`, bias `[K, N]` and temperature `[K]`.
    The softmax over classes is itself a Gibbs measure: with τ = ε it is the softmax over all K·N units, grouped.
    """

    units: LSE
    scale: Array

    @staticmethod
    def from_data(
        inputs: ArrayLike, labels: ArrayLike, *, units: int, temperature: float, time: float = 1.0, key: PRNGKeyArray
    ) -> "LSEClassifier":
        """Every class starts from `units` of its own training points as atoms y_j, with g_j = 0."""
        x, label = as_array("inputs", inputs), np.asarray(labels)
        check_ndim("inputs", x, 2, "[n, d]", "One row per example.")
        require(label.shape == x.shape[:1], f"`labels` must have shape [n] = {x.shape[:1]}; got {label.shape}.")
        classes = np.unique(label)
        require(
            np.array_equal(classes, np.arange(len(classes))),
            f"`labels` must be 0, 1, ..., K-1; got the classes {classes.tolist()}.",
        )
        smallest = min(int((label == k).sum()) for k in classes)
        require(1 <= units <= smallest, f"`units` must lie in [1, {smallest}] (the smallest class); got {units}.")
        keys = jax.random.split(key, len(classes))

        def layer(k: int) -> LSE:
            chosen = jax.random.choice(keys[k], np.flatnonzero(label == k), (units,), replace=False)
            y = jnp.asarray(x)[chosen]
            return LSE(y / (2 * time), -jnp.sum(y * y, axis=1) / (4 * time), jnp.asarray(temperature), time=time)

        layers = [layer(int(k)) for k in classes]
        stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(a) for a in leaves]), *layers)
        return LSEClassifier(stacked, jnp.asarray(1.0))

    @property
    def classes(self) -> int:
        """The number of classes K."""
        return int(self.units.weights.shape[0])

    def unit(self, k: int) -> LSE:
        """The layer f_k of class k."""
        return jax.tree.map(lambda a: a[k], self.units)

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone in every unit."""
        return self.units.held()

    def __call__(self, x: Point) -> Float[Array, "K"]:
        """The logits at one point x `[d]`."""
        layers: Float[Array, K] = eqx.filter_vmap(lambda layer: layer(x))(self.units)
        return self.scale * layers
