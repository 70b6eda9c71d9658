"""What is drawn: u on a tensor grid at the saved times, and its sections."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from hjsolve.tensor_grid import recognise

Array = np.ndarray[Any, Any]
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Sampled(NamedTuple):
    """`ts` `[s]`, `u` `[s, n_1, ..., n_d]` and `gradient` `[s, n_1, ..., n_d, d]` on `axes` with `labels`.

    `where` says which section of more dimensions this is; it is empty for the whole.
    """

    ts: Array
    axes: tuple[Array, ...]
    labels: tuple[str, ...]
    u: Array
    gradient: Array
    where: str = ""

    def section(self, kept: tuple[int, ...]) -> Sampled:
        """The part on the axes `kept`, through the middle of the others (the node next to it)."""
        cut = [k for k in range(len(self.axes)) if k not in kept]
        middle = {k: len(self.axes[k]) // 2 for k in cut}
        index = tuple(middle.get(k, slice(None)) for k in range(len(self.axes)))
        return Sampled(
            self.ts,
            tuple(self.axes[k] for k in kept),
            tuple(self.labels[k] for k in kept),
            self.u[(slice(None), *index)],
            self.gradient[(slice(None), *index)][..., list(kept)],
            ", ".join(f"{self.labels[k]} = {self.axes[k][middle[k]]:.3g}" for k in cut),
        )

    def title(self, k: int) -> str:
        """Which time the k-th picture shows, and which section."""
        return f"t = {self.ts[k]:.4g}" + (f", {self.where}" if self.where else "")


def sampled(ts: Array, points: Array, u: Array, gradient: Array) -> Sampled | None:
    """Arrange values at points `[m, d]`; None where they form no tensor grid or an axis is one point."""
    grid = recognise(points)
    if grid is None or min(grid.shape) < 2:
        return None
    d = len(grid.axes)
    labels = ("x",) if d == 1 else tuple(f"x{k + 1}".translate(SUBSCRIPTS) for k in range(d))
    return Sampled(ts, grid.axes, labels, grid.arrange(u), grid.arrange(gradient))


def some(count: int, most: int) -> Array:
    """At most `most` of 0..count−1, evenly spread, both ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def levels_of(u: Array, count: int) -> Array:
    """Round levels that cover the range of u, increasing also where u is constant."""
    from matplotlib.ticker import MaxNLocator

    low, high = float(u.min()), float(u.max())
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-30):
        return np.array([low - 0.5, low, low + 0.5])
    return np.asarray(MaxNLocator(count).tick_values(low, high))
