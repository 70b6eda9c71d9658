"""hjsolve: viscous Hamilton-Jacobi equations `u_t + H(t, x, ∇u) = ε Δu` in JAX.

A *problem* is solved by a *method* (grid, particle, network) into a *solution*. Names load on first use, so that
importing the package (and the command line's `--help`) costs nothing.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .lazy import lazy

if TYPE_CHECKING:
    from . import kernels as kernels
    from . import losses as losses
    from . import methods as methods
    from . import theory as theory
    from .fit import History as History
    from .fit import fit as fit
    from .problem import Box as Box
    from .problem import Problem as Problem
    from .problem import StationaryProblem as StationaryProblem
    from .problem import Target as Target
    from .problem import Torus as Torus
    from .problem import boundaries as boundaries
    from .problem import exact as exact
    from .problem import hamiltonians as hamiltonians
    from .problem import initials as initials
    from .problem import viscosities as viscosities
    from .results import RESULTS as RESULTS
    from .results import HJWarning as HJWarning
    from .solution import Solution as Solution
    from .solve import solve as solve
    from .tasks import Data as Data
    from .tasks import Recipe as Recipe
    from .weights import load_weights as load_weights
    from .weights import save_weights as save_weights

__version__ = "0.1.0"

_HOMES = {
    "Box": "problem",
    "Data": "tasks",
    "HJWarning": "results",
    "History": "fit",
    "Problem": "problem",
    "RESULTS": "results",
    "Recipe": "tasks",
    "Solution": "solution",
    "StationaryProblem": "problem",
    "Target": "problem",
    "Torus": "problem",
    "boundaries": "problem",
    "exact": "problem",
    "fit": "fit",
    "hamiltonians": "problem",
    "initials": "problem",
    "kernels": "kernels",
    "load_weights": "weights",
    "losses": "losses",
    "methods": "methods",
    "save_weights": "weights",
    "solve": "solve",
    "theory": "theory",
    "viscosities": "problem",
}

__all__ = [*sorted(_HOMES), "__version__"]


__getattr__ = lazy(__name__, _HOMES, globals())


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps `hj.solve` and `hj.fit` the functions: importing a submodule would otherwise bind the module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
