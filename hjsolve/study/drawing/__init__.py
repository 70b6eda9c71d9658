"""Pictures and animations of a solution on a tensor grid, one file for each dimension; nothing here solves."""

from .animate import animation, check_animation
from .picture import picture

__all__ = ["animation", "check_animation", "picture"]
