"""The identity's error, the equation's residual with and without its source, and the tropical limit."""

import numpy as np

from . import _style


def draw(table):
    """Three panels from the `identity` table."""
    drawing, (left, middle, right) = _style.figure(1, 3, size=(13.0, 4.2))
    d, epsilon = table.column("d"), table.column("ε")
    for k, value in enumerate(sorted(set(epsilon))):
        rows = epsilon == value
        mark = {"marker": _style.MARKERS[k], "color": _style.CYCLE[k], "markersize": 5}
        left.semilogy(d[rows], table.column("identity")[rows], **mark, label=f"ε = {value:g}")
        middle.semilogy(d[rows], table.column("bare residual")[rows], **mark)
        middle.semilogy(d[rows], table.column("residual")[rows], **mark, linestyle=":")
    left.axhline(1e-12, color=_style.GREY, linestyle="--", linewidth=1)
    left.text(d.max(), 1.3e-12, "required: 1e-12", ha="right", va="bottom", color=_style.GREY)
    left.set(xlabel="dimension d", ylabel="largest error", ylim=(1e-16, 1e-11))
    left.set_title("Layer + solution = |x|²/4t")
    left.legend(loc="lower right", ncols=2, frameon=False)
    centre = (min(d) + max(d)) / 2
    middle.text(centre, 1e-4, "u_N in the bare equation: off by dε/2t", ha="center", va="top", color=_style.GREY)
    middle.text(centre, 1e-12, "with the source dε/2t: round-off", ha="center", color=_style.GREY)
    middle.set(xlabel="dimension d", ylabel="largest |residual|", ylim=(1e-17, 1e4))
    middle.set_title("Residual of the PDE (colours as left)")
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
        mark = {"marker": _style.MARKERS[k], "color": _style.CYCLE[k], "markersize": 5}
        axes.loglog(epsilons, errors[index], **mark, label=f"d = {dimensions[index]}: slope {slopes[index]:.2f}")
    axes.loglog(epsilons, epsilons * np.log(table.config["units"]), "--", color=_style.GREY, label="bound ε log N")
    axes.loglog(epsilons, epsilons * np.log(2), ":", color=_style.GREY, label="two tied units: ε log 2")
    axes.set(xlabel="temperature ε", ylabel=r"max $|f_\varepsilon - f_0|$ on cell boundaries")
    axes.set_title("Tropical limit")
    axes.legend(loc="upper left", frameon=False)
