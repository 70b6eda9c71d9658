"""Where trained networks still hold: other data, grids, horizons and viscosities."""

import numpy as np
from matplotlib.colors import LogNorm

from . import _compared, _style

CONDITIONS = ("held-out", "kinks", "shocks", "finer grid", "twice the horizon", "twice the viscosity")


LABELS = {
    "finer grid": "half the\nspacing *",
    "twice the horizon": "twice the\nhorizon",
    "twice the viscosity": "twice the\nviscosity *",
}


def draw(table):
    """One row for each equation and network, one column for each condition: median relative L1 over the seeds."""
    names, rows = [], []
    for equation in _compared.equations(table):
        for network in _compared.NETWORKS:
            found = [_compared.values(table, equation, network, condition, "L1") for condition in CONDITIONS]
            if len(found[0]):
                names.append(f"{network}\n{_compared.title(equation)}")
                rows.append([np.median(values) if len(values) else np.nan for values in found])
    drawing, axes = _style.figure(size=(10.0, 1.8 + 0.62 * max(len(rows), 1)))
    drawing.suptitle("Trained networks: learnt on waves, asked elsewhere (* through the equation read off the weights)")
    table_of = np.ma.masked_invalid(np.array(rows, dtype=float).reshape(-1, len(CONDITIONS)))
    shown = axes.imshow(np.clip(table_of, 1e-4, 1.0), norm=LogNorm(1e-4, 1.0), cmap="cividis", aspect="auto")
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            text = _text(value)
            dark = not np.isnan(value) and value < 0.02
            axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(CONDITIONS)), [LABELS.get(condition, condition) for condition in CONDITIONS])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.grid(visible=False)
    drawing.colorbar(shown, ax=axes, label="relative L1 error of u", shrink=0.8)
    return drawing


def _text(value):
    if np.isnan(value):
        return "n/a"
    if value > 10:
        return "> 1000 %"
    return f"{100 * value:.2g} %" if value < 0.995 else f"{100 * value:.0f} %"
