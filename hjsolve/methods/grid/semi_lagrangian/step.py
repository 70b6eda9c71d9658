"""One step: where an input leads back to, what is found there, and what it cost."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ....problem import Problem
from ....problem.boundaries import Dirichlet, Neumann
from ....problem.hamiltonians.base import as_column
from ....problem.viscosities import Constant
from ....typing import Array, Scalar, Values, Vectors
from ..derivatives import WENO3
from ..mesh import Mesh
from .systems import System, known_system

_GHOSTS = 3
"""So that the last cell's four nodes are ghosts or the face: what is continued by a line stays on it."""
_RATIO = 3.0
"""Of neighbouring second differences: beyond it the flatter parabola is taken."""
_SLACK = 1e-3
"""Of a cell: a path that ends this far beyond a face has not left."""


class Step(eqx.Module):
    """One step from time t, where u is given on the mesh: where each input leads, and what that costs."""

    problem: Problem
    mesh: Mesh
    t: Scalar
    dt: Scalar
    u: Values
    wide: Values
    order: int = eqx.field(static=True)

    def __init__(self, problem: Problem, mesh: Mesh, t: Scalar, dt: Scalar, u: Values, order: int):
        self.problem, self.mesh, self.t, self.dt, self.u, self.order = problem, mesh, t, dt, u, order
        wide = u
        for axis in range(u.ndim):
            wide = mesh.padded(wide, axis, _GHOSTS)
        self.wide = wide

    @property
    def system(self) -> "System":
        """What moves."""
        return known_system(self.problem)

    def value(self, w: Vectors, cost: Values, *, linear: bool = False) -> Values:
        """What an input of that cost a unit of time leads to, signed so that less is better."""
        smooth, share = self.outcome(w, lambda y: self._mean(y, lambda z: self._at(z, linear)[None])[0])
        return self.system.form.sign * (smooth + share * self.dt * cost)

    def with_slope(self, w: Vectors, cost: Values) -> tuple[Values, Vectors]:
        """`value`, and its derivative by w a unit of time but for the cost."""

        def look(y: Vectors) -> Values:
            return _with_derivatives(self._mean(jax.lax.stop_gradient(y), self._tangent), y)

        smooth, pull_back, share = jax.vjp(lambda w: self.outcome(w, look), w, has_aux=True)
        (slope,) = pull_back(jnp.ones_like(smooth))
        sign = self.system.form.sign
        return sign * (smooth + share * self.dt * cost), sign * slope / self.dt

    def differentiable(self, w: Vectors) -> tuple[Values, Values]:
        """`outcome`, with derivatives by w and every number in the problem."""

        def once(y: Vectors) -> Values:
            return _with_derivatives(self._tangent(y), y)

        def mean(y: Vectors) -> Values:
            noise = self._noise(y)

            def add(total: Values, step: Array) -> tuple[Values, None]:
                return total + once(y + as_column(step, y)), None

            return jax.lax.scan(add, jnp.zeros_like(self.u), noise)[0] / len(noise)

        return self.outcome(w, lambda y: jax.lax.cond(self._epsilon > 0, mean, once, y))

    def outcome(self, w: Vectors, look: Callable[[Vectors], Values]) -> tuple[Values, Values]:
        """(u at the end of the path plus what H costs along it, the share of the step until it leaves the domain)."""
        x, system, end = self.mesh.coordinates, self.system, self.t + self.dt
        first = system.rate(end, x, w)
        y = x + self.dt * first
        if system.bends:
            y = x + self.dt / 2 * (first + system.rate(self.t, self._wrapped(y), w))
        y = jnp.broadcast_to(y, x.shape)
        running = system.running(self.t, end, x, self._wrapped(y))
        share, left = self._exit(x, y)
        return jnp.where(share < 1, left, look(y)) + share * self.dt * running, share

    @property
    def _epsilon(self) -> Scalar:
        assert isinstance(self.problem.viscosity, Constant)
        return jnp.asarray(self.problem.viscosity.epsilon)

    def _noise(self, y: Vectors) -> Array:
        """±√(2dεΔt) e_k `[2d, d]`."""
        d = len(y)
        unit = jnp.eye(d, dtype=y.dtype)
        return jnp.sqrt(2 * d * jnp.where(self._epsilon > 0, self._epsilon, 1.0) * self.dt) * jnp.concatenate(
            [unit, -unit]
        )

    def _mean(self, y: Vectors, look: Callable[[Vectors], Values]) -> Values:
        """The mean over places about y, or at y alone without viscosity; not differentiable."""
        noisy = self._epsilon > 0
        noise = jnp.where(noisy, self._noise(y), 0.0)
        count = jnp.where(noisy, len(noise), 1)
        total = jnp.zeros(jax.eval_shape(look, y).shape, y.dtype)
        total = jax.lax.fori_loop(0, count, lambda k, total: total + look(y + as_column(noise[k], y)), total)
        return total / count

    def _tangent(self, y: Vectors) -> Values:
        """U and its derivatives at y `[1 + d, ...]`, taken forwards: in a third of the time of a reverse pass."""
        found: list[Values] = []
        for k in range(len(y)):
            along = jnp.zeros_like(y).at[k].set(1.0)
            value, slope = jax.jvp(lambda y: self._at(y, linear=False), (jax.lax.stop_gradient(y),), (along,))
            found = [value, *found[1:], jax.lax.stop_gradient(slope)]
        return jnp.stack(found)

    def _wrapped(self, y: Vectors) -> Vectors:
        return jnp.moveaxis(self.problem.domain.wrap(jnp.moveaxis(y, 0, -1)), -1, 0)

    def _exit(self, x: Vectors, y: Vectors) -> tuple[Values, Values]:
        """The share of the straight path from x to y before a Dirichlet face, and the value there; 1 if it has none."""
        lower, upper = jnp.asarray(self.problem.domain.lower), jnp.asarray(self.problem.domain.upper)
        share, left = jnp.ones_like(self.u), jnp.zeros_like(self.u)
        for axis, side, face in faces_of(self.problem, Dirichlet):
            room = (upper[axis] - x[axis]) if side else (x[axis] - lower[axis])
            way = (y[axis] - x[axis]) if side else (x[axis] - y[axis])
            out = way > room + _SLACK * self.mesh.spacing[axis]
            part = jnp.where(out, jnp.maximum(room, 0.0) / jnp.where(out, way, 1.0), 1.0)
            value = face.on_face(self.t + self.dt * (1 - part), x + part * (y - x), self.u)
            left, share = jnp.where(part < share, value, left), jnp.minimum(part, share)
        return share, left

    def _at(self, y: Vectors, linear: bool) -> Values:
        """U at y, by the interpolation chosen."""
        mesh, starts, shares, steps = self.mesh, [], [], []
        extra = jnp.zeros_like(self.u)
        strides = np.cumprod([1, *self.wide.shape[:0:-1]])[::-1]
        for axis, nodes in enumerate(mesh.shape):
            place = (y[axis] - mesh.domain.lower[axis]) / mesh.spacing[axis]
            if mesh.domain.periodic[axis]:
                place = jnp.mod(place, nodes)
                cell = jnp.clip(jnp.floor(place), 0, nodes - 1)
            else:
                place, rise = _reflected(place, mesh.domain.boundary[axis], nodes - 1)
                extra = extra + rise * mesh.spacing[axis]
                cell = jnp.clip(jnp.floor(place), 1 - _GHOSTS, nodes + _GHOSTS - 3)
            starts.append((cell.astype(jnp.int32) + _GHOSTS) * int(strides[axis]))
            shares.append(place - cell)
            steps.append(int(strides[axis]))
        flat = self.wide.reshape(-1)
        straight = linear or self.order == 1
        join: Callable[..., Values] = _line if straight else _cubic
        reads = (0, 1) if straight else (-1, 0, 1, 2)

        def along(axis: int, index: Array) -> Values:
            if axis == len(starts):
                return flat.at[index].get(mode="clip")
            return join(*(along(axis + 1, index + k * steps[axis]) for k in reads), shares[axis])

        return along(0, sum(starts[1:], start=starts[0])) + extra


def _with_derivatives(found: Values, y: Vectors) -> Values:
    """U out of (u, ∇u) at y, with ∇u as its derivative by y."""
    return found[0] + jnp.sum(jax.lax.stop_gradient(found[1:]) * (y - jax.lax.stop_gradient(y)), axis=0)


def _line(u0: Values, u1: Values, s: Values) -> Values:
    return u0 + s * (u1 - u0)


def _cubic(before: Values, u0: Values, u1: Values, after: Values, s: Values) -> Values:
    """At s between u_0 and u_1: the line less s(1−s)/6·((2−s)d_0 + (1+s)d_1), with the second differences limited."""
    d0, d1 = (before - u0) + (u1 - u0), (u0 - u1) + (after - u1)
    low, high = (jnp.where(jnp.abs(a) > _RATIO * jnp.abs(b), b, a) for a, b in ((d0, d1), (d1, d0)))
    inside = jnp.clip(s, 0.0, 1.0)
    bend = inside * (1 - inside) / 6 * ((2 - inside) * low + (1 + inside) * high)
    return _line(u0, u1, s) - bend


def _reflected(place: Values, pair: Any, last: int) -> tuple[Values, Values]:
    """`place`, in cells, reflected at Neumann faces, and the rise in u per cell's width that their slopes add."""
    rise = jnp.zeros_like(place)
    lower, upper = pair
    if isinstance(lower, Neumann):
        over = jnp.maximum(-place, 0.0)
        place, rise = place + 2 * over, rise + 2 * over * lower.slope
    if isinstance(upper, Neumann):
        over = jnp.maximum(place - last, 0.0)
        place, rise = place - 2 * over, rise + 2 * over * upper.slope
    return place, rise


def faces_of(problem: Problem, kind: type) -> list[tuple[int, int, Any]]:
    """(axis, side, condition) of the faces of that kind."""
    domain = problem.domain
    pairs = [(axis, pair) for axis, pair in enumerate(domain.boundary) if not domain.periodic[axis]]
    return [(axis, side, face) for axis, pair in pairs for side, face in enumerate(pair) if isinstance(face, kind)]


def one_sided(mesh: Mesh, u: Values) -> tuple[Vectors, Vectors]:
    """(p⁻, p⁺) by WENO3."""
    derivative = WENO3()
    pairs = [derivative(mesh.padded(u, k, derivative.width), mesh.spacing[k], k) for k in range(u.ndim)]
    return jnp.stack([minus for minus, _ in pairs]), jnp.stack([plus for _, plus in pairs])
