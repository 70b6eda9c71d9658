"""Dynamic programming over steps of many cells."""

from .method import SemiLagrangian

__all__ = ["SemiLagrangian"]
