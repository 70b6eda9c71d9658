"""Linear recurrences h_k = a_k h_{k−1} + b_k, one after the other or all at once."""

import jax
import jax.numpy as jnp

from ..typing import Array, Float


def linear_recurrence(
    decay: Float[Array, "L ..."], drive: Float[Array, "L ..."], *, parallel: bool = True
) -> Float[Array, "L ..."]:
    """h_0, ..., h_{L−1} with h_{−1} = 0, for real or complex a, b of one shape (a may lack the axes after the first).

    In parallel, by pairs (a, b)∘(a', b') = (aa', a'b + b'): O(log L) steps and O(L log L) work, from an associative
    scan; one after the other, L steps. Source: Blelloch 1990, CMU-CS-90-190.
    """
    kind = jnp.result_type(decay, drive)
    drive = drive.astype(kind)
    decay = jnp.broadcast_to(decay.reshape(decay.shape + (1,) * (drive.ndim - decay.ndim)), drive.shape).astype(kind)
    if parallel:

        def join(before: tuple[Array, Array], after: tuple[Array, Array]) -> tuple[Array, Array]:
            return before[0] * after[0], after[0] * before[1] + after[1]

        joined: Array = jax.lax.associative_scan(join, (decay, drive))[1]
        return joined

    def step(h: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        h = pair[0] * h + pair[1]
        return h, h

    marched: Array = jax.lax.scan(step, jnp.zeros(drive.shape[1:], kind), (decay, drive))[1]
    return marched
