"""Where u takes a value: points on a line, curves in the plane, triangles in space."""

from .joining import continued
from .parts import LevelSet, Surface
from .tracing import closed, locate, polished, trace

__all__ = ["LevelSet", "Surface", "closed", "continued", "locate", "polished", "trace"]
