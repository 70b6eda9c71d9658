"""A running sum that does not pile up rounding."""

from typing import Any

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
        """The sum with one increment more, smaller than itself. Rounding has no derivative.

        A `settled` sum is added to plainly.
        """
        if jnp.ndim(self.lost) < jnp.ndim(self.value):
            return Compensated(self.value + increment, self.lost)
        increment = increment + self.lost
        value = self.value + increment
        return Compensated(value, jax.lax.stop_gradient(increment - (value - self.value)))


def compensated(value: Array) -> Compensated:
    """A sum that begins with `value`."""
    return Compensated(value, jnp.zeros_like(value))


def settled(tree: Any) -> Any:
    """A pytree whose sums have forgotten what was lost: half the memory."""
    return _each(lambda total: Compensated(total.value, jnp.zeros((), total.value.dtype)), tree)


def resumed(tree: Any) -> Any:
    """A pytree whose sums can be added to, as they were before they were `settled`."""
    return _each(lambda total: compensated(total.value), tree)


def _each(change: Any, tree: Any) -> Any:
    def is_sum(node: Any) -> bool:
        return isinstance(node, Compensated)

    return jax.tree.map(lambda node: change(node) if is_sum(node) else node, tree, is_leaf=is_sum)
