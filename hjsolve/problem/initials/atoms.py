"""Point masses in the Hopf-Cole variable: the initial data that a log-sum-exp layer carries."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, require
from ...typing import Array, ArrayLike


class Atoms(eqx.Module):
    """w(0, ·) = Σ_j ω_j e^{−c g_j/ε} δ(y − y_j), read as u_N = −(ε/c) log Σ_j ω_j exp(−(c/ε)(g_j + |x−y_j|²/(4ct))).

    `y` `[N, d]`, `g` `[N]`, `weights` ω `[N]` > 0 (default 1). Singular at t = 0, so it is not a function like the
    other data. u_N carries no normalisation: it solves `u_t + c|∇u|² = εΔu − dε/(2ct)`.
    """

    y: Array
    g: Array
    weights: Array

    def __init__(self, y: ArrayLike, g: ArrayLike, weights: ArrayLike | None = None):
        self.y = as_array("y", y)
        self.g = as_array("g", g)
        check_ndim("y", self.y, 2, "[N, d]", "One row per atom; for d = 1 use y[:, None].")
        require(self.y.shape[0] > 0, "`y` must hold at least one atom; got an empty array. Give N >= 1 rows.")
        require(self.y.shape[1] > 0, "`y` must have d >= 1 columns; got 0.")
        shape = self.y.shape[:1]
        require(self.g.shape == shape, f"`g` must have shape [N] = {shape}; got {self.g.shape}. One number per atom.")
        self.weights = np.ones(shape) if weights is None else as_array("weights", weights)  # type: ignore[assignment]
        require(
            self.weights.shape == shape,
            f"`weights` must have shape [N] = {shape}; got {self.weights.shape}. One number per atom.",
        )
        check_range("y", self.y, remedy="Every atom needs a place.")
        check_range("g", self.g, remedy="Leave out an atom with infinite g.")
        check_range("weights", self.weights, above=0.0, remedy="Leave out atoms of weight zero.")

    @property
    def dimension(self) -> int:
        """The dimension d of the atoms."""
        return int(self.y.shape[1])

    @property
    def log_weights(self) -> Array:
        """Log ω_j `[N]`."""
        return jnp.log(self.weights)
