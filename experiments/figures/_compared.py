"""What the figures of the comparison share: its equations, its methods and their colours."""

import numpy as np

from . import _style

METHODS = ("Upwind", "WENO5", "Propagator", "HopfCole", "ResidualStepper", "Attention", "SSM")
COLOURS = {
    "Upwind": _style.GREY,
    "WENO5": _style.SKY,
    "Propagator": _style.GREEN,
    "HopfCole": _style.YELLOW,
    "ResidualStepper": _style.BLUE,
    "Attention": _style.VERMILLION,
    "SSM": _style.PURPLE,
}
MARKERS = dict(zip(METHODS, _style.MARKERS, strict=True))
FORMULAS = {"quadratic": "|p|²", "eikonal": "|p|", "cosine": "−cos(p + 1)"}
NETWORKS = ("ResidualStepper", "Attention", "SSM")


def equations(table):
    """(H, ε, d) in the order of the run."""
    return list(dict.fromkeys((row["H"], row["ε"], row["d"]) for row in table.rows))


def title(equation):
    """H, ε and d as a panel's title."""
    name, epsilon, d = equation
    return f"H = {FORMULAS[name]}, ε = {epsilon:g}" + (f", d = {d}" if d > 1 else "")


def values(table, equation, method, condition, column):
    """One number for each seed; none where the method does not apply."""
    chosen = [
        row[column]
        for row in table.rows
        if (row["H"], row["ε"], row["d"]) == equation and row["method"] == method and row["condition"] == condition
    ]
    return np.array([value for value in chosen if value is not None], dtype=float)


def panels(count, width=4.2, height=3.6, **options):
    """As many axes as there are equations, three a row; those left over are hidden."""
    columns = min(count, 3)
    rows = -(-count // columns)
    size = (max(width * columns, 8.5), height * rows + 1.1)  # wide enough for a title and a legend of four columns
    drawing, grid = _style.figure(rows, columns, size, squeeze=False, **options)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_visible(False)
    return drawing, axes[:count]


def legend(drawing, axes, columns):
    """One legend below for all panels, each label once."""
    handles = {
        label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    drawing.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)
