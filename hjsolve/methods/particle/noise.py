"""Standard normals for the increments of paths: independent, antithetic, or scrambled Sobol points by a bridge."""

import abc
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import require
from ...typing import Array, Float, PRNGKeyArray

_BITS = 30
_MOST_DIMENSIONS = 21201


class AbstractNoise(eqx.Module):
    """Draws ξ `[steps, k, n]`, n standard normal paths of `steps` increments with k components."""

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, steps: int, k: int, n: int) -> Float[Array, "steps k n"]:
        """One batch of n paths."""

    @abc.abstractmethod
    def group(self, n: int) -> int:
        """How many consecutive paths of a batch of n depend on each other: error bars are made from group means."""

    @abc.abstractmethod
    def check(self, steps: int, k: int, n: int) -> None:
        """Raise `ValueError` for a batch that this noise cannot draw."""


class Independent(AbstractNoise):
    """Independent pseudo-random normals: the error falls as 1/√n."""

    def draw(self, key: PRNGKeyArray, steps: int, k: int, n: int) -> Float[Array, "steps k n"]:
        """ξ from `jax.random.normal`."""
        return jax.random.normal(key, (steps, k, n))

    def group(self, n: int) -> int:
        """1."""
        return 1

    def check(self, steps: int, k: int, n: int) -> None:
        """Anything goes."""


class Antithetic(AbstractNoise):
    """Independent normals in pairs ξ, −ξ: what is odd in ξ cancels. Pays where the integrand is nearly linear."""

    def draw(self, key: PRNGKeyArray, steps: int, k: int, n: int) -> Float[Array, "steps k n"]:
        """Pairs, one after the other."""
        half = jax.random.normal(key, (steps, k, n // 2))
        return jnp.stack([half, -half], axis=-1).reshape(steps, k, n)

    def group(self, n: int) -> int:
        """2."""
        return 2

    def check(self, steps: int, k: int, n: int) -> None:
        """Refuse an odd number of paths."""
        require(n % 2 == 0, f"`samples / batches` must be even for Antithetic; got {n}.")


class Sobol(AbstractNoise):
    """Sobol points, scrambled by a random lower triangular matrix and a shift, as Brownian bridges.

    The first k coordinates carry the end of the path, the next k its middle, then the quarters: the best coordinates of
    the sequence go where the path varies most. For smooth integrands the error falls almost as 1/n while few
    coordinates matter. Each batch is scrambled anew; n must be a power of two and steps·k <= 21201.
    Sources: Joe & Kuo 2008, doi:10.1137/070709359 (direction numbers, as SciPy has them); Matoušek 1998,
    doi:10.1006/jcom.1998.0489 (scrambling); Caflisch, Morokoff & Owen 1997, doi:10.21314/JCF.1997.005 (bridge).
    """

    def draw(self, key: PRNGKeyArray, steps: int, k: int, n: int) -> Float[Array, "steps k n"]:
        """Normals by inversion of the scrambled points, turned into increments by the bridge."""
        points = _scrambled(key, steps * k, n.bit_length() - 1)
        # as many bits as the mantissa holds exactly, and half a unit inside, so that no normal is infinite
        shift = 7 if jnp.result_type(float) == jnp.float32 else 0
        scaled = ((points >> shift).astype(float) + 0.5) * 2.0 ** (shift - _BITS)
        z = jax.scipy.special.ndtri(scaled).reshape(steps, k, n)
        return jnp.einsum("ij,jkn->ikn", jnp.asarray(_bridge(steps), z.dtype), z, precision=jax.lax.Precision.HIGHEST)

    def group(self, n: int) -> int:
        """The whole batch."""
        return n

    def check(self, steps: int, k: int, n: int) -> None:
        """Refuse a number of paths that is no power of two, and more coordinates than there are direction numbers."""
        require(
            n & (n - 1) == 0,
            f"`samples / batches` must be a power of two for Sobol; got {n}. Use Antithetic() for other numbers.",
        )
        require(
            steps * k <= _MOST_DIMENSIONS,
            f"`steps` x noise components must be <= {_MOST_DIMENSIONS} for Sobol; got {steps} x {k}. Take fewer steps, "
            "or Antithetic().",
        )


def _scrambled(key: PRNGKeyArray, dimensions: int, log_points: int) -> Array:
    """2^log_points points `[dimensions, n]` of 30 bits."""
    matrix_key, shift_key = jax.random.split(key)
    rows = jax.random.bits(matrix_key, (dimensions, _BITS), jnp.uint32)
    places = np.arange(_BITS, dtype=np.uint32)
    # row i of the triangular matrix (bit i counted from the most significant) mixes the bits at or above it
    above = ((1 << _BITS) - (1 << (_BITS - 1 - places.astype(np.int64)))).astype(np.uint32)
    own = (1 << (_BITS - 1 - places.astype(np.int64))).astype(np.uint32)
    rows = (rows & (above ^ own)) | own
    directions = jnp.asarray(_directions(dimensions, log_points))
    parity = jax.lax.population_count(rows[:, :, None] & directions[:, None, :]) & 1
    mixed = jnp.sum(parity << (_BITS - 1 - places)[:, None], axis=1, dtype=jnp.uint32)
    index = np.arange(2**log_points, dtype=np.uint32)
    points = jax.random.bits(shift_key, (dimensions, 1), jnp.uint32) >> (32 - _BITS)
    points = jnp.broadcast_to(points, (dimensions, index.size))
    for j in range(log_points):
        points = points ^ jnp.where((index >> j) & 1 == 1, mixed[:, j : j + 1], 0)
    return points


@lru_cache(maxsize=16)
def _directions(dimensions: int, count: int) -> np.ndarray[Any, np.dtype[np.uint32]]:
    """The first `count` direction numbers `[dimensions, count]`, read off the unscrambled sequence.

    In Gray-code order point 2^j is v_j xor v_{j−1}.
    """
    from scipy.stats import qmc  # slow to import, and needed by this noise alone

    sequence = qmc.Sobol(dimensions, scramble=False, bits=_BITS)
    found = np.zeros((dimensions, max(count, 1)), np.uint32)
    position = 0
    for j in range(count):
        sequence.fast_forward(2**j - position)
        point = np.round(sequence.random(1)[0] * 2**_BITS).astype(np.uint32)
        position = 2**j + 1
        found[:, j] = point ^ (found[:, j - 1] if j else 0)
    return found


@lru_cache(maxsize=16)
def _bridge(steps: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The orthogonal matrix `[steps, steps]` that makes increments of bridge coordinates: the end first, then middles.

    Orthonormalising the sums of the first m increments, in the order of the bridge, is the bridge itself.
    """
    order, intervals = [steps], [(0, steps)]
    while intervals:
        refined = []
        for low, high in intervals:
            middle = (low + high) // 2
            if low < middle < high:
                order.append(middle)
                refined += [(low, middle), (middle, high)]
        intervals = refined
    sums = (np.arange(steps)[:, None] < np.array(order)[None, :]).astype(float)
    q, r = np.linalg.qr(sums)
    return q * np.sign(np.diag(r))
