"""Points that form a tensor grid, recognised from their coordinates: level sets, files and pictures are made on it."""

from typing import Any, NamedTuple

import numpy as np

_Array = np.ndarray[Any, Any]


class TensorGrid(NamedTuple):
    """`axes`: the increasing coordinates of every axis; `order` `[m]`: the points in order, last axis fastest."""

    axes: tuple[_Array, ...]
    order: _Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Points per axis."""
        return tuple(len(axis) for axis in self.axes)

    def arrange(self, values: _Array) -> _Array:
        """Values `[s, m, ...]` at the points as `[s, n_1, ..., n_d, ...]`."""
        return values[:, self.order].reshape(values.shape[0], *self.shape, *values.shape[2:])


def recognise(points: _Array) -> TensorGrid | None:
    """The grid that points `[m, d]` form, in whatever order; None if none. Coordinates must repeat exactly."""
    axes = tuple(np.unique(column) for column in points.T)
    if np.prod([len(axis) for axis in axes], dtype=float) != len(points):
        return None
    order = np.lexsort(points.T[::-1])
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(points.shape)
    return TensorGrid(axes, order) if np.array_equal(points[order], nodes) else None
