"""The nodes that initial data are read on: a uniform grid over the part of space that the solution depends on."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp

from ...problem.reach import dependence_box
from ...typing import Array, Function, Scalar, Values, Vectors
from .mesh import Mesh

Loader: TypeAlias = Callable[[Array, int], Values]
"""`(first, count) -> u`: node values on a slab `[n_1, ..., n_{d-1}, count]`, copies of the last beyond the end."""

_BATCH = 2**18
"""Nodes at a time, so that data on a large grid never need the list of all its points."""


class Nodes(eqx.Module):
    """A uniform tensor grid: `lower` `[d]` is its first node, `spacing` `[d]`, `shape` nodes per axis.

    Data are needed from the first to the last index `used` `[d, 2]` of an axis; other nodes do not matter.
    """

    lower: Array
    spacing: Array
    used: Array
    shape: tuple[int, ...] = eqx.field(static=True)

    def axis(self, k: int, refine: int = 1, periodic: bool = False) -> Array:
        """The coordinates of the nodes along axis k, with `refine` − 1 more between any two."""
        count = refine * self.shape[k] - (0 if periodic else refine - 1)
        return self.lower[k] + self.spacing[k] / refine * jnp.arange(count)

    def rows(self, k: int) -> Array:
        """Of which node along axis k each node has the data: its own where needed, else that of the nearest such."""
        return jnp.clip(jnp.arange(self.shape[k]), self.used[k, 0], self.used[k, 1])

    @property
    def whole(self) -> "Nodes":
        """The same nodes, all of them needed."""
        return Nodes(self.lower, self.spacing, _all(self.shape), self.shape)

    @property
    def coordinates(self) -> Vectors:
        """The nodes as an array `[d, n_1, ..., n_d]`."""
        return jnp.stack(jnp.meshgrid(*(self.axis(k) for k in range(len(self.shape))), indexing="ij"))

    def sample(self, g: Function) -> Any:
        """What g returns at a point, on all nodes: arrays `[n_1, ..., n_d, ...]`."""
        return self._at(g, jnp.zeros((), int), self.shape)

    def slabs(self, g: Function) -> Loader:
        """The same on slabs of the last axis."""
        return lambda first, count: self._at(g, first, (*self.shape[:-1], count))

    def _at(self, g: Function, first: Array, shape: tuple[int, ...]) -> Any:
        last = jnp.minimum(first + jnp.arange(shape[-1]), self.shape[-1] - 1)
        indices = [jnp.arange(n) for n in shape[:-1]] + [last]
        coordinates = [self.lower[k] + self.spacing[k] * i.astype(self.lower.dtype) for k, i in enumerate(indices)]

        def plane(x: Scalar) -> Any:
            def at(*rest: Scalar) -> Any:
                return g(jnp.stack([x, *rest]))

            over: Callable[..., Any] = at
            for k in reversed(range(len(shape) - 1)):  # the last argument is the innermost axis
                over = jax.vmap(over, in_axes=tuple(0 if other == k else None for other in range(len(shape) - 1)))
            return over(*coordinates[1:])

        return jax.lax.map(plane, coordinates[0], batch_size=_planes(shape))


def _planes(shape: tuple[int, ...]) -> int:
    """How many planes at a time: a divisor of all, as the rest would be compiled again."""
    count, size = shape[0], max(1, _BATCH // math.prod(shape[1:]))
    if count <= size or len(shape) == 1:
        return min(count, size)
    return max(k for k in range(1, size + 1) if count % k == 0)


def target_nodes(mesh: Mesh) -> Nodes:
    """The mesh's own nodes."""
    return Nodes(jnp.asarray(mesh.domain.lower), mesh.spacing, _all(mesh.shape), mesh.shape)


def source_nodes(
    g: Function,
    mesh: Mesh,
    intervals: tuple[int, ...],
    c: Scalar,
    epsilon: Scalar,
    t: Scalar,
    margin: Array | None = None,
) -> tuple[Nodes, Array]:
    """Nodes over what the solution on the mesh depends on up to time t, and whether that is bounded at all.

    `margin` `[d]` widens the box on which the solution is wanted.

    A periodic axis has the mesh's nodes. A free axis has `intervals + 1` nodes with a spacing that is a whole multiple
    or fraction of the mesh's and holds nodes of it, so that kinks that lie on nodes of the mesh stay on nodes.
    """
    domain = mesh.domain
    lower, upper = jnp.asarray(domain.lower), jnp.asarray(domain.upper)
    if all(domain.periodic):
        return target_nodes(mesh), jnp.asarray(True)
    margin = jnp.zeros_like(lower) if margin is None else margin
    low, high, covered = dependence_box(g, lower - margin, upper + margin, c, epsilon, t)
    low, high = jnp.minimum(low, lower), jnp.maximum(high, upper)
    counts = jnp.asarray(intervals, lower.dtype)
    wanted = (high - low) / (counts - 2) / mesh.spacing
    ratio = jnp.where(wanted > 1, jnp.ceil(wanted - 1e-4), 1 / jnp.floor(1e-4 + 1 / jnp.minimum(wanted, 1.0)))
    ratio = jax.lax.stop_gradient(ratio)
    spacing = mesh.spacing * ratio
    before = jax.lax.stop_gradient(jnp.ceil((lower - low) / spacing - 1e-4))
    periodic = jnp.asarray(domain.periodic)
    first = jnp.where(periodic, lower, lower - before * spacing)
    spacing = jnp.where(periodic, mesh.spacing, spacing)
    shape = tuple(m if p else n + 1 for m, n, p in zip(mesh.shape, intervals, domain.periodic, strict=True))
    # two more than the rest depends on, as the rules for kinks look at neighbours
    ends = jnp.stack([jnp.floor((low - first) / spacing) - 2, jnp.ceil((high - first) / spacing) + 2], axis=1)
    everything = _all(shape)
    used = jnp.clip(jax.lax.stop_gradient(ends).astype(int), 0, everything[:, 1:])
    return Nodes(first, spacing, jnp.where(periodic[:, None], everything, used), shape), covered


def _all(shape: tuple[int, ...]) -> Array:
    return jnp.stack([jnp.zeros(len(shape), int), jnp.asarray(shape) - 1], axis=1)
