"""The identity's error, the equation's residual with and without its source, and the tropical limit."""

import numpy as np

from . import _style


def draw(table):
    """Three panels from the `identity` table."""
    drawing, (left, middle, right) = _style.figure(1, 3, size=(13.0, 4.2))
    d, epsilon = table.column("d"), table.column("ε")
    for k, value in enumerate(sorted(set(epsilon))):
        rows = epsilon == value
        mark = {"marker": _style.MARKERS[k], "color": _style.CYCLE[k], "label": f"ε = {value:g}"}
        left.semilogy(d[rows], table.column("identity")[rows], **mark)
        middle.semilogy(d[rows], table.column("bare residual")[rows], **mark)
        middle.semilogy(d[rows], table.column("residual")[rows], **{**mark, "label": None}, linestyle=":")
    left.axhline(1e-12, color=_style.GREY, linestyle="--", linewidth=1)
    left.text(d.max(), 1.3e-12, "bound 1e-12", ha="right", va="bottom", color=_style.GREY)
    left.set(xlabel="dimension d", ylabel="largest error", title="f(x) + u(t, x) = |x|²/4t", ylim=(1e-16, 1e-11))
    left.legend(loc="lower right", ncols=2)
    middle.set(xlabel="dimension d", ylabel="largest residual", title="Residual: bare sum (solid), with dε/2t (dotted)")
    middle.set_ylim(1e-17, 1e4)
    middle.legend(loc="upper left", ncols=2)
    _tropical(right, table)
    for axes in (left, middle):
        axes.set_xticks(sorted(set(d)))
    return drawing


def _tropical(axes, table):
    epsilons = np.array(table.config["tropical"])
    errors, slopes = table.fields["tropical_error"], table.fields["tropical_slope_all"]
    dimensions = table.config["dimensions"]
    shown = sorted({0, len(dimensions) // 2, len(dimensions) - 1})
    for k, index in enumerate(shown):
        label = f"d = {dimensions[index]}, slope {slopes[index]:.3f}"
        axes.loglog(epsilons, errors[index], color=_style.CYCLE[k], marker=_style.MARKERS[k], label=label)
    axes.loglog(epsilons, epsilons * np.log(table.config["units"]), "--", color=_style.GREY, label="bound ε log N")
    axes.loglog(epsilons, epsilons * np.log(2), ":", color=_style.GREY, label="two tied units: ε log 2")
    axes.set(xlabel="temperature ε", ylabel="max |f_ε − f_0| on cell boundaries", title="Tropical limit")
    axes.legend(loc="upper left")
