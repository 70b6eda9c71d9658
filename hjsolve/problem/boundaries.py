"""Boundary conditions of a grid: how values continue beyond a face."""

import abc

import equinox as eqx
import jax.numpy as jnp

from ..checks import as_array, check_range
from ..typing import Array, ArrayLike, Values


class AbstractBoundary(eqx.Module):
    """The continuation of node values beyond one face of a box. The face is a node."""

    @abc.abstractmethod
    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """`width` values beyond the face, the nearest first, on the leading axis.

        `inner` holds at least `width + 1` node values counted from the face inwards (`inner[0]` is the face itself).
        """


class Extrapolation(AbstractBoundary):
    """Linear continuation: u_{−k} = u_0 + k(u_0 − u_1). The default, for faces that characteristics leave.

    Where they enter, the solution depends on data beyond the box that a grid does not have, and slopes at the face can
    grow until the step underflows: enlarge the box, or use `Neumann` or a torus.
    """

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """u_0 + k(u_0 − u_1), k = 1..width."""
        steps = jnp.arange(1, width + 1, dtype=inner.dtype).reshape((-1,) + (1,) * (inner.ndim - 1))
        return inner[0] + steps * (inner[0] - inner[1])


class Neumann(AbstractBoundary):
    """∂u/∂n = `slope` along the outward normal: u_{−k} = u_k + 2kΔx·slope. Zero slope is a reflecting wall."""

    slope: Array

    def __init__(self, slope: ArrayLike = 0.0):
        self.slope = as_array("slope", slope)
        check_range("slope", self.slope, remedy="Give the derivative along the outward normal.")

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """u_k + 2kΔx·slope, k = 1..width."""
        steps = jnp.arange(1, width + 1, dtype=inner.dtype).reshape((-1,) + (1,) * (inner.ndim - 1))
        return inner[1 : width + 1] + 2 * steps * spacing * self.slope
