"""The trained classifiers: loss by step, and the decisions in the plane of the first two principal components."""

import numpy as np
from matplotlib.colors import ListedColormap

from . import _style

DIGIT_COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#999999", "#7F4F24", "#332288",
)  # fmt: skip


def draw(table):
    """Loss curves on the left, decision map with the test digits on the right."""
    drawing, (left, right) = _style.figure(1, 2, size=(11.5, 5.0), width_ratios=(1, 1.25))
    results = {row["network"]: row for row in table.metrics if "test_error" in row}
    for k, (network, label) in enumerate((("plane", "2 dimensions"), ("full", "{} dimensions"))):
        rows = [row for row in table.metrics if row["network"] == network and "loss" in row]
        result = results[network]
        text = f"{label.format(result['dimensions'])}: test error {result['test_error']:.1%}"
        step, loss = [row["step"] for row in rows], np.array([row["loss"] for row in rows])
        left.semilogy(step, loss, color=_style.CYCLE[k], alpha=0.25)
        smooth = np.convolve(np.pad(loss, 5, mode="edge"), np.ones(11) / 11, mode="valid")
        left.semilogy(step, smooth, color=_style.CYCLE[k], label=text)
    left.set(
        xlabel="training step", ylabel="cross-entropy of the batch [nats]", title="Training (smoothed over 110 steps)"
    )
    left.legend(loc="center right", frameon=False)

    points, decision = table.fields["map_points"], table.fields["decision"]
    colours = ListedColormap(DIGIT_COLOURS)
    right.pcolormesh(
        points[..., 0], points[..., 1], decision, cmap=colours, vmin=-0.5, vmax=9.5, alpha=0.35, shading="nearest"
    )
    test, labels = table.fields["test_points"], table.fields["test_labels"]
    for digit in range(10):
        chosen = test[labels == digit]
        right.scatter(*chosen.T, s=34, color=DIGIT_COLOURS[digit], marker=f"${digit}$", linewidths=0.4, edgecolors="k")
    right.set(xlabel="first principal component", ylabel="second principal component")
    right.set_title("Decided class (colour) and the test digits")
    right.set_aspect("equal")
    right.grid(False)
    return drawing
