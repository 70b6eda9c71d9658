"""Initial data given by their values on a grid."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_range, require
from ...kernels.interpolate import interpolate
from ...typing import Array, ArrayLike, Point, Scalar
from .base import AbstractInitial


class Gridded(AbstractInitial):
    """The interpolant of `values` on the uniform grid from `lower` to `upper`.

    `values` `[n_1, ..., n_d]`. A non-periodic axis of n values has its nodes at both ends; a periodic axis leaves the
    repeated end out. `order` is the polynomial degree per axis: 1, 3 or 5 (the default; exact for quintics; take 1 for
    data with kinks or jumps). Outside the grid a non-periodic axis continues linearly.
    """

    values: Array
    lower: Array
    upper: Array
    periodic: tuple[bool, ...] = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def __init__(
        self,
        values: ArrayLike,
        lower: ArrayLike,
        upper: ArrayLike,
        *,
        periodic: bool | tuple[bool, ...] = False,
        order: int = 5,
    ):
        self.values = as_array("values", values)
        self.lower = as_array("lower", np.atleast_1d(lower) if np.ndim(lower) == 0 else lower)
        self.upper = as_array("upper", np.atleast_1d(upper) if np.ndim(upper) == 0 else upper)
        d = self.values.ndim
        self.periodic = (periodic,) * d if isinstance(periodic, bool) else tuple(periodic)
        self.order = order
        require(order in (1, 3, 5), f"`order` must be 1, 3 or 5; got {order}.")
        for name, bound in (("lower", self.lower), ("upper", self.upper)):
            require(bound.shape == (d,), f"`{name}` must have shape [{d}] like `values`; got {bound.shape}.")
        require(len(self.periodic) == d, f"`periodic` must have {d} entries; got {len(self.periodic)}.")
        require(
            min(self.values.shape, default=0) > order,
            f"`values` must have more than `order` = {order} nodes on every axis; got shape {self.values.shape}. "
            "Lower the order or refine the grid.",
        )
        check_range("values", self.values, remedy="Replace infinite values by a large finite number.")
        check_range("upper - lower", self.upper - self.lower, above=0.0, remedy="Swap the bounds.")

    def __call__(self, x: Point) -> Scalar:
        """The interpolant at x."""
        d = self.values.ndim
        require(x.shape[0] == d, f"`values` have {d} axes but x has {x.shape[0]} components. Match the problem's d.")
        n = jnp.asarray(self.values.shape) - jnp.where(jnp.asarray(self.periodic), 0, 1)
        spacing = (jnp.asarray(self.upper) - self.lower) / n
        values = jnp.asarray(self.values)
        return interpolate(values, self.lower, spacing, self.periodic, x[None, :], order=self.order)[0]
