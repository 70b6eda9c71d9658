"""The uniform grid on a domain: nodes, spacing, and values continued beyond the faces."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import require
from ...kernels.interpolate import interpolate
from ...problem import AbstractDomain
from ...typing import Array, Float, Points, Scalar, Values, Vectors
from .fluxes import SlopeRange


class Mesh(eqx.Module):
    """`cells` per axis on `domain`. An axis of n cells has n + 1 nodes, a periodic axis n."""

    domain: AbstractDomain
    cells: tuple[int, ...] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes per axis."""
        return tuple(n if periodic else n + 1 for n, periodic in zip(self.cells, self.domain.periodic, strict=True))

    @property
    def spacing(self) -> Array:
        """Δx `[d]`."""
        return self.domain.extent / jnp.asarray(self.cells)

    @property
    def coordinates(self) -> Vectors:
        """The nodes as an array `[d, n_1, ..., n_d]`."""
        spacing = self.spacing
        axes = [self.domain.lower[k] + spacing[k] * jnp.arange(n) for k, n in enumerate(self.shape)]
        return jnp.stack(jnp.meshgrid(*axes, indexing="ij"))

    @property
    def points(self) -> Points:
        """The nodes as a list `[n_1 ··· n_d, d]`, last axis fastest."""
        return self.coordinates.reshape(len(self.cells), -1).T

    def ghosts(self, values: Values, axis: int, width: int) -> tuple[Values, Values]:
        """The `width` values before the first node of `axis`, and those after the last one."""
        n = values.shape[axis]
        if self.domain.periodic[axis]:
            before, after = (jax.lax.slice_in_dim(values, k, k + width, axis=axis) for k in (n - width, 0))
            return before, after
        lower, upper = self.domain.boundary[axis]
        spacing = self.spacing[axis]
        near = jnp.moveaxis(jax.lax.slice_in_dim(values, 0, lower.reads(width), axis=axis), axis, 0)
        far = jnp.moveaxis(jax.lax.slice_in_dim(values, n - upper.reads(width), n, axis=axis), axis, 0)
        before = jnp.moveaxis(lower.ghosts(near, spacing, width)[::-1], 0, axis)
        return before, jnp.moveaxis(upper.ghosts(far[::-1], spacing, width), 0, axis)

    def padded(self, values: Values, axis: int, width: int) -> Values:
        """`values` `[n_1, ..., n_d]` with `width` ghosts on both ends of `axis`.

        Kept in memory as they are: stencils read every value several times, and fused into them the joining of ghosts
        would be done as often.
        """
        before, after = self.ghosts(values, axis, width)
        return jax.lax.optimization_barrier(jnp.concatenate([before, values, after], axis=axis))

    def padded_everywhere(self, values: Values, width: int) -> Values:
        """`values` with `width` ghosts on both ends of every axis, for stencils along one axis each; corners are 0.

        One copy in memory for all axes, kept as it is for the reason that `padded` has.
        """
        wide = jnp.pad(values, width)
        for axis in range(values.ndim):
            for ghosts, start in zip(self.ghosts(values, axis, width), (0, width + values.shape[axis]), strict=True):
                corner = [width] * values.ndim
                corner[axis] = start
                wide = jax.lax.dynamic_update_slice(wide, ghosts, corner)
        return jax.lax.optimization_barrier(wide)

    def along(self, wide: Values, axis: int, width: int) -> Values:
        """What `padded` would be on `axis`, out of values padded everywhere."""
        for k in range(wide.ndim):
            if k != axis:
                wide = jax.lax.slice_in_dim(wide, width, wide.shape[k] - width, axis=k)
        return wide

    def slopes(self, values: Values) -> SlopeRange:
        """The least and the largest first-order difference along every axis, those to the first ghosts among them."""
        return SlopeRange(*map(jnp.stack, zip(*(self._slopes(values, k) for k in range(values.ndim)), strict=True)))

    def _slopes(self, values: Values, axis: int) -> tuple[Scalar, Scalar]:
        n = values.shape[axis]
        before, after = self.ghosts(values, axis, 1)
        first, last = (jax.lax.slice_in_dim(values, k, k + 1, axis=axis) for k in (0, n - 1))
        differences = [jnp.diff(values, axis=axis), first - before, after - last]
        scale = 1 / self.spacing[axis]
        low, high = (
            functools.reduce(join, [pick(part) for part in differences])
            for join, pick in ((jnp.minimum, jnp.min), (jnp.maximum, jnp.max))
        )
        return low * scale, high * scale

    def at(self, values: Values, points: Points) -> Float[Array, "m ..."]:
        """Quintic interpolation of `values` `[n_1, ..., n_d, ...]` at `points` `[m, d]`."""
        domain = self.domain
        return interpolate(values, jnp.asarray(domain.lower), self.spacing, domain.periodic, points, order=5)


def mesh_on(domain: AbstractDomain, cells: int | tuple[int, ...]) -> Mesh:
    """The mesh of `cells` on a domain: one number for every axis, or one each."""
    return Mesh(domain, (cells,) * domain.dimension if isinstance(cells, int) else cells)


def check_cells(cells: int | tuple[int, ...], d: int) -> None:
    """Refuse a list of `cells` that is not as long as there are axes."""
    require(
        isinstance(cells, int) or len(cells) == d,
        f"`cells` must have one entry per axis ({d}); got {cells}. One number serves every axis.",
    )
