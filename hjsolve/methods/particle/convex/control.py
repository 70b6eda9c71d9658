"""H(p) = max_a p·Ba − ℓ(a): a convex Hamiltonian as a choice of controls, in the form that proximal methods need."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ....problem.hamiltonians import Polyhedral
from ....problem.hamiltonians.base import Proximable
from ....problem.hamiltonians.polyhedral import project_simplex
from ....typing import Array, Point, Scalar


class Control(NamedTuple):
    """Controls a `[size]`: their velocity Ba, the proximal map of ℓ with ℓ there, ℓ*, and the best control for p."""

    size: int
    steer: Callable[[Array], Point]
    proximal: Callable[[Array, Scalar], tuple[Array, Scalar]]
    conjugate: Callable[[Array], Scalar]
    best: Callable[[Point], Array]


def control_form(hamiltonian: Proximable | Polyhedral, d: int) -> Control:
    """The velocity itself at the cost L(v); for `Polyhedral` the shares of its K slopes, at the cost −λ·b."""
    nowhere = jnp.zeros(d)
    if isinstance(hamiltonian, Polyhedral):
        slopes, offsets = jnp.asarray(hamiltonian.slopes), jnp.asarray(hamiltonian.offsets)

        def shares(a: Array, step: Scalar) -> tuple[Array, Scalar]:
            w = project_simplex(a + step * offsets)
            return w, -jnp.sum(w * offsets)

        return Control(
            size=len(offsets),
            steer=lambda a: jnp.matmul(a, slopes, precision=jax.lax.Precision.HIGHEST),
            proximal=shares,
            conjugate=lambda eta: jnp.max(eta + offsets),
            best=lambda p: jax.nn.one_hot(jnp.argmax(slopes @ p + offsets), len(offsets), dtype=p.dtype),
        )
    return Control(
        size=d,
        steer=lambda a: a,
        proximal=hamiltonian.proximal,
        conjugate=lambda eta: hamiltonian(0.0, nowhere.astype(eta.dtype), eta),  # type: ignore[operator]
        best=lambda p: hamiltonian.velocity(0.0, nowhere.astype(p.dtype), p),  # type: ignore[attr-defined]
    )
