"""The closed loop as a differential equation, with noise or without."""

from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..problem import AbstractDomain, Problem, StationaryProblem
from ..typing import Array, Points, PRNGKeyArray, Scalar
from .closed_loop import Inputs, closed_loop
from .guide import Guide

_BEYOND = 0.1
"""Of the domain's extent: how far out of it ∇u is continued."""


class Loop(eqx.Module):
    """The closed loop; its time is the number of steps of length `dt` made so far."""

    problem: Problem | StationaryProblem
    guide: Guide
    begin: Scalar
    dt: Scalar
    walls: bool

    def act(self, number: Scalar, x: Points) -> tuple[Inputs, Array, Array]:
        """The inputs, component first, the running cost `[m]`, and the contact with the ceiling `[m]`."""
        problem, t = self.problem, self.time(number)
        # a step out of the domain is a whole one, to be cut where it leaves; what follows it must only stay finite
        x = inside(problem.domain, x, _BEYOND) if self.walls else x
        p, contact = self.guide(t, x)
        x, p = (problem.domain.wrap(x) if any(problem.domain.periodic) else x).T, p.T
        inputs = closed_loop(problem.hamiltonian, t, x, p)
        cost = -problem.hamiltonian(t, x, p) - jnp.sum(p * inputs.velocity, axis=0)
        if isinstance(problem, StationaryProblem):
            cost = jnp.exp(-problem.discount * number * self.dt) * (cost + problem.right_side(x.T))
        return inputs, cost, contact

    def field(self, number: Any, y: Any, args: Any) -> tuple[Points, Array]:
        """The change of places and costs, a step."""
        inputs, cost, _ = self.act(number, y[0])
        return self.dt * inputs.velocity.T, self.dt * cost

    def time(self, number: Scalar) -> Scalar:
        """The time to go; H of a stationary problem is evaluated at 0."""
        return jnp.zeros_like(self.dt) if isinstance(self.problem, StationaryProblem) else self.begin - number * self.dt


class Noise(diffrax.AbstractTerm[Any, Any]):
    """σ dW of each path; time is in steps, and costs have no noise.

    Draws are independent from step to step, by the step's number, and not those of a Brownian tree, which would cost
    eight times as much as all the rest.
    """

    loop: Loop
    varies: bool
    shape: tuple[int, int]
    key: PRNGKeyArray

    def vf(self, t: Any, y: Any, args: object) -> Array:
        """σ(t, x) `[m, d, k]`."""
        x, root, time = y[0], self.loop.problem.viscosity.root, self.loop.time(t)
        if self.varies:
            roots = jax.vmap(root, in_axes=(None, 0))(time, x)
        else:
            one = root(time, jnp.zeros_like(x[0]))
            roots = jnp.broadcast_to(one, (x.shape[0], *one.shape))
        return jnp.sqrt(self.loop.dt) * roots

    def contr(self, t0: Any, t1: Any, use_levy: bool = False, **kwargs: Any) -> Any:
        """ΔW `[m, k]` over the step from t0, with its space-time area for the solver that asks for it."""
        key = jax.random.fold_in(self.key, jnp.round(t0).astype(int))
        w, area = jax.random.normal(key, (2, *self.shape), jnp.result_type(self.loop.dt))
        return diffrax.SpaceTimeLevyArea(dt=t1 - t0, W=w, H=area / np.sqrt(12)) if use_levy else w

    def prod(self, vf: Array, control: Array) -> tuple[Points, Array]:
        """σ ΔW."""
        return jnp.einsum("mdk,mk->md", vf, control), jnp.zeros_like(control[:, 0])


def inside(domain: AbstractDomain, x: Points, beyond: float = 0.0) -> Points:
    """The nearest points of the domain, widened by `beyond` of its extent."""
    margin = beyond * domain.extent
    return jnp.where(jnp.asarray(domain.periodic), x, jnp.clip(x, domain.lower - margin, domain.upper + margin))
