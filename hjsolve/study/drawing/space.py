"""Three dimensions: sections through the middle, and a surface on which u is constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from hjsolve.level_sets import Surface, trace

from . import look
from .plane import filled_contours
from .sampled import Sampled, levels_of

_FINEST = 48
"""Nodes per axis of the drawn surface; matplotlib sorts its triangles, so that more make it slow."""


def space(data: Sampled) -> Figure:
    """The three middle sections at the last time, and the surface u = 0 (the median where u has one sign)."""
    drawing = look.figure(11.0, 9.6)
    levels = levels_of(data.u[-1], 24)
    panels = [drawing.add_subplot(2, 2, k + 1) for k in range(3)]
    for axes, kept in zip(panels, ((0, 1), (0, 2), (1, 2)), strict=True):
        section = data.section(kept)
        filled = filled_contours(axes, section, -1, levels)
        axes.set_title(f"u at {section.title(-1)}")
    drawing.colorbar(filled, ax=panels, label="u", location="left", shrink=0.6)
    _surface(drawing.add_subplot(2, 2, 4, projection="3d"), data)
    return drawing


def _surface(axes: Any, data: Sampled) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

    u = data.u[-1]
    level = 0.0 if u.min() < 0 < u.max() else float(np.median(u))
    thin = tuple(slice(None, None, -(-n // _FINEST)) for n in u.shape)
    found = trace(tuple(axis[part] for axis, part in zip(data.axes, thin, strict=True)), u[thin], level)
    assert isinstance(found, Surface)
    if len(found.faces):
        triangles = Poly3DCollection(found.vertices[found.faces], facecolors=[look.shade(0.55)], shade=True, lw=0)
        axes.add_collection3d(triangles)
    for name, axis in zip("xyz", data.axes, strict=True):
        getattr(axes, f"set_{name}lim")(axis[0], axis[-1])
    axes.set(xlabel=data.labels[0], ylabel=data.labels[1], title=f"u = {level:.3g} at {data.title(-1)}")
    axes.set_zlabel(data.labels[2])
    look.few_ticks(axes)
    extent = np.array([np.ptp(axis) for axis in data.axes])
    axes.set_box_aspect(np.maximum(extent / extent.max(), 0.25), zoom=0.85)
