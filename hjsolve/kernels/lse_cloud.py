"""The arguments of `lse` as arrays, made fit for arithmetic: origins, atoms that are not there, exponents too large."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from ..typing import Array, Float, Points, Scalar
from .gibbs import box
from .lse_plan import DIRECT_DIMENSIONS

LARGEST_EXPONENT = 0.25
"""Times 1/ulp: above it, rounding of exponents hides Gibbs weights."""


class Cloud(NamedTuple):
    """The arguments of `lse` as arrays of one dtype. `values` `[N, k]` and `log_weights` `[N]` may be None."""

    x: Points
    y: Points
    g: Float[Array, "N"]
    t: Scalar
    eps: Float[Array, "..."]
    c: Scalar
    log_weights: Float[Array, "N"] | None
    values: Float[Array, "N k"] | None


class Prepared(NamedTuple):
    """A cloud measured from the `middle` of its atoms and from the `lowest` g (with one ε for each atom: from g = 0).

    Atoms that are not `present`, with g = inf or weight 0, have harmless numbers in `cloud`.
    """

    cloud: Cloud
    present: Bool[Array, "N"]
    lowest: Scalar
    middle: Float[Array, "d"]
    reach: Scalar
    """Half the longest side of the atoms' box."""


@jax.jit
def prepare(cloud: Cloud) -> Prepared:
    """The cloud from its own origins. NaN in an atom, g = −inf, or no atom at all make every g NaN.

    An infinite query becomes NaN.
    """
    low, high = box(cloud.y)
    middle = 0.5 * (low + high)  # x − ȳ and |y|² cancel far from the origin
    x, y, g, logs = cloud.x - middle, cloud.y - middle, cloud.g, cloud.log_weights
    present = g < jnp.inf if logs is None else (g < jnp.inf) & (logs > -jnp.inf)
    present |= jnp.isnan(g)
    lowest = jax.lax.stop_gradient(jnp.min(g, initial=jnp.inf, where=present))
    sound = jnp.isfinite(lowest) & jnp.all(jnp.isfinite(low) & jnp.isfinite(high))
    lowest = jnp.zeros_like(lowest) if cloud.eps.ndim else lowest
    present |= ~sound
    g = jnp.where(sound, jnp.where(present, g - lowest, 0.0), jnp.nan)
    logs = None if logs is None else jnp.where(present, logs, 0.0)
    x = jnp.where(jnp.isfinite(x), x, jnp.nan)
    cloud = cloud._replace(x=x, y=y, g=g, log_weights=logs)
    return Prepared(cloud, present, lowest, middle, 0.5 * jnp.max(high - low))


def hides_weights(prepared: Prepared, u: Float[Array, "m"]) -> Bool[Array, "m"]:
    """Where exponents are so large that their rounding hides the Gibbs weights; everywhere at ε = 0.

    A sweep that computes a score again then misses the maximum it was told of by more than exp can bear. But ε log N is
    below the rounding of E there. With g >= 0 no term of the highest score is larger than all of it, which is cu/ε;
    expanded squares have terms of their own.
    """
    x, _, _, t, eps, c, _, _ = prepared.cloud
    positive = floored(prepared)
    size = c / positive * jnp.abs(u - prepared.lowest)
    if x.shape[1] > DIRECT_DIMENSIONS:
        size = size + jnp.sum(x * x, axis=1) / (2 * positive * t)
    hidden: Array = (eps == 0) | (size > LARGEST_EXPONENT / np.finfo(x.dtype).eps)
    return hidden


def floored(prepared: Prepared) -> Array:
    """ε raised to where the kernel's width √(2εt) is an ulp of the atoms' box: u moves by less than its rounding."""
    cloud = prepared.cloud
    real = np.finfo(cloud.g.dtype)
    floor = jnp.maximum((real.eps * prepared.reach) ** 2, real.tiny ** (2 / 3)) / (4 * cloud.t)
    return jnp.where(cloud.eps > floor, cloud.eps, jax.lax.stop_gradient(floor))
