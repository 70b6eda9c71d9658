"""One look for every figure: colour-blind-safe colours (Okabe and Ito), light axes, readable sizes."""

import matplotlib as mpl
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#666666",
)  # fmt: skip
CYCLE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=CYCLE),
}


def figure(rows=1, columns=1, size=(8.0, 4.5), **options):
    """A figure with a grid of axes in the house style; no pyplot state."""
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=size, layout="constrained")
        axes = drawing.subplots(rows, columns, **options)
    return drawing, axes
