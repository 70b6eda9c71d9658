"""One dimension: curves, and with enough times u over space and time, flat and in relief."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import look
from .sampled import Sampled, levels_of, some

_ENOUGH = 4
_NAMED = 6
"""More curves than these are told apart by a colour bar, not a legend."""
_MOST = 16


def line(data: Sampled) -> Figure:
    """U at the saved times; from four times on also the plane of space and time and a waterfall."""
    if len(data.ts) < _ENOUGH:
        drawing = look.figure(6.4, 4.2)
        _curves(drawing, drawing.add_subplot(), data)
        return drawing
    drawing = look.figure(14.5, 4.4)
    parts: Any = drawing.subfigures(1, 3)
    _curves(parts[0], parts[0].add_subplot(), data)
    _plane(parts[1], data)
    _waterfall(parts[2], data)
    return drawing


def frame(data: Sampled, k: int) -> Figure:
    """The curve at the k-th time above the first one, on axes that all frames share."""
    drawing = look.figure(6.4, 4.2)
    axes = drawing.add_subplot()
    (x,) = data.axes
    axes.plot(x, data.u[0], color="#999999", lw=1.2, label=f"t = {data.ts[0]:.4g}")
    axes.plot(x, data.u[k], color=look.shade(0.3), lw=2, label="now")
    axes.set(xlabel=data.labels[0], ylabel="u", title=data.title(k), xlim=(x[0], x[-1]), ylim=_room(data.u))
    axes.spines[["top", "right"]].set_visible(False)
    drawing.legend(loc="outside lower center", ncols=2, frameon=False)
    return drawing


def _room(u: Any) -> tuple[float, float]:
    """The range of u with a margin, of some size also where u is constant."""
    low, high = float(u.min()), float(u.max())
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin


def _curves(drawing: Any, axes: Any, data: Sampled) -> None:
    (x,), ts = data.axes, data.ts
    named = len(ts) <= _NAMED
    for k in some(len(ts), _MOST):
        fraction = (ts[k] - ts[0]) / (ts[-1] - ts[0]) if len(ts) > 1 else 0.3
        axes.plot(x, data.u[k], color=look.shade(fraction), lw=1.6, label=f"t = {ts[k]:.4g}")
    axes.set(xlabel=data.labels[0], ylabel="u(t, x)", xlim=(x[0], x[-1]), ylim=_room(data.u), title="u at saved times")
    axes.spines[["top", "right"]].set_visible(False)
    if named:
        drawing.legend(loc="outside lower center", ncols=min(len(ts), 3), frameon=False)
    else:
        look.times_bar(drawing, axes, ts)


def _plane(drawing: Any, data: Sampled) -> None:
    axes = drawing.add_subplot()
    (x,) = data.axes
    filled = axes.contourf(x, data.ts, data.u, levels=levels_of(data.u, 24), cmap=look.MAP)
    if data.u.min() < 0 < data.u.max():
        axes.contour(x, data.ts, data.u, levels=[0.0], colors=look.ZERO, linewidths=2)
        axes.set_title("u over space and time (u = 0 thick)")
    else:
        axes.set_title("u over space and time")
    drawing.colorbar(filled, ax=axes, label="u")
    axes.set(xlabel=data.labels[0], ylabel="time t")


def _waterfall(drawing: Any, data: Sampled) -> None:
    axes = drawing.add_subplot(projection="3d")
    (x,), ts = data.axes, data.ts
    for k in reversed(some(len(ts), _MOST)):  # the last one is farthest away
        fraction = (ts[k] - ts[0]) / (ts[-1] - ts[0])
        axes.plot(x, np.full(len(x), ts[k]), data.u[k], color=look.shade(fraction), lw=1.4)
    axes.set(xlabel=data.labels[0], ylabel="time t", title="the same in relief")
    axes.set_zlabel("u")
    look.few_ticks(axes)
    axes.view_init(elev=28, azim=-68)
    axes.set_box_aspect(None, zoom=0.84)  # keeps the label of u inside
