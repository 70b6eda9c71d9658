"""Logits of trained flows over the plane of inputs, and the characteristics that carry them."""

import numpy as np

from . import _style


def draw(table):
    """A column for each kind of cell. Above, the logit of one digit; below, paths to the states that are read."""
    kinds = list(dict.fromkeys(table.column("cell")))
    drawing, axes = _style.figure(2, len(kinds), (4.2 * len(kinds) + 1, 7.4), squeeze=False)
    digit = table.config["shown_class"]
    drawing.suptitle(f"Flows trained on handwritten digits: the logit of {digit} is carried along paths")
    for (above, below), kind in zip(axes.T, kinds, strict=True):
        u, about = np.asarray(table.fields[f"u_{kind}"]), table.attrs(f"u_{kind}")
        x, y = (np.linspace(a, b, n) for a, b, n in zip(about["low"], about["high"], u.shape, strict=True))
        filled = above.contourf(x, y, u.T, levels=15, cmap="cividis")
        drawing.colorbar(filled, ax=above, label=f"logit of {digit}")
        above.set(title=f"{kind} cells", xlabel="first PCA coordinate")
        above.grid(visible=False)
        paths = np.asarray(table.fields[f"paths_{kind}"])
        for path in paths:
            below.plot(*path.T, color=_style.GREY, linewidth=0.8)
        below.plot(*paths[:, 0].T, "o", color="black", markersize=3, label="input")
        below.plot(*paths[:, -1].T, "o", color=_style.VERMILLION, markersize=3, label="last state")
        below.set(xlabel="first state")
    axes[0, 0].set_ylabel("second PCA coordinate")
    axes[1, 0].set_ylabel("second state")
    axes[1, 0].legend(frameon=False, fontsize=8, loc="best")
    return drawing
