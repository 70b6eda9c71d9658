"""Equations as text, for tables: `describe(problem)` reads `u_t + |∇u|² + dε/(2t) = εΔu`."""

from ..checks import concrete
from .base import Problem
from .hamiltonians import (
    AbstractHamiltonian,
    Eikonal,
    Linear,
    Power,
    Quadratic,
    WithDrift,
    WithPotential,
    WithSource,
)
from .hopf_cole import NormalisationSource
from .viscosities import AbstractViscosity, Constant, Numerical, Varying


def describe(problem: Problem) -> str:
    """The equation of a problem in one line, with its numbers where they are concrete."""
    return f"u_t + {describe_hamiltonian(problem.hamiltonian)} = {describe_viscosity(problem.viscosity)}"


def describe_hamiltonian(hamiltonian: AbstractHamiltonian) -> str:
    """H(t, x, ∇u) as text; the class name where it is not one of the library's closed forms."""
    match hamiltonian:
        case Quadratic(c=c):
            return f"{_factor(c)}|∇u|²"
        case Eikonal(speed=speed):
            return f"{_factor(speed)}|∇u|"
        case Power(c=c, exponent=exponent):
            return f"{_factor(c)}|∇u|^{_number(exponent)}"
        case Linear():
            return "b·∇u"
        case WithDrift(hamiltonian=inner):
            return f"{describe_hamiltonian(inner)} + b(t, x)·∇u"
        case WithPotential(hamiltonian=inner):
            return f"{describe_hamiltonian(inner)} − V(x)"
        case WithSource(hamiltonian=inner, source=NormalisationSource(c=c)):
            return f"{describe_hamiltonian(inner)} + dε/({_factor(2 * c)}t)"
        case WithSource(hamiltonian=inner):
            return f"{describe_hamiltonian(inner)} + f(t)"
        case _:
            return f"{type(hamiltonian).__name__}(t, x, ∇u)"


def describe_viscosity(viscosity: AbstractViscosity) -> str:
    """The second-order term as text."""
    match viscosity:
        case Constant(epsilon=epsilon):
            known = concrete(epsilon)
            return "0" if known is not None and not known.any() else f"{_factor(epsilon)}Δu"
        case Varying():
            return "ε(t, x)Δu"
        case Numerical(base=base):
            return f"{describe_viscosity(base)} + Σ ½|∂H/∂p_i|Δx_i ∂_ii u"
        case _:
            return f"{type(viscosity).__name__}(t, x, ∇u, D²u)"


def _factor(value: object) -> str:
    text = _number(value)
    return "" if text == "1" else f"{text} "


def _number(value: object) -> str:
    known = concrete(value)
    return "·" if known is None or known.ndim else f"{float(known):.4g}"
