"""Whether a Hamiltonian is known to be convex in p, or concave."""

from .affine import AbstractAffine
from .base import AbstractConvexHamiltonian, AbstractHamiltonian
from .drift import WithDrift
from .freezing import Freezing
from .linear import Linear
from .potential import WithPotential
from .source import WithSource


def is_convex(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether H is convex in p by its type: a convex class, also under a drift, a potential, a source or max(·, 0).

    A control system's is where the control minimises and has no opponent.
    """
    if isinstance(hamiltonian, WithDrift | WithPotential | WithSource | Freezing):
        return is_convex(hamiltonian.hamiltonian)
    if isinstance(hamiltonian, AbstractAffine):
        return hamiltonian.disturbances is None and not hamiltonian.maximise
    return isinstance(hamiltonian, AbstractConvexHamiltonian)


def is_concave(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether H is known to be concave in p: linear, or a control that maximises and has no opponent."""
    if isinstance(hamiltonian, WithDrift | WithPotential | WithSource):
        return is_concave(hamiltonian.hamiltonian)
    if isinstance(hamiltonian, AbstractAffine):
        return hamiltonian.disturbances is None and hamiltonian.maximise
    return isinstance(hamiltonian, Linear)
