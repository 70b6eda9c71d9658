"""What stationary grid methods share: nodes that the target and the faces fix, and what lies beyond the faces."""

from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import concrete, require
from ...problem.boundaries import AbstractBoundary, AwayFromZero, Dirichlet, Extrapolation, StateConstraint
from ...problem.hamiltonians.convexity import is_convex
from ...problem.stationary import StationaryProblem, Target
from ...typing import Array, Point, Scalar, Values, Vectors
from .derivatives import AbstractDerivative
from .local_updates import unreached
from .mesh import Mesh

_Tree = TypeVar("_Tree")

_NEWTON_STEPS = 12
"""For the normal slope at the target: from 1, Newton halves the distance to a far root and then squares it."""
_GAUSS = (0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2)


class Closed(AbstractBoundary):
    """Nothing arrives through this face: ghosts that no characteristic has reached."""

    def reads(self, width: int) -> int:
        """1."""
        return 1

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """Large values."""
        return jnp.full((width, *inner.shape[1:]), unreached(inner.dtype), inner.dtype)

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


class Outflow(AbstractBoundary):
    """Characteristics leave through this face: u continued by a line or a parabola, not below its mirror image."""

    def reads(self, width: int) -> int:
        """width + 1."""
        return width + 1

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """The polynomial through the first width + 1 nodes at −1, ..., −width; at least u_k."""
        continued = Extrapolation(width).ghosts(inner, spacing, width)
        return jnp.maximum(continued, inner[1 : width + 1])

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


def with_faces(mesh: Mesh, beyond: AbstractBoundary) -> Mesh:
    """The mesh with `beyond` at every face that says nothing of the values beyond it."""
    silent = (Extrapolation, AwayFromZero, StateConstraint, Dirichlet)
    faces = tuple(tuple(beyond if isinstance(face, silent) else face for face in pair) for pair in mesh.domain.boundary)
    return eqx.tree_at(lambda m: m.domain.boundary, mesh, faces)


def prescribed(problem: StationaryProblem, mesh: Mesh) -> Values | None:
    """The values of Dirichlet faces `[n_1, ..., n_d]`, large elsewhere; None where there is no such face."""
    x, t = mesh.coordinates, jnp.zeros((), mesh.spacing.dtype)
    found = jnp.full(mesh.shape, unreached(x.dtype), x.dtype)
    empty = True
    for axis, faces in enumerate(problem.domain.boundary):
        if problem.domain.periodic[axis]:
            continue
        for index, face in zip((0, -1), faces, strict=True):
            place = (slice(None),) * axis + (index,)
            value = face.on_face(t, x[(slice(None), *place)], found[place])
            if value is not None:
                found, empty = found.at[place].min(value), False
    return None if empty else found


def held_faces(problem: StationaryProblem, epsilon: Array) -> Array:
    """Where a Dirichlet face holds its value: with viscosity, and where H is not convex; else leaving is a choice."""
    return epsilon > 0 if is_convex(problem.hamiltonian) else jnp.ones_like(epsilon, bool)


def inside(target: Target, mesh: Mesh) -> Array:
    """Which nodes lie in the target, up to round-off of their places."""
    distance = jax.vmap(target.distance)(mesh.points).reshape(mesh.shape)
    slack = 8 * jnp.finfo(distance.dtype).eps * jnp.max(jnp.abs(jnp.stack([mesh.domain.lower, mesh.domain.upper])))
    return distance <= slack


def check_target(problem: StationaryProblem, mesh: Mesh) -> None:
    """Refuse a target without a node."""
    if problem.target is None:
        return
    target, mesh = in_this_precision((problem.target, mesh))
    require(
        concrete(_holds_a_node(target, mesh)),
        "`target` holds no node of the grid. Widen it (distance − Δx for a point), raise `cells`, or move the box so "
        "that a node lies in it.",
    )


def in_this_precision(tree: _Tree) -> _Tree:
    """The tree with its numbers in JAX's current default precision, in which `solve` will have them."""
    return jax.tree.map(lambda a: jnp.asarray(a, float) if eqx.is_inexact_array(a) else a, tree)


@eqx.filter_jit
def _holds_a_node(target: Target, mesh: Mesh) -> Array:
    return jnp.any(inside(target, mesh))


def fixed_by_target(problem: StationaryProblem, mesh: Mesh, layers: int, epsilon: Array) -> tuple[Array, Values]:
    """The nodes fixed by the target, which are those in it and `layers` of nodes around it, and their values.

    Around the target, u = g + ∫ q along the segment to the nearest point y of the zero level, with the slope q normal
    to it: λg + H(x, ∇_T g + qn) = f at two Gauss points. Exact in the curvature of rays up to the third order in the
    distance, and in a varying cost to the second. Where viscosity decides (2ε > |∂H/∂p·n| Δx) it is no characteristic
    that leaves the target, and the nodes around it stay free.
    """
    shape = mesh.shape
    if problem.target is None:
        return jnp.zeros(shape, bool), jnp.zeros(shape, mesh.spacing.dtype)
    within = inside(problem.target, mesh)
    reach = within
    for _ in range(layers):
        reach = _grown(reach, mesh)
    around = reach & ~within
    near, speeds = (part.reshape(shape) for part in _around(problem, problem.target, mesh.points, around.reshape(-1)))
    costs = jax.vmap(problem.target.cost_at)(mesh.points).reshape(shape)
    fixed = within | (around & (2 * epsilon <= speeds * jnp.min(mesh.spacing)))
    return fixed, jnp.where(around, near, costs)


def _grown(marked: Array, mesh: Mesh) -> Array:
    """The marked nodes and their neighbours along the axes."""
    grown = marked
    for axis, periodic in enumerate(mesh.domain.periodic):
        for step in (1, -1):
            moved = jnp.roll(marked, step, axis)
            edge = (slice(None),) * axis + (0 if step == 1 else -1,)
            grown = grown | (moved if periodic else moved.at[edge].set(False))
    return grown


def _around(problem: StationaryProblem, target: Target, points: Array, wanted: Array) -> tuple[Values, Values]:
    """U at the wanted points near the target and the speed of characteristics there; anything at the others."""
    feet, normals = (jax.lax.stop_gradient(part) for part in jax.vmap(lambda x: _foot(target, x))(points))
    stand_in = jnp.argmax(wanted)  # at other places the distance may have no derivative: nothing is asked there
    points, feet, normals = (jnp.where(wanted[:, None], part, part[stand_in]) for part in (points, feet, normals))

    def value(x: Point, foot: Point, normal: Point) -> tuple[Scalar, Scalar]:
        level, slope = jax.value_and_grad(target.distance)(foot)
        steepness = jax.lax.stop_gradient(jnp.sqrt(jnp.sum(slope**2)))
        # the level is 0 in value: what moves the target moves the foot
        foot = foot - level / jnp.where(steepness > 0, steepness, 1.0) * normal
        cost, tangent = jax.value_and_grad(target.cost_at)(foot)
        tangent = tangent - jnp.sum(tangent * normal) * normal
        length = jnp.sum((x - foot) * normal)
        places = [foot + s * (x - foot) for s in _GAUSS]
        (first, speed), (second, _) = (
            _normal_slope(problem, z, cost, s * length, tangent, normal) for s, z in zip(_GAUSS, places, strict=True)
        )
        return jnp.minimum(cost + jnp.abs(length) * (first + second) / 2, unreached(x.dtype)), speed

    return jax.vmap(value)(points, feet, normals)


def _foot(target: Target, x: Point) -> tuple[Point, Point]:
    """The nearest point of the zero level, by Newton's method along the gradient, and the unit vector from it to x."""

    def gradient(y: Point) -> tuple[Scalar, Point, Scalar]:
        level, slope = jax.value_and_grad(target.distance)(y)
        squared = jnp.sum(slope**2)
        return level, slope, jnp.where(squared > 0, squared, 1.0)

    y = x
    for _ in range(4):
        level, slope, squared = gradient(y)
        y = y - level * slope / squared
    away = x - y
    length = jnp.sqrt(jnp.sum(away**2))
    return y, away / jnp.where(length > 0, length, 1.0)


def _normal_slope(
    problem: StationaryProblem, x: Point, cost: Scalar, distance: Scalar, tangent: Point, normal: Point
) -> tuple[Scalar, Scalar]:
    """The largest q >= 0 with λ(cost + q·distance) + H(x, tangent + q·normal) = f(x), else 0; and the speed ∂H/∂q."""
    t = jnp.zeros((), x.dtype)
    right = problem.right_side(x[None])[0] - problem.discount * cost

    def misfit(q: Scalar) -> Scalar:
        return problem.discount * q * distance + problem.hamiltonian(t, x, tangent + q * normal) - right

    def improved(q: Scalar) -> Scalar:
        value, slope = jax.lax.stop_gradient(jax.value_and_grad(misfit)(q))
        limit = unreached(x.dtype)
        return jnp.clip(jnp.where(slope > 0, q - value / jnp.where(slope > 0, slope, 1.0), limit), 0.0, limit)

    q = jax.lax.fori_loop(0, _NEWTON_STEPS, lambda _, q: improved(q), jnp.ones((), x.dtype))
    q = jax.lax.stop_gradient(q)
    slope = jax.lax.stop_gradient(jax.grad(misfit)(q))
    # one more step, now differentiated, brings in ∂q = −∂H/(∂H/∂q)
    return jnp.clip(q - jnp.where(slope > 0, misfit(q) / jnp.where(slope > 0, slope, 1.0), 0.0), 0.0), slope


def upwind_gradient(mesh: Mesh, u: Values, derivative: AbstractDerivative) -> Vectors:
    """∇u `[d, n_1, ..., n_d]`, on every axis the one-sided derivative on the side of the smaller neighbour.

    0 at a minimum, and where nothing is reached.
    """
    reached = u < unreached(u.dtype) / 2
    u = jnp.where(reached, u, 0.0)
    slopes = []
    for axis, spacing in enumerate(mesh.spacing):
        minus, plus = derivative(mesh.padded(u, axis, derivative.width), spacing, axis)
        slope = jnp.where(minus >= -plus, jnp.maximum(minus, 0.0), jnp.minimum(plus, 0.0))
        slopes.append(jnp.where(reached, slope, 0.0))
    return jnp.stack(slopes)
