"""Functions on a torus as sums of waves: their modes, derivatives and values anywhere.

Modes are those of `jnp.fft.rfftn` of the node values that the 2/3 rule keeps, |k_i| <= n_i/3: products of two such
waves alias onto none of them. The last axis ends there, `[n_1, ..., n_{d−1}, n_d/3 + 1]`; the others hold zeros.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from ...typing import Array, Points, Scalar, Values, Vectors
from .mesh import Mesh

_LARGEST_TABLE = 2**22
"""Complex numbers at a time where u is evaluated between the nodes: 64 MB in float64."""


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
    extent = mesh.domain.extent
    return [2 * jnp.pi / extent[axis] * jnp.asarray(row, extent.dtype) for axis, row in enumerate(_counts(mesh))]


def tail_of(mesh: Mesh, modes: Array) -> Scalar:
    """The root of the share of |∇u|² in waves with some |k_i| above 2/3 of the largest; 0 where u is constant."""
    energy = sum(k**2 for k in wavenumbers(mesh)) * jnp.abs(jax.lax.stop_gradient(modes)) ** 2
    energy = jnp.where(_counts(mesh)[-1] == 0, energy, 2 * energy)
    whole, high = jnp.sum(energy), jnp.sum(jnp.where(_up_to(mesh, 2 / 3), 0.0, energy))
    return jnp.where(whole > 0, jnp.sqrt(high / jnp.where(whole > 0, whole, 1.0)), 0.0)


def between_nodes(mesh: Mesh, fields: Array, points: Points) -> Array:
    """The fields `[m, f]` at points `[m, d]`, exactly, a block of points after the other and axis by axis."""
    lines = math.prod(fields.shape[:-1])
    weight = np.where(_counts(mesh)[-1] == 0, 1.0, 2.0) / math.prod(mesh.shape)
    weighted = fields * jnp.asarray(weight, points.dtype)

    def at(x: Points) -> Array:
        waves = [
            jnp.exp(1j * (k.reshape(-1) * (x[:, axis, None] - mesh.domain.lower[axis])))
            for axis, k in enumerate(wavenumbers(mesh))
        ]
        found = jnp.einsum("...k,mk->m...", weighted, waves[-1])
        for wave in reversed(waves[:-1]):
            found = jnp.einsum("m...k,mk->m...", found, wave)
        return found.real

    m, block = points.shape[0], max(1, _LARGEST_TABLE // (lines + max(mesh.shape)))
    if m <= block:
        return at(points)
    padded = points[jnp.minimum(jnp.arange(-(-m // block) * block), m - 1)]
    return jax.lax.map(at, padded.reshape(-1, block, points.shape[1])).reshape(-1, len(fields))[:m]


def _largest(n: int) -> int:
    return (n - 1) // 3


def _counts(mesh: Mesh) -> list[np.ndarray]:
    """Whole waves per extent, shaped to broadcast over the modes."""
    *others, last = mesh.cells
    rows = [np.round(np.fft.fftfreq(n) * n) for n in others] + [np.arange(_largest(last) + 1)]
    return [row.reshape(-1, *(1,) * (len(rows) - 1 - axis)) for axis, row in enumerate(rows)]


def _up_to(mesh: Mesh, share: float) -> np.ndarray:
    """Whether |k_i| <= share · n_i/3 in every axis."""
    within = np.ones((1,) * len(mesh.cells), bool)
    for n, row in zip(mesh.cells, _counts(mesh), strict=True):
        within = within & (np.abs(row) <= share * _largest(n))
    return within
