"""Which picture a solution gets: by its dimension."""

from __future__ import annotations

from matplotlib.figure import Figure

from .line import line
from .plane import plane
from .sampled import Sampled
from .space import space


def picture(data: Sampled) -> Figure:
    """Draw a solution in any dimension; beyond three, its section through the middle of the last axes."""
    d = len(data.axes)
    if d > 3:
        return plane(data.section((0, 1)))
    return (line, plane, space)[d - 1](data)
