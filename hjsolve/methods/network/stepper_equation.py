"""The equation that a residual block solves, from the moments of its filters."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...problem.hamiltonians import AbstractHamiltonian, Custom
from ...problem.initials import AbstractInitial
from ...problem.jumps import AbstractPiecewise, interval, interval_end
from ...problem.viscosities import AbstractViscosity, Hessian
from ...typing import Array, Float, Point, Points, Scalar, Values, Vectors
from .readouts import AbstractReadout

_LATTICE = (33, 9, 5)
"""Slopes an axis, by dimension, where the viscosity is looked at for its bound."""
_MARGIN = 1.1


class Moments(NamedTuple):
    """½Σ_k L_k o_k o_kᵀ `[d, d]`; of each filter Σ_k F_k o_k `[c, d]` and ½Σ_k F_k o_k o_kᵀ `[c, d, d]`; readout."""

    diffusion: Array
    slopes: Array
    bends: Array
    readout: AbstractReadout


class StepperHamiltonian(AbstractPiecewise):
    """H(t, x, p) = φ(t, x, m p) of the layer that t falls in."""

    moments: Moments
    h: Scalar
    dt: Scalar

    def at(self, t: Scalar) -> Moments:
        """The moments of the layer that t falls in."""
        index = 0 if self._count == 1 else interval(t, self.dt, self._count)
        return jax.tree.map(lambda a: a[index] if eqx.is_array(a) else a, self.moments)

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """H(t, x, p)."""
        m = self.at(t)
        return m.readout(t, x, jnp.tensordot(m.slopes, p, 1))

    def next_jump(self, t: Scalar) -> Scalar:
        """The end of the layer at t."""
        return jnp.asarray(jnp.inf) if self._count == 1 else interval_end(t, self.dt, self._count)

    def from_jump(self, t: Scalar) -> "StepperHamiltonian":
        """That of one layer."""
        alone = jax.tree.map(lambda a: a[None] if eqx.is_array(a) else a, self.at(t))
        return StepperHamiltonian(alone, self.h, self.dt)

    @property
    def _count(self) -> int:
        return int(self.moments.diffusion.shape[0])


class StepperViscosity(AbstractViscosity):
    """tr(A D²u), A = B − h Σ_c (∂φ/∂z_c) M_c − (Δt/2) ∇H∇Hᵀ: the modified equation of a residual block.

    It depends on ∇u, so that there is no noise of particles (`root` raises `TypeError`); its bound is over the slopes
    of the `data` on the nodes `[m, d]`, which the solution keeps.
    """

    hamiltonian: StepperHamiltonian
    data: AbstractInitial
    nodes: Points

    def matrix(self, t: Scalar, x: Vectors, p: Vectors) -> Float[Array, "d d ..."]:
        """A(t, x, p)."""
        m, h = self.hamiltonian.at(t), self.hamiltonian.h
        z = jnp.tensordot(m.slopes, p, 1)
        bent = jax.grad(lambda z: jnp.sum(m.readout(t, x, z)))(z)
        speed = jax.grad(lambda p: jnp.sum(self.hamiltonian(t, x, p)))(p)
        stencil = m.diffusion.reshape(*m.diffusion.shape, *(1,) * (p.ndim - 1))
        return (
            stencil
            - h * jnp.einsum("cij,c...->ij...", m.bends, bent)
            - self.hamiltonian.dt / 2 * speed[:, None] * speed
        )

    def contract(self, t: Scalar, x: Vectors, p: Vectors, hessian: Hessian) -> Values:
        """Σ_ij A_ij ∂_ij u."""
        a, d = self.matrix(t, x, p), p.shape[0]
        terms = [a[i, j] * hessian[i, j] for i in range(d) for j in range(d)]
        return sum(terms[1:], start=terms[0])

    def root(self, t: Scalar, x: Point) -> Array:
        """Not a function of (t, x) alone: raises."""
        raise TypeError(
            "a stepper's viscosity depends on ∇u and has no particle noise. Use the problem's own viscosity."
        )

    def bound(self, t: Scalar, x: Vectors) -> Values:
        """Of the row sums of |A| on a lattice of slopes within those of the data, and a tenth more."""
        d = x.shape[0]
        reach = jnp.max(jnp.abs(jax.vmap(jax.grad(self.data))(self.nodes)), axis=0)
        axes = np.meshgrid(*[np.linspace(-1.0, 1.0, _LATTICE[min(d, len(_LATTICE)) - 1])] * d, indexing="ij")
        lattice = reach * np.stack(axes, axis=-1).reshape(-1, d)

        def largest(p: Point) -> Values:
            slopes = jnp.broadcast_to(p.reshape(d, *(1,) * (x.ndim - 1)), x.shape)
            return jnp.max(jnp.sum(jnp.abs(self.matrix(t, x, slopes)), axis=1), axis=0)

        return _MARGIN * jnp.max(jax.lax.map(largest, lattice), axis=0)


def read_equation(
    moments: Moments, h: Scalar, dt: Scalar, data: AbstractInitial, nodes: Points
) -> tuple[AbstractHamiltonian, StepperViscosity]:
    """H and A of blocks with these moments, a leading axis on all arrays."""
    hamiltonian = StepperHamiltonian(moments, h, dt)
    return Custom(hamiltonian, dimension=moments.slopes.shape[-1]), StepperViscosity(hamiltonian, data, nodes)
