"""Hamiltonians as systems that are driven: the form of the inputs, with drifts, potentials and sources around it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ....problem import Problem
from ....problem.hamiltonians import (
    LQ,
    AbstractAffine,
    AbstractConvexHamiltonian,
    AbstractHamiltonian,
    Linear,
    WithDrift,
    WithPotential,
    WithSource,
)
from ....problem.hamiltonians.base import Proximable
from ....typing import Scalar, Values, Vectors
from .forms import AbstractForm, Bounded, Regulated, Velocities


class System(eqx.Module):
    """A form under drifts b(t, x), potentials V(x) and sources f(t): H = H_form + Σ b·p − Σ V + Σ f."""

    form: AbstractForm
    drifts: tuple[Callable[[Scalar, Vectors], Vectors], ...]
    potentials: tuple[Callable[[Vectors], Values], ...]
    sources: tuple[Callable[[Scalar], Scalar], ...]

    @property
    def bends(self) -> bool:
        """Whether paths bend."""
        return bool(self.drifts) or not isinstance(self.form, Velocities)

    def rate(self, t: Scalar, y: Vectors, w: Vectors) -> Vectors:
        """dy/ds of the path followed back."""
        return self.form.rate(t, y, w) - sum((b(t, y) for b in self.drifts), start=jnp.zeros_like(y))

    def running(self, t: Scalar, end: Scalar, x: Vectors, y: Vectors) -> Values:
        """The mean running cost of a step: both ends' mean of what depends on x, sources in the middle."""
        ends = (self.form.cost(end, x) + self.form.cost(t, y)) / 2
        wells = sum((V(x) + V(y) for V in self.potentials), start=jnp.zeros_like(x[0])) / 2
        return ends + wells - sum((f((t + end) / 2) for f in self.sources), start=jnp.zeros((), x.dtype))

    def driven(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """The slope by w a unit of time where u has the slope p."""
        w = jnp.zeros((self.form.size, *x.shape[1:]), x.dtype)
        return self.form.sign * jax.vjp(lambda w: self.form.rate(t, x, w), w)[1](p)[0]


def system_of(hamiltonian: AbstractHamiltonian, d: int) -> System | None:
    """The Hamiltonian as a control system; None where none is known."""
    if isinstance(hamiltonian, WithDrift | WithPotential | WithSource):
        inner = system_of(hamiltonian.hamiltonian, d)
        if inner is None:
            return None
        if isinstance(hamiltonian, WithDrift):
            return eqx.tree_at(lambda s: s.drifts, inner, (*inner.drifts, hamiltonian.field))
        if isinstance(hamiltonian, WithPotential):
            return eqx.tree_at(lambda s: s.potentials, inner, (*inner.potentials, hamiltonian.potential))
        return eqx.tree_at(lambda s: s.sources, inner, (*inner.sources, hamiltonian.source))
    if isinstance(hamiltonian, Linear):
        return System(Velocities(None, 0), (lambda t, x: hamiltonian.velocity(t, x, x),), (), ())
    if isinstance(hamiltonian, LQ):
        return System(Regulated(hamiltonian, hamiltonian.B.shape[1]), (), (), ())
    if isinstance(hamiltonian, AbstractAffine):
        return System(Bounded(hamiltonian), (), (), ())
    if isinstance(hamiltonian, AbstractConvexHamiltonian) and isinstance(hamiltonian, Proximable):
        return System(Velocities(hamiltonian, d), (), (), ())
    return None


def known_system(problem: Problem) -> System:
    """The system of a problem that was checked."""
    found = system_of(problem.hamiltonian, problem.dimension)
    assert found is not None, "check() refuses Hamiltonians that are no control system"
    return found


def innermost(hamiltonian: AbstractHamiltonian) -> str:
    """The name of what drifts, potentials and sources are put around."""
    while isinstance(hamiltonian, WithDrift | WithPotential | WithSource):
        hamiltonian = hamiltonian.hamiltonian
    return type(hamiltonian).__name__
