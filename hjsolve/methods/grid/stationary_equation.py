"""The discrete equation of a stationary problem, and functions above its solution, where iterations start."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...problem.stationary import StationaryProblem
from ...problem.viscosities import Constant
from ...typing import Array, ArrayLike, Scalar, Values, Vectors
from .fixed_point import SweptEquation, held, iterate
from .local_updates import AbstractUpdate, GodunovUpdate, unreached
from .mesh import Mesh
from .stationary_grid import Closed, fixed_by_target, held_faces, prescribed, with_faces

_DOUBLINGS = 40
"""Up to slopes of 1e12."""


def discretised(
    problem: StationaryProblem,
    mesh: Mesh,
    order: int,
    update: AbstractUpdate,
    data: dict[str, Any],
    shift: ArrayLike = 0.0,
) -> SweptEquation:
    """`update` with f − `shift` and ε on the nodes that target and faces leave free."""
    epsilon = problem.viscosity.bound(jnp.zeros((), mesh.spacing.dtype), mesh.coordinates)
    fixed, values = fixed_by_target(problem, mesh, 1 if order == 1 else 2, epsilon)
    cap = prescribed(problem, mesh)
    if cap is not None:
        face = (cap < unreached(cap.dtype)) & ~fixed
        values = jnp.where(face, cap, values)
        fixed = fixed | (face & held_faces(problem, epsilon))
    right = problem.right_side(mesh.points).reshape(mesh.shape) - shift
    strength = problem.viscosity.epsilon if isinstance(problem.viscosity, Constant) else epsilon
    data = {"right": right, "epsilon": jnp.asarray(strength), **data}
    return SweptEquation(update, mesh, data, ~fixed, values, cap)


def from_above(equation: SweptEquation, tolerance: float, rounds: int) -> tuple[Values, Array, Scalar]:
    """From above without viscosity, then with it: values that are not reached yet must not spread by diffusion."""
    limit = unreached(equation.values.dtype)
    epsilon = jax.lax.stop_gradient(equation.data["epsilon"])

    def stage(carry: Any, share: Scalar) -> Any:
        u, count, change = carry
        now = eqx.tree_at(lambda e: e.data["epsilon"], equation, share * epsilon)
        begin = jnp.where((share == 0) | jnp.any(epsilon > 0), jnp.inf, change)
        u, more, change = iterate(now, u, tolerance, rounds, begin)
        return (u, count + more, change), None

    start = jax.lax.stop_gradient(jnp.where(equation.free, limit, equation.values))
    carry = (start, jnp.zeros((), int), jnp.zeros((), start.dtype))
    shares = jnp.asarray([0.0, 1.0], start.dtype)
    return jax.lax.scan(stage, carry, shares)[0]


def supersolution(
    problem: StationaryProblem, equation: SweptEquation, tolerance: float, rounds: int
) -> tuple[Values, Array]:
    """(u, rounds): the least of K·distance, with H(x, Kn) >= f − λu for every direction n, and max(f − H(x, 0))/λ."""
    problem, equation = held((problem, equation))
    x = equation.mesh.coordinates
    t, d, limit = jnp.zeros((), x.dtype), problem.dimension, unreached(x.dtype)
    rest = equation.data["right"] - problem.hamiltonian(t, x, jnp.zeros_like(x))
    discounted = problem.discount > 0
    share = 1 / jnp.where(discounted, problem.discount, 1.0)
    top = jnp.where(discounted, share * jnp.max(rest), limit)
    given = jnp.min(jnp.where(equation.free, jnp.inf, equation.values))
    lowest = jnp.minimum(given, jnp.where(discounted, share * jnp.min(rest), jnp.inf))
    need = equation.data["right"] - problem.discount * jnp.where(jnp.isfinite(lowest), lowest, 0.0)
    slope = _steep_enough(problem, x, need)
    update = GodunovUpdate(jnp.zeros_like(t), equation.mesh.spacing, 1, 1)
    data = {"right": jnp.broadcast_to(slope, x.shape[1:]), "epsilon": t, "speed": (jnp.ones_like(t),) * d}
    mesh = with_faces(equation.mesh, Closed())
    cone = SweptEquation(update, mesh, data, equation.free, equation.values, equation.cap)
    u, count, _ = iterate(cone, jnp.where(equation.free, limit, equation.values), tolerance, rounds)
    return jnp.where(equation.free, jnp.minimum(u, top), equation.values), count


def _steep_enough(problem: StationaryProblem, x: Vectors, need: Values) -> Scalar:
    """The first of 1, 2, 4, ... to which H(x, Kn) >= `need` at all nodes, for n along axes and diagonals."""
    d = problem.dimension
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * d, indexing="ij")).reshape(d, -1).T / np.sqrt(d)
    directions = jnp.asarray(np.concatenate([np.eye(d), -np.eye(d), corners]), x.dtype)

    def short(carry: Any) -> Array:
        k, size = carry

        def room(n: Array) -> Scalar:
            p = jnp.broadcast_to(size * n.reshape((d,) + (1,) * d), x.shape)
            return jnp.min(problem.hamiltonian(jnp.zeros((), x.dtype), x, p) - need)

        return (jnp.min(jax.lax.map(room, directions)) < 0) & (k < _DOUBLINGS)

    return jax.lax.while_loop(short, lambda c: (c[0] + 1, 2 * c[1]), (0, jnp.ones((), x.dtype)))[1]
