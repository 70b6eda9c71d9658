"""Which problems the Hopf-Cole transform linearises, and what it needs of them.

`w = exp(−cu/ε)` turns `u_t + c|∇u|² = εΔu` into the heat equation `w_t = εΔw`.
"""

from collections.abc import Callable
from math import isfinite
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..checks import concrete, require
from ..typing import Array, Function, Point, Scalar, Values, Vectors
from .base import Problem
from .domains import AbstractDomain
from .hamiltonians import AbstractHamiltonian, Quadratic, WithDrift, WithPotential, WithSource
from .initials import AbstractInitial, Atoms
from .viscosities import Constant

_FACE_SAMPLES = 5


class Parts(NamedTuple):
    """H = c|p|² + Σ b(t, x)·p − Σ V(x), taken apart."""

    c: Array
    drifts: tuple[Callable[[Scalar, Vectors], Vectors], ...]
    potentials: tuple[Callable[[Vectors], Values], ...]

    def drift(self, t: Scalar, x: Vectors) -> Vectors:
        """b(t, x), the sum of the drifts; 0 without any."""
        return sum((b(t, x) for b in self.drifts), start=jnp.zeros_like(x))

    def potential(self, x: Vectors) -> Values:
        """V(x), the sum of the potentials; 0 without any."""
        return sum((V(x) for V in self.potentials), start=jnp.zeros_like(x[0]))


def parts(hamiltonian: AbstractHamiltonian) -> Parts | None:
    """The parts of `c|p|² + b·p − V`, however `WithDrift` and `WithPotential` are nested; None for any other H."""
    if isinstance(hamiltonian, Quadratic):
        return Parts(jnp.asarray(hamiltonian.c), (), ())
    if isinstance(hamiltonian, WithDrift):
        inner = parts(hamiltonian.hamiltonian)
        return inner and inner._replace(drifts=(*inner.drifts, hamiltonian.drift))
    if isinstance(hamiltonian, WithPotential):
        inner = parts(hamiltonian.hamiltonian)
        return inner and inner._replace(potentials=(*inner.potentials, hamiltonian.potential))
    return None


def require_hopf_cole(
    problem: Problem, method: str, otherwise: str, *, drift: bool = False, potential: bool = False
) -> None:
    """Raise `ValueError` unless H = c|p|² (with a drift or a potential where allowed) and ε is constant.

    `otherwise` names what to use instead.
    """
    hamiltonian, viscosity = problem.hamiltonian, problem.viscosity
    found = parts(hamiltonian)
    allowed = " or ".join(["Quadratic(c)", *["WithDrift of it"] * drift, *["WithPotential of it"] * potential])
    require(
        found is not None and (drift or not found.drifts) and (potential or not found.potentials),
        f"{method} needs `hamiltonian` = {allowed}; got {type(hamiltonian).__name__}. {otherwise}",
    )
    require(
        isinstance(viscosity, Constant),
        f"{method} needs a constant `viscosity`; got {type(viscosity).__name__}. {otherwise}",
    )


def parameters(problem: Problem) -> tuple[Scalar, Scalar]:
    """(c, ε) of a problem with H = c|p|² (+ b·p − V) and constant viscosity."""
    found = parts(problem.hamiltonian)
    assert found is not None
    assert isinstance(problem.viscosity, Constant)
    return found.c, jnp.asarray(problem.viscosity.epsilon)


class NormalisationSource(eqx.Module):
    """f(t) = dε/(2ct), the source that the unnormalised u_N = −(ε/c) log Σ_j exp(−cE_j/ε) carries."""

    dimension: int = eqx.field(static=True)
    c: Array
    epsilon: Array

    def __call__(self, t: Scalar) -> Scalar:
        """dε/(2ct)."""
        return self.dimension * self.epsilon / (2 * self.c * t)


def solved_by_propagator(problem: Problem) -> Problem:
    """The equation of the propagator's output: the problem itself, plus the source dε/(2ct) for `Atoms`."""
    if not isinstance(problem.initial, Atoms):
        return problem
    source = NormalisationSource(problem.dimension, *parameters(problem))
    return eqx.tree_at(lambda p: p.hamiltonian, problem, WithSource(problem.hamiltonian, source))


def on_domain(initial: AbstractInitial, domain: AbstractDomain) -> Function:
    """The data as a function on all of R^d: periodic axes repeat the values of the domain."""

    def g(x: Point) -> Scalar:
        return initial(domain.wrap(x))

    return g if any(domain.periodic) else initial


def check_periodic_data(problem: Problem, method: str) -> None:
    """Raise `ValueError` if the data do not match across the periodic faces (growing data on a torus)."""
    domain, initial = problem.domain, problem.initial
    lower, upper = jnp.asarray(domain.lower), jnp.asarray(domain.upper)
    axes = [axis for axis, periodic in enumerate(domain.periodic) if periodic]
    if not axes or isinstance(initial, Atoms) or concrete(lower) is None or concrete(upper) is None:
        return
    for axis, samples in zip(axes, _about_faces(initial, lower, upper, axes), strict=True):
        values = concrete(samples)
        if values is None:
            return
        left, right, _ = values
        jump = abs(left - right).max()
        allowed = 1e-4 * np.ptp(values) + 16 * np.finfo(values.dtype).eps * abs(values).max()
        require(
            None if not isfinite(jump) else jump <= allowed,
            f"`initial` must be periodic for {method} on this domain; it jumps by {jump:g} across axis {axis}. "
            "Use a Box for growing data, or data with the domain's period.",
        )


@eqx.filter_jit
def _about_faces(initial: AbstractInitial, lower: Array, upper: Array, axes: list[int]) -> list[Array]:
    """The data `[3, m]` on both faces of each axis, and between them."""
    inside = lower + jnp.linspace(0.03, 0.91, _FACE_SAMPLES)[:, None] * (upper - lower)
    faces = [[inside.at[:, axis].set(face[axis]) for face in (lower, upper)] for axis in axes]
    return [jnp.stack([jax.vmap(initial)(x) for x in (*pair, inside)]) for pair in faces]
