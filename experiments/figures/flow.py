"""Logits of trained flows over the plane, and the characteristics that carry them."""

import numpy as np

from . import _style


def draw(table):
    """One panel for each kind of cell: the logit of one digit and paths from points (dots) to where they are read."""
    kinds = list(dict.fromkeys(table.column("cell")))
    drawing, axes = _style.figure(1, len(kinds), (4.4 * len(kinds), 4.2), squeeze=False)
    digit = table.config["shown_class"]
    drawing.suptitle(f"Flows trained on handwritten digits: the logit of {digit} is transported along their paths")
    for panel, kind in zip(axes[0], kinds, strict=True):
        u, about = np.asarray(table.fields[f"u_{kind}"]), table.attrs(f"u_{kind}")
        x, y = (np.linspace(a, b, n) for a, b, n in zip(about["low"], about["high"], u.shape, strict=True))
        filled = panel.contourf(x, y, u.T, levels=15, cmap="cividis")
        drawing.colorbar(filled, ax=panel, shrink=0.85, label=f"logit of {digit}")
        for path in np.asarray(table.fields[f"paths_{kind}"]):
            panel.plot(*path.T, color="white", linewidth=0.8)
            panel.plot(*path[0], "o", color="white", markersize=2.5)
        panel.set(title=f"{kind} cells", xlabel="first PCA coordinate", aspect="equal")
        panel.grid(visible=False)
    axes[0, 0].set_ylabel("second PCA coordinate")
    return drawing
