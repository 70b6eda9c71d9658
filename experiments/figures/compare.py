"""Error against the time of a solve on problems that no training saw, one panel for each equation."""

import numpy as np

from . import _compared


def draw(table):
    """Medians over the seeds, bars from the least to the largest."""
    equations = _compared.equations(table)
    drawing, axes = _compared.panels(len(equations), sharex=True, sharey="row")
    drawing.suptitle("Waves that no training saw: networks trained from random weights beside solvers")
    for panel, equation in zip(axes, equations, strict=True):
        for method in _compared.METHODS:
            cost = _compared.values(table, equation, method, "held-out", "ms a solve")
            error = _compared.values(table, equation, method, "held-out", "L1")
            if not len(error):
                continue
            error = np.maximum(error, 1e-16)
            at, middle, colour = np.median(cost), np.median(error), _compared.COLOURS[method]
            span = [[middle - error.min()], [error.max() - middle]]
            panel.errorbar(at, middle, yerr=span, fmt="none", color=colour, capsize=3)
            look = {"color": colour, "marker": _compared.MARKERS[method], "markersize": 8, "markeredgecolor": "black"}
            panel.plot(at, middle, linestyle="none", **look, label=method)
        panel.set(xscale="log", yscale="log", title=_compared.title(equation), xlabel="time of a solve [ms]")
    for panel in axes[::3]:
        panel.set_ylabel("relative L1 error of u")
    _compared.legend(drawing, axes, 4)
    return drawing
