"""The initial data read off the weights: each class is a cloud of atoms y_j with energies g_j."""

import numpy as np

from . import _style


def draw(table):
    """Ten panels, one a digit, sharing axes and colours."""
    drawing, grid = _style.figure(2, 5, size=(13.0, 5.6), sharex=True, sharey=True)
    atoms, energies = table.fields["atoms"], table.fields["energies"]
    low, high = np.percentile(energies, [2, 98])
    for digit, axes in enumerate(grid.flat):
        y, g = atoms[digit], energies[digit]
        drawn = axes.scatter(*y.T, c=g, s=45, cmap="cividis", vmin=low, vmax=high, edgecolors="k", linewidths=0.4)
        axes.set_title(f"digit {digit}")
        axes.set_aspect("equal")
    for axes in grid[-1]:
        axes.set_xlabel("y, first component")
    for axes in grid[:, 0]:
        axes.set_ylabel("y, second component")
    drawing.colorbar(drawn, ax=grid, label="initial data g(y): low attracts", extend="both", shrink=0.9)
    drawing.suptitle("Initial data of the ten equations: atoms y = 2tW with g = −b − t|W|²")
    return drawing
