"""Two dimensions: filled contours, labelled level sets and the directions of steepest descent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import look
from .sampled import Array, Sampled, levels_of, some

_ARROWS = 15
"""Along the longer axis."""
_MULTIPLES = 6
_LONGEST = 4.0
"""Of the sides' ratio, up to which a unit has the same length on both axes."""


def plane(data: Sampled) -> Figure:
    """U at the last time, and small pictures of the earlier ones on a common scale beside it."""
    earlier = len(data.ts) > 1
    drawing = look.figure(12.4 if earlier else 6.4, _height(data))
    if not earlier:
        _detailed(drawing, data)
        return drawing
    parts: Any = drawing.subfigures(1, 2)
    _detailed(parts[0], data)
    _multiples(parts[1], data)
    return drawing


def frame(data: Sampled, k: int) -> Figure:
    """U at the k-th time, on the colours that all frames share."""
    drawing = look.figure(6.4, _height(data))
    axes = drawing.add_subplot()
    filled = filled_contours(axes, data, k, levels_of(data.u, 24))
    drawing.colorbar(filled, ax=axes, label="u", location="bottom")
    axes.set_title(f"u at {data.title(k)}")
    return drawing


def filled_contours(axes: Any, data: Sampled, k: int, levels: Array) -> Any:
    """Draw u at the k-th time, with the zero level thick where there is one."""
    x, y = data.axes
    filled = axes.contourf(x, y, data.u[k].T, levels=levels, cmap=look.MAP)
    if data.u[k].min() < 0 < data.u[k].max():
        axes.contour(x, y, data.u[k].T, levels=[0.0], colors=look.ZERO, linewidths=2.2)
    axes.set(xlabel=data.labels[0], ylabel=data.labels[1])
    if 1 / _LONGEST <= _ratio(data) <= _LONGEST:
        axes.set_aspect("equal")
    return filled


def _height(data: Sampled) -> float:
    """Inches for axes about 5.4 wide, with their labels, title and colour bar."""
    return 2.0 + 5.4 * float(np.clip(_ratio(data), 0.45, 1.6))


def _ratio(data: Sampled) -> float:
    x, y = data.axes
    return float(np.ptp(y) / np.ptp(x))


def _detailed(drawing: Any, data: Sampled) -> None:
    axes = drawing.add_subplot()
    (x, y), u = data.axes, data.u[-1]
    filled = filled_contours(axes, data, -1, levels_of(u, 24))
    drawing.colorbar(filled, ax=axes, label="u", location="bottom")
    _arrows(axes, data)
    lines = levels_of(u, 7)
    lines = lines[np.abs(lines) > 1e-12 * np.abs(lines).max()]  # the zero level has a line of its own
    drawn = axes.contour(x, y, u.T, levels=lines, colors="white", linewidths=0.9)
    axes.clabel(drawn, fontsize=8, inline_spacing=3)
    thick = ", u = 0 thick" if u.min() < 0 < u.max() else ""
    axes.set_title(f"u at {data.title(-1)}\narrows: −∇u{thick}", fontsize=11)


def _arrows(axes: Any, data: Sampled) -> None:
    """−∇u at a few nodes, as long as it is steep."""
    x, y = data.axes
    across, up = (
        some(len(axis), max(2, math.ceil(_ARROWS * np.ptp(axis) / max(np.ptp(x), np.ptp(y)))) + 2)[1:-1]
        for axis in (x, y)
    )
    p = -data.gradient[-1][np.ix_(across, up)]
    if p.size and np.abs(p).max() > 0:
        axes.quiver(
            x[across],
            y[up],
            p[..., 0].T,
            p[..., 1].T,
            angles="xy",
            color="#222222",
            alpha=0.75,
            width=0.0035,
            pivot="middle",
        )


def _multiples(drawing: Any, data: Sampled) -> None:
    chosen = some(len(data.ts), _MULTIPLES)
    columns = 1 if len(chosen) == 1 else 2 if len(chosen) <= 4 else 3
    panels = drawing.subplots(math.ceil(len(chosen) / columns), columns, sharex=True, sharey=True, squeeze=False)
    levels = levels_of(data.u, 24)
    for axes in panels.flat[len(chosen) :]:
        axes.set_visible(False)
    for axes, k in zip(panels.flat, chosen, strict=False):
        filled = filled_contours(axes, data, k, levels)
        axes.set_title(f"t = {data.ts[k]:.4g}", fontsize=10)
        axes.locator_params(nbins=4)
        axes.label_outer()
    for axes in panels.flat[max(0, len(chosen) - columns) : len(chosen)]:  # the lowest ones, also above a gap
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(data.labels[0])
    drawing.colorbar(filled, ax=panels, label="u, the same colours at all times", location="bottom", shrink=0.8)
