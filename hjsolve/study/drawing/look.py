"""One look: colours that colour-blind readers tell apart (viridis; Okabe and Ito), light axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

MAP = "viridis"
ZERO = "#D55E00"
"""Of the zero level."""


def figure(width: float, height: float) -> Figure:
    """An empty figure whose parts keep clear of each other."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))


def shade(fraction: float) -> Any:
    """A colour for a time, dark at first; the palest end of the map is left out: it fades on white."""
    return colormaps[MAP](0.9 * fraction)


def times_bar(drawing: Figure, axes: Any, ts: np.ndarray[Any, Any]) -> None:
    """A colour bar for curves coloured by `shade` of their time."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    shades = ListedColormap([shade(f) for f in np.linspace(0, 1, 256)])
    drawing.colorbar(ScalarMappable(Normalize(ts[0], ts[-1]), shades), ax=axes, label="time t")


def few_ticks(axes: Any) -> None:
    """So few ticks on axes in space that their labels keep clear of each other."""
    from matplotlib.ticker import MaxNLocator

    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(4))
    axes.zaxis.labelpad = 6
