"""Point sets in the unit cube: scrambled Sobol sequences with random digital shifts, and independent uniforms."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from ....typing import Array, Float, PRNGKeyArray

LARGEST_DIMENSION = 21201
"""For which SciPy has direction numbers (Joe & Kuo 2008, doi:10.1137/070709359)."""
_BITS = 32
_SCRAMBLING_SEED = 0


@lru_cache(maxsize=8)
def _digits(count: int, d: int) -> np.ndarray:
    """The first `count` points of a Sobol sequence under Matoušek's linear scrambling, as 32-bit integers."""
    from scipy.stats import qmc  # half a second to import, which only those who sample pay

    engine = qmc.Sobol(d, scramble=True, bits=_BITS, seed=_SCRAMBLING_SEED)
    points = engine.random_base2(int(np.log2(count))) if count & (count - 1) == 0 else engine.random(count)
    return np.floor(points * 2.0**_BITS).astype(np.uint32)


def sobol(count: int, d: int, key: PRNGKeyArray, dtype: np.dtype) -> Float[Array, "n d"]:
    """`count` points in (0, 1)^d: one fixed scrambled net under a random digital shift drawn from `key`.

    Each point is uniform, and the net keeps its equidistribution, so averages over shifts are unbiased; different keys
    are independent replicates. Source: Owen 1998, doi:10.1006/jcom.1998.0487; Matoušek 1998,
    doi:10.1006/jcom.1998.0489.
    """
    shift = jax.random.bits(key, (d,), np.uint32)
    return _open(jnp.asarray(_digits(count, d)) ^ shift, dtype)


def independent(count: int, d: int, key: PRNGKeyArray, dtype: np.dtype) -> Float[Array, "n d"]:
    """`count` independent uniform points in (0, 1)^d."""
    return _open(jax.random.bits(key, (count, d), np.uint32), dtype)


def _open(digits: Array, dtype: np.dtype) -> Array:
    """Integers as numbers strictly between 0 and 1: as many leading bits as the precision holds, plus a half."""
    bits = min(_BITS, jnp.finfo(dtype).nmant)
    return ((digits >> (_BITS - bits)).astype(dtype) + 0.5) * 2.0**-bits
