"""The closed loop of a solution: what ∇u tells a controller to do, and the paths that follow it."""

from .closed_loop import Inputs, closed_loop
from .follow import Trajectory, follow
from .guide import Guide, Meshed, guide

__all__ = ["Guide", "Inputs", "Meshed", "Trajectory", "closed_loop", "follow", "guide"]
