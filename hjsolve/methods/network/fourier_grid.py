"""Node values on a torus, the waves they are made of, and values anywhere."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...kernels import fourier
from ...problem.domains import AbstractDomain
from ...typing import Array, Points, Values


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
        return tuple(fourier.wavenumbers(self.domain.extent, self._waves))

    @property
    def laplacian(self) -> Array:
        """|κ|² of every mode."""
        return sum((k**2 for k in self.wavenumbers[1:]), start=self.wavenumbers[0] ** 2)

    @property
    def shares(self) -> np.ndarray:
        """What a mode counts in the sum over modes that gives a function: 1/(n_1 ⋯ n_d), twice with its conjugate."""
        return fourier.shares(self.cells, self._waves)

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
            for k, counts, n in zip(self.wavenumbers, self._waves, self.cells, strict=True)
        ]
        return jnp.stack([modes, *slopes])

    def at(self, fields: Array, points: Points) -> Array:
        """Functions `[m, f]` at points `[m, d]` from their modes `[f, ...]`."""
        weighted = fields * jnp.asarray(self.shares, points.dtype)
        return fourier.sum_of_waves(weighted, self.wavenumbers, points - self.domain.lower)

    @property
    def _waves(self) -> list[np.ndarray]:
        return fourier.whole_waves(self.cells)
