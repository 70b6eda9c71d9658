"""Training losses of the deep-BSDE benchmarks, and the relative error that each method ends with."""

import numpy as np

from . import _style


def draw(table):
    """Two panels from the `bsde` table."""
    drawing, (left, right) = _style.figure(1, 2, size=(11.5, 4.4))
    equation, method, error = (table.column(name) for name in ("equation", "method", "relative error"))
    names = list(dict.fromkeys(equation))
    for k, name in enumerate(names):
        rows = [row for row in table.metrics if row.get("case") == name]
        left.semilogy([row["step"] for row in rows], [row["loss"] for row in rows], color=_style.CYCLE[k], label=name)
    left.set(xlabel="training step", ylabel="mean of |Y_T − g(X_T)|²")
    left.set_title("Loss")
    left.set_ylim(top=300 * left.get_ylim()[1])  # room for the legend
    left.legend(frameon=False, fontsize=8, ncols=2, loc="upper right")
    for k, kind in enumerate(("DeepBSDE", "FeynmanKac", "HopfCole")):
        rows = method == kind
        places = np.array([names.index(name) for name in equation[rows]])
        right.semilogx(error[rows], places + 0.18 * (k - 1), _style.MARKERS[k], color=_style.CYCLE[k], label=kind)
    right.axvline(2e-3, color=_style.GREY, linestyle="--", linewidth=1)
    right.text(2.1e-3, len(names) - 0.35, "2e-3", ha="left", color=_style.GREY)
    right.set_yticks(range(len(names)), names)
    right.set(xlabel="relative error of u(1, 0)", ylim=(len(names) - 0.2, -0.8))
    right.set_title("Error")
    right.legend(frameon=False)
    return drawing
