"""What is optimal where ∇u is known."""

import equinox as eqx
import jax.numpy as jnp

from ..problem.hamiltonians import AbstractHamiltonian, Freezing, WithPotential, WithSource
from ..problem.hamiltonians.controlled import Controlled
from ..typing import Array, Scalar, Vectors


class Inputs(eqx.Module):
    """What is done at a point: the optimal `control` `[..., k]` and `disturbance` `[..., l]`, and the `velocity`.

    `velocity` `[..., d]` is dx/ds, s = T − t. Hamiltonians without inputs (see `Controlled`) have None for both.
    """

    control: Array | None
    disturbance: Array | None
    velocity: Array


def closed_loop(hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p: Vectors) -> Inputs:
    """What is optimal at x where ∇u = p, all `[d, ...]` with the component first: a*, b* and f(t, x, a*, b*).

    For Hamiltonians without inputs the velocity is that of the characteristic, −∂H/∂p. A potential or a source changes
    the cost alone; where a value is frozen the state rests.
    """
    if isinstance(hamiltonian, WithPotential | WithSource):
        return closed_loop(hamiltonian.hamiltonian, t, x, p)
    if isinstance(hamiltonian, Freezing):
        inner = closed_loop(hamiltonian.hamiltonian, t, x, p)
        moves = hamiltonian.hamiltonian(t, x, p) > 0
        return Inputs(inner.control, inner.disturbance, jnp.where(moves, inner.velocity, 0.0))
    if not isinstance(hamiltonian, Controlled):
        return Inputs(None, None, -hamiltonian.velocity(t, x, p))
    control, disturbance = hamiltonian.control(t, x, p), hamiltonian.disturbance(t, x, p)
    return Inputs(control, disturbance, hamiltonian.dynamics(t, x, control, disturbance))
