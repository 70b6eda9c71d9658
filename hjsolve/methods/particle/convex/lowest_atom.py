"""The Hopf-Lax formula over atoms: the lowest of g_j + tL((x − y_j)/t), in blocks."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ....problem.hamiltonians import AbstractConvexHamiltonian, AbstractHamiltonian
from ....problem.initials import Atoms
from ....typing import Array, Points, Scalar
from ..starts import map_blocks

_ATOM_BLOCK = 256


def lowest_atom(hamiltonian: AbstractHamiltonian, atoms: Atoms, t: Scalar, points: Points) -> tuple[Array, Points]:
    """min_j g_j + tL((x − y_j)/t) `[m]`, +inf where L is for every atom, and its gradient `[m, d]`.

    Differentiable through the lowest atom's own energy. Cost O(mN), memory O(m + N).
    """
    assert isinstance(hamiltonian, AbstractConvexHamiltonian)
    y, g = jnp.asarray(atoms.y), jnp.asarray(atoms.g)
    arrays, rest = eqx.partition((hamiltonian, y, g, t, points), eqx.is_array)
    indices = _lowest(*eqx.combine(jax.lax.stop_gradient(arrays), rest))

    def energy(x: Points, atom: Points, height: Array) -> Array:
        v = (x - atom) / t
        return height + t * hamiltonian.lagrangian(t, x.T, v.T)

    u, pullback = jax.vjp(lambda x: energy(x, y[indices], g[indices]), points)
    return u, pullback(jnp.ones_like(u))[0]


def _lowest(hamiltonian: AbstractConvexHamiltonian, y: Points, g: Array, t: Scalar, points: Points) -> Array:
    count, d = y.shape
    width = min(count, _ATOM_BLOCK)
    blocks = -(-count // width)
    padding = blocks * width - count
    y = jnp.concatenate([y, jnp.broadcast_to(y[-1], (padding, d))]).reshape(blocks, width, d)
    g = jnp.concatenate([g, jnp.full(padding, jnp.inf, g.dtype)]).reshape(blocks, width)

    def queries(x: Points) -> Array:
        def body(carry: tuple[Array, Array], block: tuple[Array, Points, Array]) -> tuple[tuple[Array, Array], None]:
            best, index = carry
            first, atoms, heights = block
            v = (x.T[:, None, :] - atoms.T[:, :, None]) / t
            energies = heights[:, None] + t * hamiltonian.lagrangian(t, v, v)
            lowest = jnp.argmin(energies, axis=0)
            value = jnp.min(energies, axis=0)
            lower = value < best
            return (jnp.where(lower, value, best), jnp.where(lower, first + lowest, index)), None

        start = (jnp.full(x.shape[0], jnp.inf, x.dtype), jnp.zeros(x.shape[0], int))
        firsts = jnp.arange(blocks) * width
        return jax.lax.scan(body, start, (firsts, y, g))[0][1]

    return map_blocks(queries, points, _ATOM_BLOCK // 8)
