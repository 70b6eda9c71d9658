"""Errors of a flow's forward pass and of a grid against the equation that both discretize."""

import numpy as np

from . import _style

PANELS = (("network, steps a layer", "Euler steps a layer", 1), ("WENO5, cells an axis", "cells per axis", None))


def draw(table):
    """Left: the network against the steps that it takes for a layer, of order 1; right: the grid against its cells."""
    kinds = list(dict.fromkeys(table.column("cell")))
    drawing, axes = _style.figure(1, 2, (9.0, 4.0), sharey=True)
    drawing.suptitle("The equation read off a trained network, solved by the network and by a grid")
    colours = (_style.BLUE, _style.VERMILLION, _style.GREEN)
    for panel, (method, label, order) in zip(axes, PANELS, strict=True):
        starts = []
        for kind, colour, marker in zip(kinds, colours, _style.MARKERS, strict=False):
            rows = [row for row in table.rows if row["cell"] == kind and row["method"] == method]
            sizes, errors = (np.array([row[c] for row in rows], dtype=float) for c in ("size", "mean error"))
            panel.loglog(sizes, errors, color=colour, marker=marker, label=f"{kind} cells")
            starts.append(errors[0])
        if order is not None:
            panel.loglog(sizes, starts[0] * (sizes / sizes[0]) ** -order, "k--", linewidth=1, label=f"order {order}")
        panel.set(xlabel=label, xticks=sizes, xticklabels=[f"{n:g}" for n in sizes])
        panel.xaxis.minorticks_off()
        panel.legend(frameon=False)
    axes[0].set_ylabel("mean error of u, relative to its range")
    return drawing
