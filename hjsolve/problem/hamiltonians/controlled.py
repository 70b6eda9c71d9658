"""What a Hamiltonian knows that comes from control: its optimal inputs, and the dynamics that they steer."""

from typing import Protocol, runtime_checkable

from ...typing import Scalar, Vectors


@runtime_checkable
class Controlled(Protocol):
    """A Hamiltonian H(t, x, p) = −(p·f(t, x, a*, b*) + ℓ(t, x, a*, b*)) of a control a and a disturbance b.

    Problem time is time to go, t = T − s: u(t, x) is the value with the time t left, and the state moves by
    dx/ds = f(t, x, a*(t, x, ∇u), b*(t, x, ∇u)).
    """

    def control(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """a* `[k, ...]`, the optimal control where ∇u = p; one of the optimal ones where several are."""
        ...

    def disturbance(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """b* `[l, ...]`, the opponent's optimal input where ∇u = p; `[0, ...]` where there is no opponent."""
        ...

    def dynamics(self, t: Scalar, x: Vectors, a: Vectors, b: Vectors) -> Vectors:
        """f(t, x, a, b) `[d, ...]`."""
        ...
