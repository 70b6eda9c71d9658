"""Paths of dX = −b(t−s, X) ds + σ(t−s, X) dW from one point, and what they collect on their way."""

import abc
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from ...problem import Problem
from ...problem.hamiltonians import AbstractHamiltonian, Linear, WithDrift, WithPotential
from ...problem.hopf_cole import Parts, on_domain, parts
from ...problem.initials import Atoms
from ...problem.viscosities import Constant
from ...typing import Array, Float, Function, Point, Scalar


class AbstractScheme(eqx.Module):
    """One step of a path, with its noise given."""

    @property
    @abc.abstractmethod
    def additive(self) -> bool:
        """Whether the noise must not depend on x."""

    @abc.abstractmethod
    def step(self, drift: Function, t: Scalar, dt: Scalar, x: Array, noise: Array) -> Array:
        """X at time t − dt of the equation, from x `[d, n]` at t: `drift(t, x)` is b and `noise` is σΔW `[d, n]`."""


class EulerMaruyama(AbstractScheme):
    """X' = X − b(t, X) dt + σΔW: weak order 1 for every viscosity."""

    @property
    def additive(self) -> bool:
        """No."""
        return False

    def step(self, drift: Function, t: Scalar, dt: Scalar, x: Array, noise: Array) -> Array:
        """One explicit step."""
        return x - dt * drift(t, x) + noise


class Heun(AbstractScheme):
    """X' = X − (b(t, X) + b(t − dt, X − b dt + σΔW)) dt/2 + σΔW: weak order 2 for constant viscosity.

    Source: Kloeden & Platen, *Numerical Solution of Stochastic Differential Equations*, 15.1.
    """

    @property
    def additive(self) -> bool:
        """Yes."""
        return True

    def step(self, drift: Function, t: Scalar, dt: Scalar, x: Array, noise: Array) -> Array:
        """An Euler step as predictor, then the mean of both drifts."""
        first = drift(t, x)
        return x - dt / 2 * (first + drift(t - dt, x - dt * first + noise)) + noise


@dataclasses.dataclass(frozen=True)
class Law:
    """What the paths of a problem obey: H = c|p|² + b·p − V (c None: without |p|²), and its noise.

    `drift(t, x)` and `potential(x)` take x `[d, n]` and are None where there is none; `data` maps `[d, n]` to `[n]`;
    `spread(t, x, ξ [k, n])` is σξ `[d, n]`. `epsilon` is None for a viscosity that varies.
    """

    c: Scalar | None
    epsilon: Scalar | None
    drift: Function | None
    potential: Function | None
    data: Function
    spread: Function
    noises: int

    @property
    def free(self) -> bool:
        """Whether one step is exact: Brownian paths that collect nothing on their way."""
        return self.drift is None and self.potential is None and self.epsilon is not None

    @property
    def scale(self) -> Scalar:
        """ε/c."""
        assert self.epsilon is not None and self.c is not None
        return self.epsilon / self.c


def linear_parts(hamiltonian: AbstractHamiltonian) -> Parts | None:
    """The parts of b·p − V, however `WithDrift` and `WithPotential` are nested around `Linear`; None for any other."""
    if isinstance(hamiltonian, Linear):
        field = hamiltonian
        return Parts(jnp.zeros(()), (lambda t, x: field.velocity(t, x, x),), ())
    if isinstance(hamiltonian, WithDrift):
        inner = linear_parts(hamiltonian.hamiltonian)
        return inner and inner._replace(drifts=(*inner.drifts, hamiltonian.drift))
    if isinstance(hamiltonian, WithPotential):
        inner = linear_parts(hamiltonian.hamiltonian)
        return inner and inner._replace(potentials=(*inner.potentials, hamiltonian.potential))
    return None


def law_of(problem: Problem) -> Law:
    """The law of a problem that was checked: periodic axes are wrapped wherever data, drift or potential are read."""
    quadratic = parts(problem.hamiltonian)
    found = linear_parts(problem.hamiltonian) if quadratic is None else quadratic
    assert found is not None and not isinstance(problem.initial, Atoms)
    domain, viscosity, d = problem.domain, problem.viscosity, problem.dimension

    def inside(x: Array) -> Array:
        return domain.wrap(x.T).T if any(domain.periodic) else x

    epsilon: Scalar | None
    if isinstance(viscosity, Constant):
        epsilon = jnp.asarray(viscosity.epsilon)
        deviation = root(2 * epsilon)
        noises = d

        def spread(t: Scalar, x: Array, xi: Array) -> Array:
            return deviation * xi
    else:
        epsilon = None
        noises = jax.eval_shape(viscosity.root, jnp.zeros(()), jnp.zeros(d)).shape[1]
        matrix: Function = jax.vmap(lambda t, x, xi: viscosity.root(t, x) @ xi, in_axes=(None, 1, 1), out_axes=1)

        def spread(t: Scalar, x: Array, xi: Array) -> Array:
            return matrix(t, inside(x), xi)

    return Law(
        c=None if quadratic is None else jnp.asarray(found.c),
        epsilon=epsilon,
        drift=(lambda t, x: found.drift(t, inside(x))) if found.drifts else None,
        potential=(lambda x: found.potential(inside(x))) if found.potentials else None,
        data=jax.vmap(on_domain(problem.initial, domain), in_axes=1),
        spread=spread,
        noises=noises,
    )


def root(x: Array) -> Array:
    """√x with derivative 0 at 0, where paths stand still."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def simulate(
    law: Law, scheme: AbstractScheme, t: Scalar, x: Point, xi: Float[Array, "steps k n"], shift: Function | None = None
) -> tuple[Float[Array, "n"], Float[Array, "n"], Float[Array, "d n"]]:
    """`g(X_t) + ∫V ds` of the n paths that start in x, the logarithm of their likelihood ratio, and their ends.

    `shift(j, t − s, X) -> [k, 1 or n]` moves the mean μ of the normals ξ_j of step j; it may depend on the path so
    far. The likelihood ratio exp(−μ·ξ − |μ|²/2) of the normals is exact, whatever the step. ∫V is the trapezoid rule:
    with exact Brownian increments, or Heun's, weak order 2.
    """
    steps, _, n = xi.shape
    dt = t / steps
    deviation = root(dt)
    start = jnp.broadcast_to(x[:, None], (x.shape[0], n))
    nothing = jnp.zeros(n, x.dtype)

    def step(
        carry: tuple[Array, Array, Array, Array], inputs: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array, Array], None]:
        place, rate, collected, ratio = carry
        j, normals = inputs
        now = t - j * dt
        if shift is not None:
            mean = shift(j, now, place)
            ratio = ratio - jnp.sum(mean * normals + mean**2 / 2, axis=0)
            normals = normals + mean
        noise = deviation * law.spread(now, place, normals)
        place = place + noise if law.drift is None else scheme.step(law.drift, now, dt, place, noise)
        if law.potential is not None:
            next_rate = law.potential(place)
            collected = collected + dt / 2 * (rate + next_rate)
            rate = next_rate
        return (place, rate, collected, ratio), None

    first = nothing if law.potential is None else law.potential(start)
    numbers = jnp.arange(steps).astype(x.dtype)
    (end, _, collected, ratio), _ = jax.lax.scan(step, (start, first, nothing, nothing), (numbers, xi))
    return law.data(end) + collected, ratio, end
