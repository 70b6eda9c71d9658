"""The conditions on the faces of a box: what they need of a problem, and what they hold there."""

import jax.numpy as jnp

from ...checks import require
from ...problem import Problem
from ...problem.hamiltonians import AbstractHamiltonian, Linear
from ...problem.hamiltonians.convexity import is_concave, is_convex
from ...problem.viscosities import Constant
from ...typing import Scalar, Values, Vectors
from .mesh import Mesh


def check_faces(problem: Problem, mesh: Mesh, width: int) -> None:
    """Refuse conditions that read more nodes than there are."""
    for axis, (pair, nodes) in enumerate(zip(problem.domain.boundary, mesh.shape, strict=True)):
        for face in () if problem.domain.periodic[axis] else pair:
            least = face.reads(width)
            require(
                nodes >= least,
                f"`cells` must be >= {least - 1} on axis {axis} for {type(face).__name__}; got {nodes - 1}. Give more.",
            )


def on_faces(problem: Problem, mesh: Mesh, t: Scalar, u: Values) -> Values:
    """u `[n_1, ..., n_d]` with what the conditions prescribe on the faces' nodes."""
    for axis, pair in enumerate(problem.domain.boundary):
        for side, face in () if problem.domain.periodic[axis] else ((0, pair[0]), (-1, pair[1])):
            index = (slice(None),) * axis + (side,)
            x = mesh.coordinates[(slice(None), *index)]
            given = face.on_face(t, x, u[index])
            if given is not None:
                # of an H of no known convexity it is asked what would happen if the face held its value
                seen = u if _known(problem.hamiltonian) else u.at[index].set(given)
                held = _held(problem, t, x, u[index], given, _enters(problem, mesh, t, x, seen, axis, side))
                u = u.at[index].set(held)
    return u


def _known(hamiltonian: AbstractHamiltonian) -> bool:
    return is_convex(hamiltonian) or is_concave(hamiltonian)


def _held(problem: Problem, t: Scalar, x: Vectors, free: Values, given: Values, enters: Values) -> Values:
    """What a face holds whose nodes would move to `free`."""
    hamiltonian = problem.hamiltonian
    if isinstance(hamiltonian, Linear):
        stays = free
    elif is_convex(hamiltonian):
        stays = jnp.minimum(free, given)
    else:
        stays = jnp.maximum(free, given) if is_concave(hamiltonian) else free
    if not isinstance(problem.viscosity, Constant):
        return given
    return jnp.where(enters | (problem.viscosity.epsilon > 0), given, stays)


def _enters(problem: Problem, mesh: Mesh, t: Scalar, x: Vectors, u: Values, axis: int, side: int) -> Values:
    """Whether characteristics come in through a face, with the slopes of u there."""
    inwards = 1 if side == 0 else -1
    near, next_ = (jnp.take(u, side + k, axis=axis) for k in (0, inwards))
    spacing = jnp.take(mesh.spacings, side, axis=1 + axis)
    slopes = []
    for k in range(u.ndim):
        if k == axis:
            slopes.append(inwards * (next_ - near) / spacing[k])
        else:
            along: Values = jnp.gradient(near, axis=k - (k > axis))  # type: ignore[assignment]
            slopes.append(along / spacing[k])
    return inwards * problem.hamiltonian.velocity(t, x, jnp.stack(slopes))[axis] > 0
