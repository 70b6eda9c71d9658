"""The Hamiltonian and the viscosity that each trained network solves, measured from its steps, beside the true ones."""

import numpy as np

from . import _compared

TRUE = {"quadratic": np.square, "eikonal": np.abs, "cosine": lambda p: -np.cos(p + 1)}


def draw(table):
    """One panel for each equation, along the first axis of slopes, a line a seed; the legend has the median ε."""
    equations = _compared.equations(table)
    drawing, axes = _compared.panels(len(equations), height=3.9)
    drawing.suptitle("Measured Hamiltonians of trained networks, at the slopes that their steps were asked")
    for number, (panel, equation) in enumerate(zip(axes, equations, strict=True)):
        slopes = []
        for network in _compared.NETWORKS:
            epsilon = _compared.values(table, equation, network, "held-out", "ε measured")
            for seed in range(len(epsilon)):
                if f"curve_{network}_{number}_{seed}" not in table.fields:
                    continue
                p, curve = np.asarray(table.fields[f"curve_{network}_{number}_{seed}"])
                slopes.append(p)
                label = f"{network}: ε = {np.median(epsilon):.3g}" if seed == 0 else None
                panel.plot(p, curve, color=_compared.COLOURS[network], linewidth=1.1, alpha=0.9, label=label)
        if slopes:
            p = np.linspace(np.min(slopes), np.max(slopes), 201)
            true = TRUE[equation[0]](p)
            panel.plot(p, true, "k--", linewidth=1.4, label=f"true: ε = {equation[1]:g}")
            reach = np.ptp(true)  # what was learnt badly leaves the panel
            panel.set_ylim(true.min() - 0.25 * reach, true.max() + 0.4 * reach)
        panel.set(title=_compared.title(equation), xlabel="slope p" if equation[2] == 1 else "slope p₁, others 0")
        panel.legend(frameon=False, fontsize=8, loc="best")
    for panel in axes[::3]:
        panel.set_ylabel("H(p)")
    return drawing
