"""The solution u(t, x) that one class's weights carry, from its atoms to the layer's own time."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from . import _style


def draw(table):
    """Four times side by side on one colour scale each, with the atoms."""
    u, points = table.fields["u"], table.fields["map_points"]
    times = table.attrs("u")["t"]
    digit = table.config["shown_class"]
    atoms = table.fields["atoms"][digit]
    drawing, row = _style.figure(1, len(times), size=(14.5, 4.0), sharey=True)
    for axes, t, values in zip(row, times, u, strict=True):
        levels = MaxNLocator(14).tick_values(values.min(), np.percentile(values, 97))
        drawn = axes.contourf(points[..., 0], points[..., 1], values, levels=levels, cmap="viridis", extend="max")
        axes.contour(points[..., 0], points[..., 1], values, levels=levels, colors="w", linewidths=0.3)
        axes.scatter(*atoms.T, s=14, color=_style.VERMILLION, edgecolors="w", linewidths=0.4)
        axes.set(title=f"t = {t:g}", xlabel="first component")
        axes.set_xlim(points[..., 0].min(), points[..., 0].max())
        axes.set_ylim(points[..., 1].min(), points[..., 1].max())
        axes.grid(False)
        drawing.colorbar(drawn, ax=axes, label="u(t, x)", location="bottom", shrink=0.9, ticks=levels[1::3])
    row[0].set_ylabel("second component")
    drawing.suptitle(f"Digit {digit}: the Hopf-Cole solution read off the trained layer (red: its atoms)")
    return drawing
