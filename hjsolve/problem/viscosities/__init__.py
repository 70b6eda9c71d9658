"""Viscosities: the second-order term; this export list is the registry."""

from .base import AbstractViscosity, Hessian
from .constant import Constant
from .numerical import Numerical
from .varying import Varying

__all__ = ["AbstractViscosity", "Constant", "Hessian", "Numerical", "Varying"]
