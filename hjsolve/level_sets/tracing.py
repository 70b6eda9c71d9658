"""Where u takes a value: points on a line, curves in the plane, triangles in space, from values on a tensor grid.

Values are interpolated linearly along the edges of cells (of tetrahedra in space), so that the set is off by O(Δx²);
`polished` moves its points along ∇u onto the level set of a better interpolant.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks import require
from ..problem import AbstractDomain
from ..tensor_grid import recognise
from .joining import continued
from .parts import LevelSet, Surface

_Array = np.ndarray[Any, Any]
Sampler = Callable[[_Array], tuple[_Array, _Array]]
"""Maps points `[m, d]` to u `[m]` and ∇u `[m, d]`."""
_NEWTON_STEPS = 3
"""Each squares the error: O(Δx²) becomes O(Δx⁸) after two, beyond what quintics have; the third is for coarse grids."""
_LEAST_BATCH = 64


def locate(points: _Array, sampler: Sampler, domain: AbstractDomain, level: float) -> LevelSet:
    """{u = level} of what `sampler` gives: found between the `points`, which must form a tensor grid, then polished."""
    grid = recognise(points)
    if grid is None or min(grid.shape) < 2:
        raise ValueError(
            "`level_set` needs a solution on a tensor grid with 2 or more points per axis; the points of this one form "
            "none. Solve with `points` such as np.stack(np.meshgrid(*axes), -1).reshape(-1, d)."
        )
    values = grid.arrange(sampler(points)[0][None])[0]
    periods = tuple(float(e) if p else None for e, p in zip(domain.extent, domain.periodic, strict=True))
    axes, u = closed(grid.axes, values, periods)
    return continued(polished(trace(axes, u, level), level, sampler, axes), axes, periods)


def trace(axes: tuple[_Array, ...], u: _Array, level: float) -> LevelSet:
    """{u = level} from values `[n_1, ..., n_d]` on the grid of `axes`, interpolated linearly.

    d = 1: sorted points `[k, 1]`; d = 2: a list of polylines `[k, 2]`, closed ones with their first point repeated at
    the end; d = 3: a `Surface`. A value that is met but not crossed from below or above may be missed.
    """
    require(
        u.ndim <= 3,
        f"`level_set` is made in 1, 2 or 3 dimensions; got {u.ndim}. Evaluate the solution on a section of the domain.",
    )
    require(np.isfinite(u).all(), "`level_set` needs finite values; the solution is NaN or infinite at some nodes.")
    if u.ndim == 1:
        return _points(axes[0], u - level)
    return _curves(axes, u, level) if u.ndim == 2 else _surface(axes, u - level)


def polished(found: LevelSet, level: float, sampler: Sampler, axes: tuple[_Array, ...]) -> LevelSet:
    """Move the points of a level set by Newton's method along ∇u, to where `sampler` says that u = level.

    A point on a face of the grid stays on it. A step that is longer than a cell, or after which u is not closer to
    the level (at a kink), is not taken.
    """
    if isinstance(found, Surface):
        return Surface(_newton(found.vertices, level, sampler, axes), found.faces)
    if isinstance(found, list):
        moved = _newton(np.concatenate([np.empty((0, len(axes))), *found]), level, sampler, axes)
        return np.split(moved, np.cumsum([len(line) for line in found])[:-1]) if found else []
    return np.sort(_newton(found, level, sampler, axes), axis=0)


def closed(axes: tuple[_Array, ...], u: _Array, periods: tuple[float | None, ...]) -> tuple[tuple[_Array, ...], _Array]:
    """The grid with the first node of every periodic axis repeated a period later, where only that node is missing."""
    complete = list(axes)
    for k, (axis, period) in enumerate(zip(axes, periods, strict=True)):
        if period is None or len(axis) < 2:
            continue
        gap = axis[0] + period - axis[-1]
        if 1e-6 * period < gap < 1.5 * np.diff(axis).max():
            complete[k] = np.append(axis, axis[0] + period)
            u = np.concatenate([u, np.take(u, [0], axis=k)], axis=k)
    return tuple(complete), u


def _newton(x: _Array, level: float, sampler: Sampler, axes: tuple[_Array, ...]) -> _Array:
    if len(x) == 0:
        return x
    lower, upper = (np.array([axis[end] for axis in axes]) for end in (0, -1))
    reach = max(np.diff(axis).max() for axis in axes)
    on_face = (x == lower) | (x == upper)
    value, slope = _sampled(sampler, x)
    for _ in range(_NEWTON_STEPS):
        slope = np.where(on_face, 0.0, slope)
        steepness = (slope**2).sum(1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            step = -((value - level) / steepness)[:, None] * slope
        usable = np.isfinite(step).all(1) & ((step**2).sum(1) < reach**2)
        moved = np.clip(np.where(usable[:, None], x + step, x), lower, upper)
        new_value, new_slope = _sampled(sampler, moved)
        better = np.abs(new_value - level) < np.abs(value - level)
        x, slope = (np.where(better[:, None], new, old) for new, old in ((moved, x), (new_slope, slope)))
        value = np.where(better, new_value, value)
    return x


def _sampled(sampler: Sampler, x: _Array) -> tuple[_Array, _Array]:
    """The sampler on a batch padded to a power of two, so that few programs are compiled."""
    size = max(_LEAST_BATCH, 1 << (len(x) - 1).bit_length())
    u, gradient = sampler(x[np.minimum(np.arange(size), len(x) - 1)])
    return u[: len(x)], gradient[: len(x)]


def _points(x: _Array, v: _Array) -> _Array:
    left = np.flatnonzero((v[:-1] >= 0) != (v[1:] >= 0))
    fraction = v[left] / (v[left] - v[left + 1])
    return np.unique(x[left] + fraction * (x[left + 1] - x[left]))[:, None]


def _curves(axes: tuple[_Array, ...], u: _Array, level: float) -> list[_Array]:
    from contourpy import LineType, contour_generator

    generator = contour_generator(x=axes[0], y=axes[1], z=u.T, name="serial", line_type=LineType.Separate)
    lines: list[_Array] = generator.lines(level)  # type: ignore[assignment]
    return lines


_CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
_ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
_TETRAHEDRA = np.stack([_CORNERS[:, np.argsort(order)] for order in _ORDERS])
"""Kuhn's six tetrahedra `[6, 4, 3]` of a cube along its diagonal: those of neighbouring cubes fit."""


def _surface(axes: tuple[_Array, ...], v: _Array) -> Surface:
    """Marching tetrahedra. Source: Doi & Koide 1991, IEICE Trans. E74(1), 214-224."""
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    v = v.ravel()
    ids = np.arange(len(v)).reshape([len(axis) for axis in axes])
    cells = tuple(n - 1 for n in ids.shape)
    corners = [
        ids[tuple(slice(o, o + n) for o, n in zip(offset, cells, strict=True))].ravel()
        for offset in _TETRAHEDRA.reshape(-1, 3)
    ]
    tetrahedra = np.stack(corners, axis=1).reshape(-1, 4)
    above = v[tetrahedra] >= 0
    count = above.sum(1)
    crossed = (count > 0) & (count < 4)
    # the corners above first: then the crossed edges are those from the first `count` corners to the others
    tetrahedra = np.take_along_axis(tetrahedra[crossed], np.argsort(~above[crossed], axis=1, kind="stable"), axis=1)
    count = count[crossed]
    edges = [
        tetrahedra[count == n][:, list(triangle)].reshape(-1, 3, 2)
        for n, triangles in (
            (1, [(0, 1, 0, 2, 0, 3)]),
            (2, [(0, 2, 0, 3, 1, 2), (1, 2, 0, 3, 1, 3)]),
            (3, [(0, 3, 1, 3, 2, 3)]),
        )
        for triangle in triangles
    ]
    inside = np.concatenate(edges).reshape(-1, 2)
    a, b = np.sort(inside, axis=1).T
    fraction = v[a] / (v[a] - v[b])
    # an edge cut at its end is that node, so that triangles around it meet in one vertex
    a, b = np.where(fraction == 1, b, a), np.where(fraction == 0, a, b)
    _, first, index = np.unique(a * len(v) + b, return_index=True, return_inverse=True)
    a, b, fraction = a[first], b[first], fraction[first]
    vertices = nodes[a] + np.where(a == b, 0.0, fraction)[:, None] * (nodes[b] - nodes[a])
    faces = index.reshape(-1, 3)
    p, q, r = (vertices[faces[:, k]] for k in range(3))
    towards = (nodes[inside[:, 0]] - nodes[inside[:, 1]]).reshape(-1, 3, 3).sum(1)  # from below to above
    flipped = (np.cross(q - p, r - p) * towards).sum(1) < 0
    faces = np.where(flipped[:, None], faces[:, ::-1], faces)
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Surface(vertices, faces[whole])
