"""What an input is: a velocity, a bounded input of a control system, or that of a regulator."""

import abc
import itertools
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ....problem.hamiltonians import (
    LQ,
    AbstractAffine,
    AbstractConvexHamiltonian,
    inputs,
)
from ....problem.hamiltonians.base import as_column
from ....problem.hamiltonians.linear_quadratic import times
from ....typing import Array, Scalar, Values, Vectors

_FLAT = 1e-3
"""Curvature that counts as none, in units of slope over reach."""


class AbstractForm(eqx.Module):
    """What an innermost Hamiltonian minimises over: inputs w `[size, ...]` that drive a path, at a cost."""

    size: eqx.AbstractVar[int]
    sign: eqx.AbstractVar[int]
    """−1 where w maximises."""
    refinable: eqx.AbstractVar[bool]
    """Whether w fills a convex set and has no opponent."""

    @abc.abstractmethod
    def rate(self, t: Scalar, y: Vectors, w: Vectors) -> Vectors:
        """dy/ds of the path followed back from x, s being time to go."""

    @abc.abstractmethod
    def cost(self, t: Scalar, y: Vectors) -> Values | float:
        """The running cost, without that of w."""

    @abc.abstractmethod
    def least(self, q: Vectors) -> Values:
        """The optimal q·w + cost of w, with q the slope at the optimum."""

    @abc.abstractmethod
    def reach(self, size: Array) -> Array:
        """How large the optimal inputs are `[size]` where slopes p_i are at most `size` `[d]`."""

    @abc.abstractmethod
    def nearest(self, w: Vectors, step: Values | float) -> tuple[Vectors, Values]:
        """The proximal map of the input's cost: the admissible input near w, and its cost."""

    @abc.abstractmethod
    def samples(self, many: int, size: Array) -> tuple[Array, Array]:
        """Inputs `[size, S]` all over the possible ones, `many` along each axis, and their costs `[S]`."""

    @abc.abstractmethod
    def answers(self, many: int) -> Array | None:
        """The opponent's inputs `[l, T]`, which come after the control's in w; None without an opponent."""


class Velocities(AbstractForm):
    """H(p) = max_w p·w − L(w): inputs are velocities. Without H only what drives the path from outside moves it."""

    hamiltonian: AbstractConvexHamiltonian | None
    size: int = eqx.field(static=True)
    sign: int = eqx.field(static=True)
    refinable: bool = eqx.field(static=True)

    def __init__(self, hamiltonian: AbstractConvexHamiltonian | None, size: int):
        self.hamiltonian, self.size, self.sign, self.refinable = hamiltonian, size, 1, True

    def rate(self, t: Scalar, y: Vectors, w: Vectors) -> Vectors:
        """dy/ds."""
        return -w if self.size else jnp.zeros_like(y)

    def cost(self, t: Scalar, y: Vectors) -> Values | float:
        """The running cost."""
        return 0.0

    def least(self, q: Vectors) -> Values:
        """The optimal q·w with its cost."""
        return jnp.zeros(q.shape[1:], q.dtype) if self.hamiltonian is None else -self.hamiltonian(jnp.zeros(()), q, -q)

    def reach(self, size: Array) -> Array:
        """How large the optimal inputs are."""
        return size[:0] if self.hamiltonian is None else self.hamiltonian.speed_bound(jnp.zeros(()), size, -size, size)

    def nearest(self, w: Vectors, step: Values | float) -> tuple[Vectors, Values]:
        """The proximal map of the cost."""
        proximable: Any = self.hamiltonian
        found: tuple[Vectors, Values] = proximable.proximal(w, step)
        return found

    def samples(self, many: int, size: Array) -> tuple[Array, Array]:
        """Inputs all over the possible ones, and their costs."""
        reach = self.reach(size)
        steepest = jnp.max(size)
        step = _FLAT * jnp.max(reach) / jnp.where(steepest > 0, steepest, 1.0)
        return self.nearest(reach[:, None] * lattice(many, self.size), jnp.where(step > 0, step, 1.0))

    def answers(self, many: int) -> Array | None:
        """The opponent's inputs."""
        return None


class Bounded(AbstractForm):
    """A control system: inputs of a bounded set, without a cost, and those of an opponent after them."""

    hamiltonian: AbstractAffine
    size: int = eqx.field(static=True)
    sign: int = eqx.field(static=True)
    refinable: bool = eqx.field(static=True)

    def __init__(self, hamiltonian: AbstractAffine):
        self.hamiltonian, self.size = hamiltonian, hamiltonian.controls.size
        self.sign = -1 if hamiltonian.maximise else 1
        finite = isinstance(hamiltonian.controls, inputs.Finite)
        self.refinable = hamiltonian.disturbances is None and not finite

    def rate(self, t: Scalar, y: Vectors, w: Vectors) -> Vectors:
        """dy/ds."""
        return self.hamiltonian.dynamics(t, y, w[: self.size], w[self.size :])

    def cost(self, t: Scalar, y: Vectors) -> Values | float:
        """The running cost."""
        return self.hamiltonian.cost(t, y)

    def least(self, q: Vectors) -> Values:
        """The optimal q·w with its cost."""
        opponent, sign = self.hamiltonian.disturbances, self.sign
        own = sign * self.hamiltonian.controls.least(sign * q[: self.size])
        return own if opponent is None else own - sign * opponent.least(-sign * q[self.size :])

    def reach(self, size: Array) -> Array:
        """How large the optimal inputs are."""
        return jnp.stack([self.hamiltonian.controls.reach(list(row)) for row in np.eye(self.size)])

    def nearest(self, w: Vectors, step: Values | float) -> tuple[Vectors, Values]:
        """The proximal map of the cost."""
        return projected(self.hamiltonian.controls, w), jnp.zeros(w.shape[1:], w.dtype)

    def samples(self, many: int, size: Array) -> tuple[Array, Array]:
        """Inputs all over the possible ones, and their costs."""
        found = spread(self.hamiltonian.controls, many, size.dtype)
        return found, jnp.zeros(found.shape[1:], size.dtype)

    def answers(self, many: int) -> Array | None:
        """The opponent's inputs."""
        opponent = self.hamiltonian.disturbances
        return None if opponent is None else spread(opponent, many, jnp.result_type(float))


class Regulated(AbstractForm):
    """A regulator: inputs without bounds, at the cost ½wᵀRw."""

    hamiltonian: LQ
    size: int = eqx.field(static=True)
    sign: int = eqx.field(static=True)
    refinable: bool = eqx.field(static=True)

    def __init__(self, hamiltonian: LQ, size: int):
        self.hamiltonian, self.size, self.sign, self.refinable = hamiltonian, size, 1, True

    def rate(self, t: Scalar, y: Vectors, w: Vectors) -> Vectors:
        """dy/ds."""
        return self.hamiltonian.dynamics(t, y, w, w[:0])

    def cost(self, t: Scalar, y: Vectors) -> Values | float:
        """The running cost."""
        return self.hamiltonian.cost(t, y, jnp.zeros((self.size, *y.shape[1:]), y.dtype))

    def least(self, q: Vectors) -> Values:
        """The optimal q·w with its cost."""
        inverse = jnp.linalg.inv(jnp.asarray(self.hamiltonian.R))
        return -0.5 * jnp.sum(q * times(inverse, q), axis=0)

    def reach(self, size: Array) -> Array:
        """How large the optimal inputs are."""
        return jnp.abs(jnp.linalg.solve(jnp.asarray(self.hamiltonian.R), jnp.asarray(self.hamiltonian.B).T)) @ size

    def nearest(self, w: Vectors, step: Values | float) -> tuple[Vectors, Values]:
        """The proximal map of the cost."""
        values, vectors = jnp.linalg.eigh(jnp.asarray(self.hamiltonian.R))
        inner = times(vectors.T, w) / (1 + step * as_column(values, w))
        return times(vectors, inner), 0.5 * jnp.sum(as_column(values, w) * inner**2, axis=0)

    def samples(self, many: int, size: Array) -> tuple[Array, Array]:
        """Inputs all over the possible ones, and their costs."""
        return self.nearest(self.reach(size)[:, None] * lattice(many, self.size), 0.0)

    def answers(self, many: int) -> Array | None:
        """The opponent's inputs."""
        return None


def lattice(many: int, k: int) -> Array:
    """`many`^k points of [−1, 1]^k `[k, S]`."""
    line = np.linspace(-1, 1, many)
    return jnp.asarray(np.array(list(itertools.product(line, repeat=k))).T)


def spread(chosen: inputs.AbstractInputs, many: int, dtype: Any) -> Array:
    """Inputs `[k, S]` all over the set: every one of a finite set."""
    if isinstance(chosen, inputs.Finite):
        return jnp.asarray(chosen.values, dtype).T
    places = lattice(many, chosen.size).astype(dtype)
    if isinstance(chosen, inputs.Box):
        lower, upper = jnp.asarray(chosen.lower)[:, None], jnp.asarray(chosen.upper)[:, None]
        return (lower + upper) / 2 + places * (upper - lower) / 2
    assert isinstance(chosen, inputs.Ball)
    return projected(chosen, jnp.asarray(chosen.centre)[:, None] + places * chosen.radius)


def projected(chosen: inputs.AbstractInputs, w: Vectors) -> Vectors:
    """The nearest input of a convex set."""
    if isinstance(chosen, inputs.Box):
        return jnp.clip(w, as_column(chosen.lower, w), as_column(chosen.upper, w))
    assert isinstance(chosen, inputs.Ball)
    away = w - as_column(chosen.centre, w)
    length = jnp.sqrt(jnp.sum(away**2, axis=0))
    return as_column(chosen.centre, w) + away * jnp.minimum(chosen.radius / jnp.where(length > 0, length, 1.0), 1.0)
