"""Errors of the finite-difference schemes against Δx before kinks form, one panel for each dimension."""

import numpy as np

from . import _style

AXES = {"Δx": ("cells", "Δx / period"), "Δt": ("steps", "Δt / horizon")}
LEGEND = "scheme (theory, dotted)\nnumbers: order observed"


def draw(table):
    """One row of panels."""
    schemes = ("Upwind", "ENO2", "ENO3", "WENO3", "WENO5", "WENOZ")
    return panels(table, "u_t + ½(Σ∂u/∂x_i + 1)² = 0 before kinks form", [schemes], height=4.6)


def panels(table, title, groups, height):
    """One row of panels for each group of schemes, one column for each dimension; what was not run is left out."""
    present = set(table.column("scheme"))
    groups = [group for group in ([name for name in group if name in present] for group in groups) if group]
    dimensions = sorted(set(table.column("d")))
    count = max(len(groups), 1)
    size = (1.8 + 3.7 * len(dimensions), height * count)
    drawing, grid = _style.figure(count, len(dimensions), size, squeeze=False, sharex="row", sharey="row")
    drawing.suptitle(title if groups else f"{title}: none of these schemes was run")
    for line, group in zip(grid, groups, strict=False):
        curves = [[_rows(table, scheme, d) for scheme in group] for d in dimensions]
        for axes, d, column in zip(line, dimensions, curves, strict=True):
            for k, rows in enumerate(column):
                if rows:  # an interrupted run lacks some
                    _curve(axes, rows, k)
            axes.set_title(f"d = {d}")
        _label(line, [rows for column in curves for rows in column if rows])
    return drawing


def _rows(table, scheme, d):
    return [row for row in table.rows if row["scheme"] == scheme and row["d"] == d]


def _curve(axes, rows, k):
    """The errors of one scheme; from the last one above rounding a line of the theory's slope, and the order there."""
    count = AXES[rows[0]["refined"]][0]
    step, error = np.array([[1 / row[count], row["mean error"]] for row in rows]).T
    theory, look = rows[0]["theory"], {"color": _style.CYCLE[k], "linewidth": 1.2}
    label = f"{rows[0]['scheme']} ({theory or 'exponential'})"
    axes.loglog(step, error, _style.MARKERS[k], color=_style.CYCLE[k], markersize=5, label=label)
    ordered = [number for number, row in enumerate(rows) if row["order"] is not None]
    if theory is None:
        axes.loglog(step, error, **look)
    elif ordered:
        last = ordered[-1]
        axes.loglog(step, error[last] * (step / step[last]) ** theory, ":", **look)
        axes.annotate(
            f"{rows[last]['order']:.2f}", (step[last], error[last]), (-7, 0), textcoords="offset points",
            ha="right", va="center", color=_style.CYCLE[k], fontsize=8,
        )  # fmt: skip


def _label(line, curves):
    """Axes, ticks at the counts of the first scheme, and room for the numbers beside the finest points."""
    count, name = AXES[curves[0][0]["refined"]]
    ticks = sorted({row[count] for rows in curves if rows[0]["scheme"] == curves[0][0]["scheme"] for row in rows})
    low, high = line[0].get_xlim()
    line[0].set_xlim(low / 1.9, high)
    line[0].set_xticks([1 / n for n in ticks], [f"1/{n}" for n in ticks])
    line[0].set_xticks([], minor=True)
    line[0].set_ylabel("mean |error| of u")
    for axes in line:
        axes.set_xlabel(name)
    look = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "alignment": "left", "frameon": False}
    line[-1].legend(*line[0].get_legend_handles_labels(), title=LEGEND, **look)
