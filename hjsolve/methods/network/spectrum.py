"""What the poles of a state-space model on Fourier modes say: the viscosity, the drift and the potential they carry."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from ...kernels.interpolate import interpolate
from ...typing import Array, Float, Scalar, Values, Vectors
from .fourier_grid import FourierGrid


class Spectrum(NamedTuple):
    """What a spectrum says: viscosity ε̂, drift b̂ `[d]`, and how far −ε̂|κ|² − i b̂·κ is from it."""

    viscosity: Scalar
    drift: Float[Array, "d"]
    misfit: Scalar


def read_spectrum(poles: Array, grid: FourierGrid, weight: Array) -> Spectrum:
    """ε̂ and b̂ of poles A ≈ −ε̂|κ|² − i b̂·κ by least squares, every mode with its `weight` >= 0."""
    squared = grid.laplacian
    epsilon = -jnp.sum(weight * squared * poles.real) / jnp.sum(weight * squared**2)
    columns = jnp.stack([jnp.broadcast_to(k, squared.shape).reshape(-1) for k in grid.wavenumbers])
    heavy = columns * weight.reshape(-1)
    drift = -jnp.linalg.lstsq(heavy @ columns.T, heavy @ poles.imag.reshape(-1))[0]
    model = -epsilon * squared - 1j * jnp.tensordot(drift, columns, 1).reshape(squared.shape)
    size = jnp.sum(weight * jnp.abs(poles) ** 2)
    misfit = jnp.sqrt(jnp.sum(weight * jnp.abs(poles - model) ** 2) / jnp.where(size > 0, size, 1.0))
    return Spectrum(epsilon, drift, misfit)


class ConstantDrift(eqx.Module):
    """b(t, x) = b `[d]`."""

    velocity: Array

    def __call__(self, t: Scalar, x: Vectors) -> Vectors:
        """b at every x `[d, ...]`."""
        return jnp.broadcast_to(self.velocity.reshape(-1, *(1,) * (x.ndim - 1)), x.shape)


class NodePotential(eqx.Module):
    """V(x) between values `[n_1, ..., n_d]` on the nodes of a torus, by quintic interpolation."""

    values: Array
    lower: Array
    spacing: Array

    def __call__(self, x: Vectors) -> Values:
        """V at every x `[d, ...]`."""
        points = x.reshape(x.shape[0], -1).T
        periodic = (True,) * self.values.ndim
        return interpolate(self.values, self.lower, self.spacing, periodic, points).reshape(x.shape[1:])
