"""Particle methods: the solution from atoms, samples and rays."""

from . import noise, paths, rules, variance
from .bsde import DeepBSDE
from .characteristics import Characteristics
from .feynman_kac import FeynmanKac
from .forward_backward import ForwardBackward
from .hopf import Hopf
from .hopf_cole import HopfCole
from .hopf_lax import HopfLax

__all__ = [
    "Characteristics",
    "DeepBSDE",
    "FeynmanKac",
    "ForwardBackward",
    "Hopf",
    "HopfCole",
    "HopfLax",
    "noise",
    "paths",
    "rules",
    "variance",
]
