"""hjsolve: viscous Hamilton-Jacobi equations `u_t + H(t, x, ∇u) = ε Δu` in JAX.

A *problem* is solved by a *method* (grid, particle, network) into a *solution*. Names load on first use, so that
importing the package (and the command line's `--help`) costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .problem import Box, Problem, Torus, boundaries, exact, hamiltonians, initials, viscosities

__version__ = "0.1.0"

_HOMES = {
    "RESULTS": "results",
    "HJWarning": "results",
    "Solution": "solution",
    "methods": "methods",
    "solve": "solve",
    "Box": "problem",
    "Problem": "problem",
    "Torus": "problem",
    "boundaries": "problem",
    "exact": "problem",
    "hamiltonians": "problem",
    "initials": "problem",
    "viscosities": "problem",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hjsolve' has no attribute {name!r}. It has: {', '.join(__all__)}.")
    home = import_module(f".{_HOMES[name]}", __name__)
    value = home if home.__name__ == f"{__name__}.{name}" and not hasattr(home, name) else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
