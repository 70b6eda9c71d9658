"""Quadrature rules on tensor grids, shared by particle, network and theory."""

import jax.numpy as jnp

from ..typing import Array, Float, Points


def tensor_nodes(lower: Array, upper: Array, counts: tuple[int, ...]) -> Points:
    """The nodes `[n_1 ··· n_d, d]` of the uniform tensor grid from `lower` to `upper` `[d]`, last axis fastest."""
    axes = [lower[k] + (upper[k] - lower[k]) * jnp.linspace(0, 1, n) for k, n in enumerate(counts)]
    mesh = jnp.meshgrid(*axes, indexing="ij")
    return jnp.stack([m.reshape(-1) for m in mesh], axis=1)


def trapezoid_log_weights(lower: Array, upper: Array, counts: tuple[int, ...]) -> Float[Array, "N"]:
    """Logarithms of the trapezoid weights on `tensor_nodes`.

    Spectrally accurate for integrands that decay inside the box and are resolved: for a Gaussian of width σ the error
    is 2exp(−2π²σ²/h²).
    """
    total = jnp.zeros((), lower.dtype)
    for k, n in enumerate(counts):
        ends = (jnp.arange(n) == 0) | (jnp.arange(n) == n - 1)
        spacing = (upper[k] - lower[k]) / (n - 1)
        axis = jnp.log(spacing) + jnp.where(ends, jnp.log(0.5), 0.0)
        total = (total[..., None] + axis).reshape(-1)
    return total
