"""Where the layer's answer rests on one atom and where on many: the entropy of its Gibbs weights."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from . import _style


def draw(table):
    """Entropy of the attribution over the plane for one class, with its atoms and test digits."""
    points, entropy = table.fields["map_points"], table.fields["entropy"]
    digit = table.config["shown_class"]
    atoms, test = table.fields["atoms"][digit], table.fields["test_points"]
    test = test[table.fields["test_labels"] == digit]
    drawing, axes = _style.figure(size=(7.6, 5.6))
    top = np.log(table.config["units"])
    levels = MaxNLocator(14).tick_values(0, entropy.max())
    drawn = axes.contourf(points[..., 0], points[..., 1], entropy, levels=levels, cmap="magma")
    axes.scatter(*test.T, s=26, color="white", marker=f"${digit}$", linewidths=0, label=f"test digits {digit}")
    axes.scatter(*atoms.T, s=30, color=_style.SKY, edgecolors="k", linewidths=0.5, label="atoms")
    axes.set(xlabel="first principal component", ylabel="second principal component")
    axes.set_title(f"Digit {digit}: attribution entropy ({np.exp(top):.0f} equal atoms: {top:.2f})")
    axes.set_xlim(points[..., 0].min(), points[..., 0].max())
    axes.set_ylim(points[..., 1].min(), points[..., 1].max())
    axes.set_aspect("equal")
    axes.grid(False)
    axes.legend(loc="upper right", framealpha=0.8, facecolor="#555555", labelcolor="white")
    drawing.colorbar(drawn, ax=axes, label="S(π(x)) [nats]")
    return drawing
