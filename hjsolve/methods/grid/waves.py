"""Functions on a torus as sums of waves: their modes, derivatives and values anywhere.

Modes are those of `jnp.fft.rfftn` of the node values that the 2/3 rule keeps, |k_i| <= n_i/3: products of two such
waves alias onto none of them. The last axis ends there, `[n_1, ..., n_{d−1}, n_d/3 + 1]`; the others hold zeros.
"""

import jax
import jax.numpy as jnp
import numpy as np

from ...kernels import fourier
from ...typing import Array, Points, Scalar, Values, Vectors
from .mesh import Mesh


def modes_of(mesh: Mesh, values: Values) -> Array:
    """The modes of real node values."""
    modes = jnp.fft.rfft(values)[..., : _largest(mesh.cells[-1]) + 1]
    others = range(values.ndim - 1)
    modes = jnp.fft.fftn(modes, axes=tuple(others)) if others else modes
    return jnp.where(_up_to(mesh, 1.0), modes, 0.0)


def on_nodes(mesh: Mesh, modes: Array) -> Values:
    """Real node values `[f, n_1, ..., n_d]` of several functions from their modes."""
    others = range(1, modes.ndim - 1)
    modes = jnp.fft.ifftn(modes, axes=tuple(others)) if others else modes
    return jnp.fft.irfft(modes, mesh.cells[-1])


def gradient(mesh: Mesh, modes: Array) -> Vectors:
    """∇u `[d, n_1, ..., n_d]` on the nodes."""
    return on_nodes(mesh, jnp.stack([1j * k * modes for k in wavenumbers(mesh)]))


def wavenumbers(mesh: Mesh) -> list[Array]:
    """k_i in radians per unit length, one array an axis, that broadcast over the modes."""
    return fourier.wavenumbers(mesh.domain.extent, _waves(mesh))


def tail_of(mesh: Mesh, modes: Array) -> Scalar:
    """The root of the share of |∇u|² in waves with some |k_i| above 2/3 of the largest; 0 where u is constant."""
    energy = sum(k**2 for k in wavenumbers(mesh)) * jnp.abs(jax.lax.stop_gradient(modes)) ** 2
    energy = jnp.where(_waves(mesh)[-1] == 0, energy, 2 * energy)
    whole, high = jnp.sum(energy), jnp.sum(jnp.where(_up_to(mesh, 2 / 3), 0.0, energy))
    return jnp.where(whole > 0, jnp.sqrt(high / jnp.where(whole > 0, whole, 1.0)), 0.0)


def between_nodes(mesh: Mesh, fields: Array, points: Points) -> Array:
    """The fields `[m, f]` at points `[m, d]`, exactly."""
    weighted = fields * jnp.asarray(fourier.shares(mesh.cells, _waves(mesh)), points.dtype)
    return fourier.sum_of_waves(weighted, wavenumbers(mesh), points - mesh.domain.lower)


def _largest(n: int) -> int:
    return (n - 1) // 3


def _waves(mesh: Mesh) -> list[np.ndarray]:
    """Whole waves per extent, shaped to broadcast over the modes."""
    return fourier.whole_waves(mesh.cells, _largest(mesh.cells[-1]))


def _up_to(mesh: Mesh, share: float) -> np.ndarray:
    """Whether |k_i| <= share · n_i/3 in every axis."""
    within = np.ones((1,) * len(mesh.cells), bool)
    for n, row in zip(mesh.cells, _waves(mesh), strict=True):
        within = within & (np.abs(row) <= share * _largest(n))
    return within
