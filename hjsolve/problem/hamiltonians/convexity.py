"""Whether a Hamiltonian is known to be convex in p."""

from .base import AbstractConvexHamiltonian, AbstractHamiltonian
from .drift import WithDrift
from .potential import WithPotential
from .source import WithSource


def is_convex(hamiltonian: AbstractHamiltonian) -> bool:
    """Whether H is convex in p by its type: a convex class, also under a drift, a potential or a source."""
    if isinstance(hamiltonian, WithDrift | WithPotential | WithSource):
        return is_convex(hamiltonian.hamiltonian)
    return isinstance(hamiltonian, AbstractConvexHamiltonian)
