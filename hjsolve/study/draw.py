"""The picture of an ad-hoc solution: curves in one dimension, filled contours in two."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def picture(ts: Array, points: Array, u: Array) -> Figure | None:
    """Draw u `[s, m]` at points `[m, d]` of a tensor grid; None where d > 2."""
    draw = {1: _curves, 2: _contours}.get(points.shape[1])
    return None if draw is None else draw(ts, points, u)


def _curves(ts: Array, points: Array, u: Array) -> Figure:
    from matplotlib import colormaps

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    order = np.argsort(points[:, 0])
    for t, values, shade in zip(ts, u, np.linspace(0.1, 0.85, len(ts)), strict=True):
        axes.plot(points[order, 0], values[order], color=colormaps["viridis"](shade), label=f"t = {t:g}")
    axes.set(xlabel="x", ylabel="u(t, x)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=min(len(ts), 5), frameon=False)
    return figure


def _contours(ts: Array, points: Array, u: Array) -> Figure:
    x, y = np.unique(points[:, 0]), np.unique(points[:, 1])
    height = 5.0 * np.clip(np.ptp(y) / np.ptp(x), 0.2, 2.0)  # as tall as the domain, so that the colour bar fits it
    figure = Figure(figsize=(6.4, height + 0.8), layout="constrained")
    axes = figure.add_subplot()
    order = np.lexsort((points[:, 1], points[:, 0]))
    filled = axes.contourf(x, y, u[-1][order].reshape(len(x), len(y)).T, levels=24, cmap="viridis")
    figure.colorbar(filled, ax=axes, label="u")
    axes.set(xlabel="x₁", ylabel="x₂", title=f"u at t = {ts[-1]:g}")
    axes.set_aspect("equal")
    return figure
