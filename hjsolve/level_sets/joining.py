"""The parts of a level set joined across periodic faces."""

from typing import Any

import numpy as np

from .parts import LevelSet, Surface

_Array = np.ndarray[Any, Any]
_SAME = 1e-6
"""Of a period: points that are nearer are one point."""


def continued(found: LevelSet, axes: tuple[_Array, ...], periods: tuple[float | None, ...]) -> LevelSet:
    """A level set cut at the faces of a box, with its parts joined across the faces that are periodic.

    Each part is moved by whole periods to where its neighbour ends, so that what is joined reaches out of the box; its
    centre lies inside. What goes round a period stays cut once. Axes whose last node is not a period after the first
    are not joined.
    """
    lower, upper = (np.array([axis[end] for axis in axes]) for end in (0, -1))
    given = np.array([np.inf if period is None else period for period in periods])
    period = np.where(np.abs(upper - lower - given) <= _SAME * (upper - lower), upper - lower, np.inf)
    if np.isinf(period).all():
        return found
    if isinstance(found, Surface):
        return _joined_surface(found, lower, upper, period)
    if isinstance(found, list):
        return _joined_lines(found, lower, upper, period)
    return found[:-1] if len(found) > 1 and found[0] == lower and found[-1] == upper else found


def _joined_lines(lines: list[_Array], lower: _Array, upper: _Array, period: _Array) -> list[_Array]:
    """Tails to heads: all lines have larger values on the same side."""
    whole = [line for line in lines if (line[0] == line[-1]).all()]
    parts = [line for line in lines if not (line[0] == line[-1]).all()]
    after: dict[int, int] = {}
    for tail, line in enumerate(parts):
        jumps = np.where(np.isfinite(period) & (line[-1] == upper), period, 0.0)
        jumps -= np.where(np.isfinite(period) & (line[-1] == lower), period, 0.0)
        free = [head for head in range(len(parts)) if head not in after.values()]
        apart = [np.abs(line[-1] - parts[head][0] - jumps).max() for head in free]
        if jumps.any() and free and min(apart) <= _SAME * (upper - lower).max():
            after[tail] = free[int(np.argmin(apart))]
    ends_first = [part for part in range(len(parts)) if part not in after.values()]
    unused = dict.fromkeys([*ends_first, *range(len(parts))])
    while unused:
        part = next(iter(unused))
        chain = [parts[part][:1]]
        while part in unused:
            del unused[part]
            chain.append(parts[part][1:] + chain[-1][-1] - parts[part][0])
            part = after.get(part, -1)
        line = np.concatenate(chain)
        if np.abs(line[-1] - line[0]).max() <= _SAME * (upper - lower).max():
            line[-1] = line[0]
        whole.append(line - _periods_to(line, lower, period))
    return whole


def _joined_surface(found: Surface, lower: _Array, upper: _Array, period: _Array) -> Surface:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    x, faces = found
    if len(x) == 0:
        return found

    def components(pairs: _Array) -> _Array:
        graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(x), len(x)))
        labels: _Array = connected_components(graph, directed=False)[1]
        return labels

    part = components(np.concatenate([faces[:, :2], faces[:, 1:]]))
    twins = []  # (on the upper face, on the lower one, axis)
    for axis in np.flatnonzero(np.isfinite(period)):
        low, high = (np.flatnonzero(x[:, axis] == end[axis]) for end in (lower, upper))
        if len(low) and len(high):
            others = np.arange(3) != axis
            apart, nearest = KDTree(x[low][:, others]).query(x[high][:, others])
            close = apart <= _SAME * (upper - lower).max()
            twins.append(np.stack([high[close], low[nearest[close]], np.full(close.sum(), axis)], axis=1))
    pairs = np.concatenate([np.empty((0, 3), int), *twins])
    jumps = np.where(np.arange(3) == pairs[:, 2:], np.where(np.isfinite(period), period, 0.0), 0.0)
    moved, links = _moves(part, pairs, jumps)
    x = x + moved[part]
    meet = np.abs(x[pairs[:, 0]] - x[pairs[:, 1]]).max(axis=1) <= _SAME * (upper - lower).max()
    index = components(pairs[meet, :2])
    x = x[np.unique(index, return_index=True)[1]]
    for label in np.unique(links):
        own = np.unique(index[np.isin(part, np.flatnonzero(links == label))])
        x[own] -= _periods_to(x[own], lower, period)
    return Surface(x, index[faces])


def _moves(part: _Array, pairs: _Array, jumps: _Array) -> tuple[_Array, _Array]:
    """How far each part is moved for its twins to meet, along a tree of parts, and the first part of its tree."""
    count = part.max() + 1
    moved, first = np.zeros((count, 3)), np.full(count, -1)
    upper, lower = part[pairs[:, 0]], part[pairs[:, 1]]
    for root in range(count):
        waiting = [root] if first[root] < 0 else []
        first[root] = root if waiting else first[root]
        while waiting:
            here = waiting.pop()
            for near, far, sign in ((upper, lower, 1.0), (lower, upper, -1.0)):
                for k in np.flatnonzero((near == here) & (first[far] < 0)):
                    if first[far[k]] < 0:
                        moved[far[k]], first[far[k]] = moved[here] + sign * jumps[k], root
                        waiting.append(far[k])
    return moved, first


def _periods_to(x: _Array, lower: _Array, period: _Array) -> _Array:
    """The whole periods by which the centre of points lies outside the box."""
    finite = np.isfinite(period)
    width = np.where(finite, period, 1.0)
    return np.where(finite, np.floor((x.mean(axis=0) - lower) / width + _SAME) * width, 0.0)
