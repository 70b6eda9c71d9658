"""Node values on a torus, the waves they are made of, and values anywhere."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...problem.domains import AbstractDomain
from ...typing import Array, Points, Values

_LARGEST_TABLE = 2**22
"""Complex numbers at a time where functions are evaluated between the nodes: 64 MB in float64."""


class FourierGrid(eqx.Module):
    """`cells` nodes per axis of a torus; modes are those of `jnp.fft.rfftn`, `[n_1, ..., n_d/2 + 1]`."""

    domain: AbstractDomain
    cells: tuple[int, ...] = eqx.field(static=True)

    @property
    def spacing(self) -> Array:
        """Δx `[d]`."""
        return self.domain.extent / jnp.asarray(self.cells)

    @property
    def points(self) -> Points:
        """The nodes `[m, d]`, last axis fastest."""
        axes = [self.domain.lower[k] + self.spacing[k] * jnp.arange(n) for k, n in enumerate(self.cells)]
        return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self.cells))

    @property
    def wavenumbers(self) -> tuple[Array, ...]:
        """κ_i in radians per unit length, one array an axis, that broadcast over the modes."""
        extent = self.domain.extent
        return tuple(2 * jnp.pi / extent[k] * jnp.asarray(row, extent.dtype) for k, row in enumerate(self._counts()))

    @property
    def laplacian(self) -> Array:
        """|κ|² of every mode."""
        return sum((k**2 for k in self.wavenumbers[1:]), start=self.wavenumbers[0] ** 2)

    @property
    def shares(self) -> np.ndarray:
        """What a mode counts in the sum over modes that gives a function: 1/(n_1 ⋯ n_d), twice with its conjugate."""
        last = self._counts()[-1]
        counted: np.ndarray = np.where((last == 0) | (2 * last == self.cells[-1]), 1.0, 2.0) / math.prod(self.cells)
        return counted

    def modes(self, values: Values) -> Array:
        """Of real node values `[n_1, ..., n_d]`."""
        return jnp.fft.rfftn(values)

    def values(self, modes: Array) -> Values:
        """At the nodes, of the last d axes."""
        axes = tuple(range(-len(self.cells), 0))
        return jnp.fft.irfftn(modes, self.cells, axes=axes)

    def with_gradient(self, modes: Array) -> Array:
        """The modes `[1 + d, ...]` of a function and of its derivatives; the highest wave of an axis has none."""
        slopes = [
            jnp.where(np.abs(counts) * 2 == n, 0.0, 1j * k) * modes
            for k, counts, n in zip(self.wavenumbers, self._counts(), self.cells, strict=True)
        ]
        return jnp.stack([modes, *slopes])

    def at(self, fields: Array, points: Points) -> Array:
        """Functions `[m, f]` at points `[m, d]` from their modes `[f, ...]`, a block of points after the other."""
        weighted = fields * jnp.asarray(self.shares, points.dtype)

        def block(x: Points) -> Array:
            waves = [
                jnp.exp(1j * (k.reshape(-1) * (x[:, axis, None] - self.domain.lower[axis])))
                for axis, k in enumerate(self.wavenumbers)
            ]
            found = jnp.einsum("...k,mk->m...", weighted, waves[-1])
            for wave in reversed(waves[:-1]):
                found = jnp.einsum("m...k,mk->m...", found, wave)
            return found.real

        size = max(1, _LARGEST_TABLE // (math.prod(fields.shape[:-1]) + max(self.cells)))
        m = points.shape[0]
        if m <= size:
            return block(points)
        padded = points[jnp.minimum(jnp.arange(-(-m // size) * size), m - 1)]
        return jax.lax.map(block, padded.reshape(-1, size, points.shape[1])).reshape(-1, len(fields))[:m]

    def _counts(self) -> list[np.ndarray]:
        """Whole waves per extent, shaped to broadcast over the modes."""
        *others, last = self.cells
        rows = [np.round(np.fft.fftfreq(n) * n) for n in others] + [np.arange(last // 2 + 1)]
        return [row.reshape(-1, *(1,) * (len(rows) - 1 - axis)) for axis, row in enumerate(rows)]
