"""Rays of `u_t + H(t, x, ∇u) = 0`: position, slope, value, and how each ray moves with its start."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import optimistix

from ....problem import Problem
from ....problem.hopf_cole import on_domain
from ....problem.initials import AbstractInitial
from ....typing import Array, Float, Point, Scalar

_LONGEST = 64
"""Steps are at most the horizon over this, where the first crossing is looked for."""


class Rays(NamedTuple):
    """Rays from y: x, p = ∇u and u along them, `jacobian` ∂x/∂y and `bend` ∂p/∂y; any leading axes."""

    x: Float[Array, "... d"]
    p: Float[Array, "... d"]
    u: Float[Array, "..."]
    jacobian: Float[Array, "... d d"]
    bend: Float[Array, "... d d"]

    @property
    def determinant(self) -> Float[Array, "..."]:
        """det ∂x/∂y: 1 at t = 0; where it first vanishes rays cross."""
        return jnp.linalg.det(self.jacobian)


class Tracer(NamedTuple):
    """How rays are traced: tolerances of the integrator and its step limit."""

    rtol: Array
    atol: Array
    max_steps: int

    def to(self, problem: Problem, y: Point, t: Scalar) -> tuple[Rays, Array]:
        """The ray from y at time t > 0, and whether the integration reached it."""
        solution = self._integrate(problem, y, t, diffrax.SaveAt(t1=True))
        rays: Rays = jax.tree.map(lambda a: a[-1], solution.ys)
        return rays, jnp.asarray(solution.result == diffrax.RESULTS.successful)

    def along(self, problem: Problem, y: Point, ts: Float[Array, "s"]) -> tuple[Rays, Array]:
        """The ray from y at increasing times `ts`, and whether the integration reached the last."""
        solution = self._integrate(problem, y, ts[-1], diffrax.SaveAt(ts=ts))
        assert isinstance(solution.ys, Rays)
        return solution.ys, jnp.asarray(solution.result == diffrax.RESULTS.successful)

    def first_crossing(self, problem: Problem, y: Point) -> Scalar:
        """When det ∂x/∂y first vanishes along the ray from y; +inf if it does not before the horizon."""

        def determinant(t: Scalar, y: Rays, args: object, **_: object) -> Scalar:
            return y.determinant

        # a Newton iteration on the dense output; the tolerance is that of the time
        event = diffrax.Event(determinant, _root_finder(y))
        solution = self._integrate(problem, y, problem.horizon, diffrax.SaveAt(t1=True), event)
        assert solution.ts is not None
        crossed = solution.result == diffrax.RESULTS.event_occurred
        return jnp.where(crossed, solution.ts[-1], jnp.inf)

    def _integrate(
        self,
        problem: Problem,
        y: Point,
        t: Scalar,
        saveat: diffrax.SaveAt,
        event: diffrax.Event | None = None,
    ) -> diffrax.Solution:
        field = _field(problem)
        longest = None if event is None else t / _LONGEST
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Dopri8(),
            t0=0.0,
            t1=t,
            dt0=None,
            y0=_start(problem, y),
            saveat=saveat,
            stepsize_controller=diffrax.PIDController(self.rtol, self.atol, dtmax=longest),
            max_steps=self.max_steps,
            throw=False,
            event=event,
        )


def _field(problem: Problem) -> Callable[[Any, Any, Any], Rays]:
    """ẋ = ∂H/∂p, ṗ = −∂H/∂x, u̇ = p·∂H/∂p − H, and the linear equation that ∂x/∂y and ∂p/∂y satisfy along it."""
    domain = problem.domain

    def energy(t: Scalar, x: Point, p: Point) -> Scalar:
        return problem.hamiltonian(t, domain.wrap(x) if any(domain.periodic) else x, p)

    def motion(t: Scalar, x: Point, p: Point) -> tuple[Point, Point]:
        force, velocity = jax.grad(energy, argnums=(1, 2))(t, x, p)
        return velocity, -force

    def field(t: Scalar, rays: Rays, args: object) -> Rays:
        x, p, _, jacobian, bend = rays

        def column(dx: Point, dp: Point) -> tuple[Point, Point]:
            return jax.jvp(lambda x, p: motion(t, x, p), (x, p), (dx, dp))[1]

        velocity, force = motion(t, x, p)
        d_jacobian, d_bend = jax.vmap(column, in_axes=1, out_axes=1)(jacobian, bend)
        return Rays(velocity, force, jnp.sum(p * velocity) - energy(t, x, p), d_jacobian, d_bend)

    return field


def _start(problem: Problem, y: Point) -> Rays:
    assert isinstance(problem.initial, AbstractInitial)
    g = on_domain(problem.initial, problem.domain)
    u, p = jax.value_and_grad(g)(y)
    return Rays(y, p, u, jnp.eye(y.shape[0], dtype=y.dtype), jax.hessian(g)(y))


def _root_finder(like: Array) -> optimistix.Newton[Any, Any, Any]:
    tolerance = float(jnp.finfo(like.dtype).eps ** (2 / 3))
    return optimistix.Newton(rtol=tolerance, atol=tolerance)
