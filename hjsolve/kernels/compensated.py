"""A running sum that does not pile up rounding."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ..typing import Array


class Compensated(eqx.Module):
    """Σ of increments as `value + lost`, `lost` what rounding has kept out of `value` so far.

    n increments cost about one rounding instead of n. Source: Kahan 1965, doi:10.1145/363707.363723.
    """

    value: Array
    lost: Array

    def plus(self, increment: Array) -> "Compensated":
        """The sum with one increment more, smaller than itself. Rounding has no derivative."""
        increment = increment + self.lost
        value = self.value + increment
        return Compensated(value, jax.lax.stop_gradient(increment - (value - self.value)))


def compensated(value: Array) -> Compensated:
    """A sum that begins with `value`."""
    return Compensated(value, jnp.zeros_like(value))
