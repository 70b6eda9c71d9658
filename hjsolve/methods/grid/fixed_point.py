"""Fixed points u = T(u) of local updates, found by sweeps and differentiated by the implicit function theorem."""

import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...kernels.sweep import Near, neighbours, sweep_all, turned
from ...problem.boundaries import AbstractBoundary
from ...typing import Array, ArrayLike, Scalar, Values
from .local_updates import AbstractUpdate, unreached
from .mesh import Mesh
from .stationary_grid import with_faces

_Tree = TypeVar("_Tree")


class SweptEquation(eqx.Module):
    """u = update(neighbours of u) at `free` nodes, u = `values` at the others."""

    update: AbstractUpdate
    mesh: Mesh
    data: dict[str, Any]
    free: Array
    values: Values
    cap: Values | None
    """What u may not exceed: the price of leaving through a face."""

    def fill(self, u: Values) -> Values:
        """U with the ghosts of every face."""
        width = self.update.width
        padded = jnp.pad(u, width, constant_values=unreached(u.dtype))
        inside = slice(width, -width)
        for axis in range(u.ndim):
            before, after = self.mesh.ghosts(u, axis, width)
            place = [inside] * u.ndim
            for part, ghosts in ((slice(None, width), before), (slice(-width, None), after)):
                place[axis] = part
                padded = padded.at[tuple(place)].set(ghosts)
        return padded

    def local(self, near: Near, data: Any, flips: list[Array]) -> Values:
        """The update under the cap, at some nodes; `data` are those of `node_data` there."""
        cap, own = data
        new = self.update(near, own, flips)
        return new if cap is None else jnp.minimum(new, cap)

    @property
    def node_data(self) -> Any:
        """What `local` needs at every node."""
        return self.cap, self.data

    def apply(self, u: Values) -> Values:
        """T(u), all nodes at once."""
        near = neighbours(self.fill(u), self.update.width)
        flips = [jnp.asarray(False)] * (u.ndim - 1)
        return jnp.where(self.free, self.local(near, self.node_data, flips), self.values)

    def residual(self, u: Values) -> Scalar:
        """The largest residual of the discrete equation at free nodes below the cap."""
        free = self.free if self.cap is None else self.free & (u < self.cap)
        near = neighbours(self.fill(u), self.update.width)
        return jnp.max(jnp.where(free, jnp.abs(self.update.residual(near, self.data)), 0.0))


def at_width(equation: SweptEquation, width: int, beyond: AbstractBoundary) -> SweptEquation:
    """The same with differences of another width, and another continuation at the silent faces."""
    update = dataclasses.replace(equation.update, width=width)
    mesh = with_faces(equation.mesh, beyond)
    return SweptEquation(update, mesh, equation.data, equation.free, equation.values, equation.cap)


def held(tree: _Tree) -> _Tree:
    """The tree with nothing to differentiate in it."""
    return jax.tree.map(lambda a: jax.lax.stop_gradient(a) if eqx.is_inexact_array(a) else a, tree)


def iterate(
    equation: SweptEquation, u: Values, tolerance: float, rounds: int, change: ArrayLike = np.inf
) -> tuple[Values, Array, Scalar]:
    """Rounds of 2^d sweeps until u changes by less than `tolerance` times its largest value: (u, rounds, change).

    None if the `change` to begin with is small already.
    """
    equation, u = held((equation, u))
    width = equation.update.width

    def unfinished(carry: Any) -> Array:
        _, count, change = carry
        return (change > tolerance) & (count < rounds)

    def once(carry: Any) -> Any:
        u, count, _ = carry
        new = sweep_all(equation.local, equation.fill, u, equation.node_data, equation.free, width)
        size = jnp.max(jnp.where(new < unreached(u.dtype) / 2, jnp.abs(new), 0.0))
        moved = jnp.max(jnp.abs(new - u))
        return new, count + 1, moved / jnp.where(size > 0, size, 1.0)

    return jax.lax.while_loop(unfinished, once, (u, jnp.zeros((), int), jnp.asarray(change, u.dtype)))


@eqx.filter_custom_vjp
def implicit(equation: SweptEquation, u: Values, tolerance: float, rounds: int) -> Values:
    """The fixed point u of `equation`, with the derivative of an exact one: ū = (1 − ∂T/∂u)^{−T} and one pull-back."""
    return u


@implicit.def_fwd  # type: ignore[untyped-decorator]
def _forward(perturbed: Any, equation: SweptEquation, u: Values, tolerance: float, rounds: int) -> tuple[Values, None]:
    return u, None


@implicit.def_bwd  # type: ignore[untyped-decorator]
def _backward(
    residuals: None,
    cotangent: Values,
    perturbed: Any,
    equation: SweptEquation,
    u: Values,
    tolerance: float,
    rounds: int,
) -> Any:
    adjoint = _solve_adjoint(equation, u, cotangent, tolerance, rounds)
    _, pull_back = eqx.filter_vjp(lambda e: e.apply(u), equation)
    return pull_back(adjoint)[0]


def _solve_adjoint(equation: SweptEquation, u: Values, cotangent: Values, tolerance: float, rounds: int) -> Values:
    """μ = ū + (∂T/∂u)ᵀμ by the sweeps that found u, now from the end of every characteristic to its start.

    What passes from node to node is swept; what passes through ghosts is brought up to date before every round.
    """
    width = equation.update.width
    coefficients = _transposed_coefficients(equation, u)
    everywhere = jnp.ones(u.shape, bool)
    _, full = jax.vjp(equation.apply, u)

    def pad(mu: Values) -> Values:
        return jnp.pad(mu, width)

    def passed(near: Near, coefficients: list[tuple[Values, ...]]) -> Values:
        pairs = zip(sum(coefficients, ()), sum(near, ()), strict=True)
        return sum((weight * value for weight, value in pairs), start=jnp.zeros_like(near[0][0]))

    def step(near: Near, data: Any, flips: list[Array]) -> Values:
        right, coefficients = data
        return right + passed(turned(near, flips), coefficients)

    def unfinished(carry: Any) -> Array:
        _, count, change = carry
        return (change > tolerance) & (count < rounds)

    def once(carry: Any) -> Any:
        mu, count, _ = carry
        right = cotangent + full(mu)[0] - passed(neighbours(pad(mu), width), coefficients)
        new = sweep_all(step, pad, mu, (right, coefficients), everywhere, width)
        size = jnp.max(jnp.abs(new))
        return new, count + 1, jnp.max(jnp.abs(new - mu)) / jnp.where(size > 0, size, 1.0)

    start = (cotangent, jnp.zeros((), int), jnp.asarray(jnp.inf, u.dtype))
    return jax.lax.while_loop(unfinished, once, start)[0]


def _transposed_coefficients(equation: SweptEquation, u: Values) -> list[tuple[Values, ...]]:
    """By axis and offset k, ∂T/∂(neighbour −k) of the neighbour k: what a node passes on to it in reverse."""
    width = equation.update.width
    flips = [jnp.asarray(False)] * (u.ndim - 1)
    _, pull_back = jax.vjp(
        lambda near: equation.local(near, equation.node_data, flips), neighbours(equation.fill(u), width)
    )
    (slopes,) = pull_back(equation.free.astype(u.dtype))  # nodes are independent: one pull-back gives them all
    result = []
    for m, row in enumerate(slopes):
        moved = []
        for k in range(-width, width + 1):
            padded = jnp.pad(row[width - k], width)
            moved.append(neighbours(padded, width)[m][width + k])
        result.append(tuple(moved))
    return result
