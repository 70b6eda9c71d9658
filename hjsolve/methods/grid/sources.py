"""The nodes that initial data are read on: a uniform grid over the part of space that the solution depends on."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...problem.reach import dependence_box
from ...typing import Array, Function, Scalar, Vectors
from .mesh import Mesh

_BATCH = 2**18
"""Nodes at a time, so that data on a large grid never need the list of all its points."""


class Nodes(eqx.Module):
    """A uniform tensor grid: `lower` `[d]` is its first node, `spacing` `[d]`, `shape` nodes per axis."""

    lower: Array
    spacing: Array
    shape: tuple[int, ...] = eqx.field(static=True)

    def axis(self, k: int, refine: int = 1, periodic: bool = False) -> Array:
        """The coordinates of the nodes along axis k, with `refine` − 1 more between any two."""
        count = refine * self.shape[k] - (0 if periodic else refine - 1)
        return self.lower[k] + self.spacing[k] / refine * jnp.arange(count)

    @property
    def coordinates(self) -> Vectors:
        """The nodes as an array `[d, n_1, ..., n_d]`."""
        return jnp.stack(jnp.meshgrid(*(self.axis(k) for k in range(len(self.shape))), indexing="ij"))

    def sample(self, g: Function) -> Any:
        """What g returns at a point, on all nodes: arrays `[n_1, ..., n_d, ...]`."""
        total = math.prod(self.shape)

        def at(index: Array) -> Any:
            places = jnp.stack(jnp.unravel_index(index, self.shape)).astype(self.lower.dtype)
            return g(self.lower + self.spacing * places)

        values = jax.lax.map(at, jnp.arange(total), batch_size=min(total, _BATCH))
        return jax.tree.map(lambda a: a.reshape(*self.shape, *a.shape[1:]), values)


def target_nodes(mesh: Mesh) -> Nodes:
    """The mesh's own nodes."""
    return Nodes(jnp.asarray(mesh.domain.lower), mesh.spacing, mesh.shape)


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
    return Nodes(first, spacing, shape), covered
