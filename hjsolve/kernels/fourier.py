"""Functions on a torus as sums of waves, by the modes of `jnp.fft.rfftn`: their wavenumbers and values anywhere."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Points

_LARGEST_TABLE = 2**22
"""Complex numbers at a time: 64 MB in float64."""


def whole_waves(cells: tuple[int, ...], highest: int | None = None) -> list[np.ndarray]:
    """Waves per extent of every mode, one array an axis, that broadcast over the modes.

    The last axis ends at its `highest`, n_d/2 where not given.
    """
    *others, last = cells
    highest = last // 2 if highest is None else highest
    rows = [np.round(np.fft.fftfreq(n) * n) for n in others] + [np.arange(highest + 1)]
    return [row.reshape(-1, *(1,) * (len(rows) - 1 - axis)) for axis, row in enumerate(rows)]


def wavenumbers(extent: Array, waves: list[np.ndarray]) -> list[Array]:
    """κ_i in radians per unit length, shaped as the whole waves are."""
    return [2 * jnp.pi / extent[axis] * jnp.asarray(row, extent.dtype) for axis, row in enumerate(waves)]


def shares(cells: tuple[int, ...], waves: list[np.ndarray]) -> np.ndarray:
    """What a mode counts in the sum over modes that gives a function: 1/(n_1 ⋯ n_d), twice with its conjugate."""
    last = waves[-1]
    counted: np.ndarray = np.where((last == 0) | (2 * last == cells[-1]), 1.0, 2.0) / math.prod(cells)
    return counted


def sum_of_waves(fields: Array, kappa: Sequence[Array], displacements: Points) -> Array:
    """Re Σ_κ c_κ e^{iκ·z} `[m, f]` of coefficients `[f, ...]` at z `[m, d]`, axis by axis and in blocks of points."""

    def block(z: Points) -> Array:
        waves = [jnp.exp(1j * (k.reshape(-1) * z[:, axis, None])) for axis, k in enumerate(kappa)]
        found = jnp.einsum("...k,mk->m...", fields, waves[-1])
        for wave in reversed(waves[:-1]):
            found = jnp.einsum("m...k,mk->m...", found, wave)
        return found.real

    m = displacements.shape[0]
    size = max(1, _LARGEST_TABLE // (math.prod(fields.shape[:-1]) + max(k.size for k in kappa)))
    if m <= size:
        return block(displacements)
    padded = displacements[jnp.minimum(jnp.arange(-(-m // size) * size), m - 1)]
    return jax.lax.map(block, padded.reshape(-1, size, len(kappa))).reshape(-1, len(fields))[:m]
