"""Initial data; this export list is the registry."""

from .atoms import Atoms
from .base import AbstractInitial
from .cosine import Cosine
from .custom import Custom
from .gridded import Gridded
from .log_sum_exp import LogSumExp
from .norm import Norm
from .quadratic import Quadratic

__all__ = ["AbstractInitial", "Atoms", "Cosine", "Custom", "Gridded", "LogSumExp", "Norm", "Quadratic"]
