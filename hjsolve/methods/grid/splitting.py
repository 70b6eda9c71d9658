"""Operator splitting: the exact propagator of c|p|², and transport along a drift with a potential as source."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...kernels.interpolate import interpolate
from ...problem import Problem
from ...problem.hopf_cole import Parts, on_domain, parameters, parts
from ...typing import Array, Scalar, Values, Vectors
from .heat import Flow, slabs_of, viscous
from .mesh import Mesh
from .sources import Nodes, source_nodes, target_nodes

_LEVELS = {2: 1, 4: 2}
"""Marches in parallel, each with half the step of the one before."""
_REFINE = 4
"""Steps are short and their kernels narrow: quintics refine the nodes, at an error O(h⁶) a step, not O(h²)."""
_FLOOR = 8
_TIMES = 9


class March(eqx.Module):
    """The state of a splitting: u `[levels, n_1, ..., n_d]` on `nodes`, a heat step of length `lag` short of its time.

    `error` `[levels]` bounds what interpolation has cost so far; `covered` says whether the nodes reach far enough.
    """

    u: Array
    lag: Array
    error: Array
    nodes: Nodes
    covered: Array


class Splitting(eqx.Module):
    """`u_t + c|∇u|² = εΔu` and `u_t + b·∇u = V` in turn: half a heat step, transport, half a heat step (Strang).

    Consecutive half steps are one. Of order 4 by extrapolation, (4u_{Δt/2} − u_{Δt})/3.
    """

    problem: Problem
    mesh: Mesh
    intervals: tuple[int, ...] = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def start(self) -> March:
        """The data on nodes that reach as far as the solution depends on them, with room for the drift."""
        problem, levels = self.problem, _LEVELS[self.order]
        c, epsilon = parameters(problem)
        g = on_domain(problem.initial, problem.domain)  # type: ignore[arg-type]
        nodes, covered = source_nodes(g, self.mesh, self.intervals, c, epsilon, problem.horizon, self._drifted())
        nodes = nodes.whole  # a march moves data between all of its nodes
        u = nodes.sample(g)
        zero = jnp.zeros(levels, u.dtype)
        return March(jnp.broadcast_to(u, (levels, *u.shape)), zero, zero, nodes, covered)

    def step(self, t: Scalar, dt: Scalar, march: March) -> March:
        """One step of the coarse march, and with order 4 two half steps of the fine one."""
        schedule = [(0, march.lag[0] + dt / 2, t, dt)]
        if self.order == 4:
            schedule += [(1, march.lag[1] + dt / 4, t, dt / 2), (1, dt / 2, t + dt / 2, dt / 2)]

        # one loop, so that heat and transport are compiled once
        def substep(carry: tuple[Array, Array], entry: tuple[Array, ...]) -> tuple[tuple[Array, Array], None]:
            u, error = carry
            level, heat, begun, length = entry
            flow = self._heat(u[level], march.nodes, march.nodes, heat, gradient=False)
            moved = self._transport(flow.u, march.nodes, begun, length)
            return (u.at[level].set(moved), error.at[level].add(flow.error)), None

        columns = tuple(jnp.stack([jnp.asarray(entry[k]) for entry in schedule]) for k in range(4))
        (u, error), _ = jax.lax.scan(substep, (march.u, march.error), columns)
        lag = dt / 2 ** jnp.arange(1, len(march.lag) + 1)
        return March(u, lag.astype(march.lag.dtype), error, march.nodes, march.covered)

    def flow(self, march: March) -> Flow:
        """The last heat step, to the nodes of the mesh; extrapolated for order 4."""
        targets = target_nodes(self.mesh)
        flows = jax.lax.map(
            lambda level: self._heat(level[0], march.nodes, targets, level[1], gradient=True), (march.u, march.lag)
        )
        fields = (flows.u, *flows.gradient)
        u, *gradient = (f[0] if self.order == 2 else (4 * f[1] - f[0]) / 3 for f in fields)
        error = jnp.max(flows.error + march.error)
        return Flow(u, tuple(gradient), jnp.max(flows.change), jnp.max(flows.interpolated), error)

    def _heat(self, u: Values, sources: Nodes, targets: Nodes, length: Scalar, gradient: bool) -> Flow:
        c, epsilon = parameters(self.problem)
        # ε = 0 as the limit: the interpolant's Hopf-Lax formula to round-off
        temperature = _FLOOR * jnp.finfo(u.dtype).eps * (jnp.max(u) - jnp.min(u) + jnp.finfo(u.dtype).tiny)
        epsilon = jnp.maximum(epsilon, jax.lax.stop_gradient(c * temperature))
        length = jnp.where(length > 0, length, 1.0)  # a march that has not begun is not asked for
        domain = self.problem.domain
        load, level = slabs_of(u), jnp.min(u)
        return viscous(
            load, level, sources, targets, domain, c, epsilon, length, gradient=gradient, whole=False, refine=_REFINE
        )

    def _transport(self, u: Values, nodes: Nodes, t: Scalar, dt: Scalar) -> Values:
        """`u_t + b·∇u = V` over [t, t + dt]: exact without drift, else along characteristics by a Runge-Kutta step."""
        own = self._parts()
        x = nodes.coordinates
        if not own.drifts:
            return u + dt * own.potential(x)

        def rate(s: Scalar, y: Vectors) -> tuple[Vectors, Values]:
            return own.drift(t + dt - s, y), own.potential(y)

        b1, v1 = rate(jnp.zeros_like(t), x)
        b2, v2 = rate(dt / 2, x - dt / 2 * b1)
        b3, v3 = rate(dt / 2, x - dt / 2 * b2)
        b4, v4 = rate(dt, x - dt * b3)
        feet = x - dt / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
        domain = self.problem.domain
        points = feet.reshape(domain.dimension, -1).T
        moved = interpolate(u, nodes.lower, nodes.spacing, domain.periodic, points, order=5)
        return moved.reshape(u.shape) + dt / 6 * (v1 + 2 * v2 + 2 * v3 + v4)

    def _drifted(self) -> Array:
        """How far the drift may carry along each axis: its largest component on the mesh's nodes times the horizon."""
        own = self._parts()
        horizon = jnp.asarray(self.problem.horizon)
        x = self.mesh.coordinates
        if not own.drifts:
            return jnp.zeros(x.shape[0], x.dtype)
        grid = tuple(range(1, x.ndim))
        largest = [jnp.max(jnp.abs(own.drift(s * horizon, x)), axis=grid) for s in jnp.linspace(0, 1, _TIMES)]
        return jax.lax.stop_gradient(horizon * jnp.max(jnp.stack(largest), axis=0))

    def _parts(self) -> Parts:
        found = parts(self.problem.hamiltonian)
        assert found is not None
        return found
