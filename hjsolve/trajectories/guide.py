"""∇u for paths to follow: of a representation as it is, of a grid interpolated from its nodes."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from ..methods.base import AbstractEvolution, AbstractMethod, AbstractStationary, State
from ..problem import AbstractDomain
from ..problem.obstacles import height
from ..typing import Array, Float, Points, Scalar

Guide = Callable[[Scalar, Points], tuple[Points, Array]]
"""∇u `[m, d]` at a time to go and points `[m, d]`, and `[m]` whether u touches the ceiling there (from 1/2 on)."""
_LAYERS = 3
"""Of nodes about a target's edge where ∇u is continued: one outside, and one step's reach inside."""


@runtime_checkable
class Meshed(Protocol):
    """A grid method with a `mesh(problem)` of nodes along the axes."""

    def mesh(self, problem: Any) -> "Grid":
        """The grid on the problem's domain."""
        ...


class Grid(Protocol):
    """Nodes along the axes of a domain."""

    @property
    def domain(self) -> AbstractDomain:
        """Where the nodes are."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes per axis."""
        ...

    def at(self, values: Array, points: Points, *, order: int) -> Array:
        """Interpolation of `values` `[n_1, ..., n_d, ...]` at points `[m, d]`."""
        ...


def guide(problem: Any, method: AbstractMethod, states: State, times: Float[Array, "s"]) -> Guide:
    """∇u for paths to follow: that of a representation itself; of a grid, interpolated.

    A grid's gradient is computed on the nodes at the saved `times` (to which `states` belong), interpolated by quintics
    in space and linearly in time. That of a stationary solution is continued into the target, where the method's is
    0, and interpolated linearly.
    """
    if isinstance(method, AbstractStationary):
        return _stationary_guide(problem, method, states)
    if not isinstance(method, AbstractEvolution):
        return lambda t, x: (
            method.evaluate(problem, t, states, x, key=jax.random.key(0)).gradient,
            jnp.zeros_like(x[:, 0]),
        )
    assert isinstance(method, Meshed)
    mesh, nodes = method.mesh(problem), method.nodes(problem).T

    def saved(entry: tuple[Scalar, State]) -> tuple[Array, Array | None]:
        t, found = entry[0], method.evaluate(problem, *entry, None)
        gradient = found.gradient.reshape(*mesh.shape, -1)
        if problem.ceiling is None:
            return gradient, None
        ceiling = height(problem.ceiling, t, nodes)
        rounding = 64 * jnp.finfo(nodes.dtype).eps * (1 + jnp.abs(ceiling))
        return gradient, (found.u >= ceiling - rounding).reshape(mesh.shape)

    gradients, touching = jax.lax.map(saved, (times, states))
    # at both ends of an interval: data that are the ceiling themselves touch it at time 0
    contact = None if touching is None else (touching[:-1] & touching[1:]).astype(nodes.dtype)

    def at(t: Scalar, x: Points) -> tuple[Points, Array]:
        k = jnp.clip(jnp.sum(times <= t) - 1, 0, len(times) - 2)
        # the first saved time may be the start itself
        length = times[k + 1] - times[k]
        weight = jnp.where(length > 0, (t - times[k]) / jnp.where(length > 0, length, 1.0), 1.0)
        p = mesh.at((1 - weight) * gradients[k] + weight * gradients[k + 1], x, order=5)
        return p, jnp.zeros_like(x[:, 0]) if contact is None else mesh.at(contact[k], x, order=1)

    return at


def _stationary_guide(problem: Any, method: AbstractStationary, state: State) -> Guide:
    assert isinstance(method, Meshed)
    mesh, nodes = method.mesh(problem), method.nodes(problem)
    gradient = method.evaluate(problem, jnp.zeros((), nodes.dtype), state, None).gradient.reshape(*mesh.shape, -1)
    if problem.target is not None:
        outside = jax.vmap(problem.target.distance)(nodes).reshape(mesh.shape) > 0
        # differences next to the target reach into it: they are continued too
        known = _neighbours(mesh, (~outside).astype(nodes.dtype)) == 0
        gradient = jnp.where(known[..., None], gradient, 0.0)
        for _ in range(_LAYERS):
            count = _neighbours(mesh, known.astype(nodes.dtype))
            mean = _neighbours(mesh, gradient) / jnp.maximum(count, 1)[..., None]
            gradient = jnp.where(known[..., None], gradient, mean)
            known = known | (count > 0)
    return lambda t, x: (mesh.at(gradient, x, order=1), jnp.zeros_like(x[:, 0]))


def _neighbours(mesh: Grid, values: Array) -> Array:
    """The sum of `values` `[n_1, ..., n_d, ...]` over each node and its 3^d − 1 neighbours."""
    for axis, periodic in enumerate(mesh.domain.periodic):
        padding = [(int(k == axis), int(k == axis)) for k in range(values.ndim)]
        padded = jnp.pad(values, padding, mode="wrap" if periodic else "constant")
        n = values.shape[axis]
        before, here, after = (jax.lax.slice_in_dim(padded, k, k + n, axis=axis) for k in range(3))
        values = before + here + after
    return values
