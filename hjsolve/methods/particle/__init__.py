"""Particle methods: the solution from atoms, samples and rays. Names load on first use (diffrax takes a second)."""

from typing import TYPE_CHECKING

from ...lazy import lazy

if TYPE_CHECKING:
    from . import noise as noise
    from . import paths as paths
    from . import rules as rules
    from . import variance as variance
    from .bsde import DeepBSDE as DeepBSDE
    from .characteristics import Characteristics as Characteristics
    from .feynman_kac import FeynmanKac as FeynmanKac
    from .forward_backward import ForwardBackward as ForwardBackward
    from .hopf import Hopf as Hopf
    from .hopf_cole import HopfCole as HopfCole
    from .hopf_lax import HopfLax as HopfLax

_HOMES = {
    "Characteristics": "characteristics",
    "DeepBSDE": "bsde",
    "FeynmanKac": "feynman_kac",
    "ForwardBackward": "forward_backward",
    "Hopf": "hopf",
    "HopfCole": "hopf_cole",
    "HopfLax": "hopf_lax",
    "noise": "noise",
    "paths": "paths",
    "rules": "rules",
    "variance": "variance",
}

__all__ = sorted(_HOMES)

__getattr__ = lazy(__name__, _HOMES, globals())


def __dir__() -> list[str]:
    return list(__all__)
