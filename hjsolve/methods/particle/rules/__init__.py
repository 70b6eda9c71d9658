"""Rules: ways to compute the Hopf-Cole integral of data that are a function."""

from .base import AbstractRule
from .hermite import GaussHermite
from .panels import GaussPanels
from .piecewise_linear import PiecewiseLinear
from .sampled import Sampled
from .trapezoid import Cloud, Trapezoid, given

__all__ = ["AbstractRule", "Cloud", "GaussHermite", "GaussPanels", "PiecewiseLinear", "Sampled", "Trapezoid", "given"]
