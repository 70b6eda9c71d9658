"""The comparison: each method's error against the independent reference, its cost, and the viscosity it solves with."""

from . import _style


def draw(table):
    """Errors on the left, costs in the middle, the effective viscosity on the right; one line a method."""
    drawing, (left, middle, right) = _style.figure(1, 3, size=(13.0, 3.6), sharey=True, width_ratios=(1.5, 1.2, 0.9))
    names = list(table.column("method"))
    place = range(len(names))
    for k, (column, label) in enumerate(
        (("max error u", "u, largest"), ("rms error u", "u, root mean square"), ("max error ∇u", "∇u, largest"))
    ):
        left.scatter(table.column(column), place, s=60, color=_style.CYCLE[k], marker=_style.MARKERS[k], label=label)
    left.set(xscale="log", xlabel="error against float64 NumPy", yticks=list(place), yticklabels=names)
    left.set_xlim(1e-16, 10)
    left.set_ylim(len(names) - 0.5, -0.5)
    for k, (column, label) in enumerate((("run [s]", "run"), ("compile [s]", "compile"))):
        middle.scatter(
            table.column(column), place, s=60, color=_style.CYCLE[k + 3], marker=_style.MARKERS[k + 3], label=label
        )
    middle.set(xscale="log", xlabel="seconds for one class")
    right.barh(list(place), table.column("effective ε"), height=0.5, color=_style.SKY)
    for row, epsilon in zip(place, table.column("effective ε"), strict=True):
        right.text(epsilon, row, f" {epsilon:.3g}", va="center")
    right.set(xlabel="effective ε (median)")
    right.set_xlim(0, 1.35 * max(table.column("effective ε")))
    for axes in (left, middle):
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, handletextpad=0.1)
    return drawing
