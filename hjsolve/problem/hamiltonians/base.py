"""What a Hamiltonian is: H(t, x, p), a bound on its characteristic speeds, and for convex ones the Lagrangian."""

import abc
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp

from ...typing import Scalar, Values, Vectors

_FEW = 6
"""Components that are worked on one by one."""


class AbstractHamiltonian(eqx.Module):
    """The Hamiltonian of `u_t + H(t, x, ∇u) = ε Δu`.

    `x` and `p` are `[d, ...]` with the component first; the result is `[...]`. The same code serves one point
    (`[d]`) and a whole grid (`[d, n, m]`).
    """

    @abc.abstractmethod
    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """H(t, x, p)."""

    @abc.abstractmethod
    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """∂H/∂p, the speed of characteristics; where H has a kink, one element of the subdifferential."""

    @abc.abstractmethod
    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """Upper bounds `[d, ...]` on |∂H/∂p_i| over the box p_lo <= p <= p_hi: dissipation and time step."""


class AbstractConvexHamiltonian(AbstractHamiltonian):
    """A Hamiltonian convex in p, with its Lagrangian L(t, x, v) = sup_p p·v − H(t, x, p)."""

    @abc.abstractmethod
    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """L(t, x, v), `+inf` outside its effective domain."""


@runtime_checkable
class Proximable(Protocol):
    """A convex H(p), free of t and x, whose Lagrangian has a proximal map in closed form or by a few Newton steps."""

    def proximal(self, v: Vectors, step: Scalar) -> tuple[Vectors, Values]:
        """w = argmin_w L(w) + |w − v|²/(2·step) for v `[d, ...]`, and L(w) `[...]`. `step` > 0.

        L(w) is finite: w lies in the effective domain up to round-off, where `lagrangian` may already say +inf.
        """
        ...


def differentiated_velocity(hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
    """∂H/∂p by reverse-mode differentiation; places are independent, so one gradient of the sum gives them all."""
    return jax.grad(lambda q: jnp.sum(hamiltonian(t, x, q)))(p)


def sampled_speed_bound(
    hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors, margin: float = 1.1
) -> Vectors:
    """`margin` times the largest |∂H/∂p_i| at the corners, centre and face centres of the box.

    An estimate, not a bound: give `speed_bound` yourself where H bends strongly inside such a box.
    """
    d = p_lo.shape[0]
    fractions = [jnp.asarray(f) for f in _sample_fractions(d)]
    best = jnp.zeros_like(p_lo)
    for fraction in fractions:
        column = fraction.astype(p_lo.dtype).reshape((d,) + (1,) * (p_lo.ndim - 1))
        speed = hamiltonian.velocity(t, x, p_lo + column * (p_hi - p_lo))
        best = jnp.maximum(best, jnp.abs(speed))
    return margin * best


def _sample_fractions(d: int) -> list[list[float]]:
    if d <= 3:
        fractions: list[list[float]] = [[]]
        for _ in range(d):
            fractions = [[*head, f] for head in fractions for f in (0.0, 0.5, 1.0)]
        return fractions
    centre = [0.5] * d
    faces = [[*centre[:i], f, *centre[i + 1 :]] for i in range(d) for f in (0.0, 1.0)]
    return [centre, [0.0] * d, [1.0] * d, *faces]


def as_column(vector: Values, like: Vectors) -> Vectors:
    """A `[d]` parameter shaped `[d, 1, ...]` to broadcast against `[d, ...]` arrays."""
    return jnp.asarray(vector).reshape((-1,) + (1,) * (like.ndim - 1))


def components(vectors: Vectors) -> list[Values]:
    """The components `[...]` of `[d, ...]`; derivatives join them at once, where those of v[i] would be padded."""
    parts = jax.lax.split(jnp.asarray(vectors), (1,) * vectors.shape[0])
    return [part[0] for part in parts]


def each(function: Callable[..., Values], *vectors: Vectors) -> Vectors:
    """`function` of the components of `[d, ...]` arrays, elementwise, one component after the other where d is small.

    A stack of components is then only ever read by component, so that compiled code never builds it: on a grid in the
    plane that is twice as fast as arithmetic with whole stacks.
    """
    d = vectors[0].shape[0]
    if d > _FEW:
        return function(*vectors)
    return jnp.stack([function(*parts) for parts in zip(*map(components, vectors), strict=True)])


def total(function: Callable[..., Values], *vectors: Vectors) -> Values:
    """Σ_i function(components i), with `function` elementwise."""
    d = vectors[0].shape[0]
    if d > _FEW:
        return jnp.sum(function(*vectors), axis=0)
    terms = [function(*parts) for parts in zip(*map(components, vectors), strict=True)]
    return sum(terms[1:], start=terms[0])


def squared_length(p: Vectors) -> Values:
    """|p|²."""
    return total(jnp.square, p)


def largest_magnitude(p_lo: Vectors, p_hi: Vectors) -> Vectors:
    """max |p_i| over the interval [p_lo, p_hi]."""
    return each(lambda low, high: jnp.maximum(jnp.abs(low), jnp.abs(high)), p_lo, p_hi)


def smallest_magnitude(p_lo: Vectors, p_hi: Vectors) -> Vectors:
    """min |p_i| over the interval [p_lo, p_hi]: zero where it contains zero."""

    def smallest(low: Values, high: Values) -> Values:
        return jnp.where(low * high <= 0, 0.0, jnp.minimum(jnp.abs(low), jnp.abs(high)))

    return each(smallest, p_lo, p_hi)
