"""The grid on a domain, uniform or stretched: nodes, spacing, and values continued beyond the faces."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import require
from ...kernels.interpolate import interpolate
from ...problem import AbstractDomain
from ...typing import Array, Float, Points, Scalar, Values, Vectors
from .fluxes import SlopeRange
from .stretchings import AbstractStretching, derivative

Stretchings = tuple[AbstractStretching | None, ...]


class Mesh(eqx.Module):
    """`cells` per axis on `domain`. An axis of n cells has n + 1 nodes, a periodic axis n.

    A stretched axis is the image x = X(ξ) of equal cells in ξ, of which `spacing` is the length (see `stretchings`).
    """

    domain: AbstractDomain
    cells: tuple[int, ...] = eqx.field(static=True)
    stretchings: Stretchings

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes per axis."""
        return tuple(n if periodic else n + 1 for n, periodic in zip(self.cells, self.domain.periodic, strict=True))

    @property
    def spacing(self) -> Array:
        """Δx `[d]`, of a stretched axis Δξ."""
        return self.domain.extent / jnp.asarray(self.cells)

    @property
    def stretched(self) -> bool:
        """Whether any axis is."""
        return any(stretching is not None for stretching in self.stretchings)

    @property
    def coordinates(self) -> Vectors:
        """The nodes as an array `[d, n_1, ..., n_d]`."""
        axes = [self._places(axis) for axis in range(len(self.cells))]
        return jnp.stack(jnp.meshgrid(*axes, indexing="ij"))

    def _places(self, axis: int) -> Array:
        stretching, n = self.stretchings[axis], jnp.arange(self.shape[axis])
        if stretching is None:
            return self.domain.lower[axis] + self.spacing[axis] * n
        return self.domain.lower[axis] + self.domain.extent[axis] * stretching(self._parameters(axis))

    def _parameters(self, axis: int, shift: float = 0.0) -> Array:
        """ξ in [0, 1] at the nodes, or `shift` cells further."""
        dtype = jnp.result_type(self.domain.lower)
        return jnp.asarray((jnp.arange(self.shape[axis]) + shift) / self.cells[axis], dtype)

    def _column(self, values: Array, axis: int) -> Array:
        return jnp.expand_dims(values, tuple(k for k in range(len(self.cells)) if k != axis))

    def stretch(self, axis: int, shift: float = 0.0) -> Array | None:
        """X' at the nodes (or `shift` cells further) of a stretched axis `[1, ..., n, ..., 1]`; None of another."""
        stretching = self.stretchings[axis]
        if stretching is None:
            return None
        return self._column(derivative(stretching, self._parameters(axis, shift)), axis)

    def bend(self, axis: int) -> Array:
        """X''/extent at the nodes of a stretched axis: how X' changes along it."""
        stretching, xi = self.stretchings[axis], self._parameters(axis)
        assert stretching is not None
        _, second = jax.jvp(functools.partial(derivative, stretching), (xi,), (jnp.ones_like(xi),))
        return self._column(second / self.domain.extent[axis], axis)

    @property
    def spacings(self) -> Vectors:
        """Δx `[d, n_1, ..., n_d]` at the nodes."""
        ones, spacing = jnp.ones(self.shape, jnp.result_type(self.domain.lower)), self.spacing
        stretches = [self.stretch(axis) for axis in range(len(self.cells))]
        return jnp.stack([ones * spacing[k] * (1.0 if s is None else s) for k, s in enumerate(stretches)])

    def spacing_at(self, x: Vectors) -> Vectors:
        """Δx `[d, ...]` at the places x `[d, ...]`."""
        columns = []
        for axis, stretching in enumerate(self.stretchings):
            here = jnp.full(x.shape[1:], self.spacing[axis])
            if stretching is not None:
                xi = stretching.inverse((x[axis] - self.domain.lower[axis]) / self.domain.extent[axis])
                here = here * derivative(stretching, xi)
            columns.append(here)
        return jnp.stack(columns)

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
        low, high = self._face_spacing(axis)
        near = jnp.moveaxis(jax.lax.slice_in_dim(values, 0, lower.reads(width), axis=axis), axis, 0)
        far = jnp.moveaxis(jax.lax.slice_in_dim(values, n - upper.reads(width), n, axis=axis), axis, 0)
        before = jnp.moveaxis(lower.ghosts(near, low, width)[::-1], 0, axis)
        return before, jnp.moveaxis(upper.ghosts(far[::-1], high, width), 0, axis)

    def _face_spacing(self, axis: int) -> tuple[Scalar, Scalar]:
        """Δx at both faces."""
        spacing, stretch = self.spacing[axis], self.stretch(axis)
        if stretch is None:
            return spacing, spacing
        return spacing * jnp.ravel(stretch)[0], spacing * jnp.ravel(stretch)[-1]

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
        between = self.stretch(axis, 0.5)
        if between is not None:
            low_face, high_face = (end / self.spacing[axis] for end in self._face_spacing(axis))
            inner = jax.lax.slice_in_dim(between, 0, n - 1, axis=axis)
            differences = [differences[0] / inner, differences[1] / low_face, differences[2] / high_face]
        scale = 1 / self.spacing[axis]
        low, high = (
            functools.reduce(join, [pick(part) for part in differences])
            for join, pick in ((jnp.minimum, jnp.min), (jnp.maximum, jnp.max))
        )
        return low * scale, high * scale

    def at(self, values: Values, points: Points, *, order: int = 5) -> Float[Array, "m ..."]:
        """Interpolation of `values` `[n_1, ..., n_d, ...]` at `points` `[m, d]`, by default quintic."""
        domain, lower = self.domain, jnp.asarray(self.domain.lower)
        for axis, stretching in enumerate(self.stretchings):
            if stretching is not None:
                share = (domain.wrap(points)[:, axis] - lower[axis]) / domain.extent[axis]
                points = points.at[:, axis].set(lower[axis] + domain.extent[axis] * stretching.inverse(share))
        return interpolate(values, lower, self.spacing, domain.periodic, points, order=order)


def mesh_on(domain: AbstractDomain, cells: int | tuple[int, ...], stretchings: Stretchings = ()) -> Mesh:
    """The mesh of `cells` on a domain: one number for every axis, or one each; uniform without `stretchings`."""
    d = domain.dimension
    return Mesh(domain, (cells,) * d if isinstance(cells, int) else cells, stretchings or (None,) * d)


def check_stretchings(stretchings: Stretchings, domain: AbstractDomain) -> None:
    """Refuse a list that is not as long as there are axes, and maps that a periodic axis cannot have."""
    d = domain.dimension
    require(
        len(stretchings) == d,
        f"`stretching` must have one entry per axis ({d}); got {len(stretchings)}. None leaves an axis uniform.",
    )
    for axis, (stretching, periodic) in enumerate(zip(stretchings, domain.periodic, strict=True)):
        require(
            stretching is None or stretching.periodic or not periodic,
            f"`stretching` must be periodic on axis {axis}, as the domain is; got {type(stretching).__name__}. Use "
            "hj.methods.grid.stretchings.Wave, or None.",
        )


def check_cells(cells: int | tuple[int, ...], d: int) -> None:
    """Refuse a list of `cells` that is not as long as there are axes."""
    require(
        isinstance(cells, int) or len(cells) == d,
        f"`cells` must have one entry per axis ({d}); got {cells}. One number serves every axis.",
    )
