"""One problem with kinks, which no network has seen the like of, as every method solves it."""

import numpy as np

from . import _compared


def draw(table):
    """One panel for each equation; in the plane the profile along the first axis."""
    equations = _compared.equations(table)
    drawing, axes = _compared.panels(len(equations), height=3.4)
    drawing.suptitle("A piecewise-linear profile at the horizon, by networks that learnt on waves")
    for number, (panel, equation) in enumerate(zip(axes, equations, strict=True)):
        found = np.asarray(table.fields[f"panels_{number}"])
        if equation[2] == 2:
            cells = round(found.shape[1] ** 0.5)
            found = found.reshape(-1, cells, cells)[:, :, cells // 2]
        methods = table.attrs(f"panels_{number}")["methods"]
        x = -np.pi + 2 * np.pi / found.shape[1] * np.arange(found.shape[1])
        for name, u in zip(methods, found, strict=True):
            if name in ("u at 0", "reference"):
                panel.plot(x, u, color="black", linewidth=1.6, linestyle=":" if name == "u at 0" else "-", label=name)
            elif name in _compared.NETWORKS or name == "Upwind":
                panel.plot(x, u, color=_compared.COLOURS[name], linewidth=1.2, linestyle="--", label=name)
        known = found[[methods.index("u at 0"), methods.index("reference")]]
        room = 0.2 * np.ptp(known)  # what is unstable leaves the panel
        panel.set_ylim(known.min() - room, known.max() + room)
        panel.set(title=_compared.title(equation), xlabel="x" if equation[2] == 1 else "x₁, at x₂ = 0")
    for panel in axes[::3]:
        panel.set_ylabel("u")
    _compared.legend(drawing, axes, 3)
    return drawing
