"""The solution near a ray, with its derivatives: a jet at the ray's end, and the action along it."""

import jax
import jax.numpy as jnp
import numpy as np

from ....problem import Problem
from ....typing import Array, Point, Scalar
from .rays import Rays

_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
NODES = np.append((1 + _GAUSS) / 2, 1.0)
"""Fractions of t at which a ray must be known: Gauss nodes of its action, and its end."""


def near_ray(problem: Problem, held: Problem, nodes: Array, ray: Rays, y: Point, t: Scalar, x: Point) -> Scalar:
    """U at (t, x) from the ray that ends there, with the derivatives of u in t, x and the problem's numbers.

    To second order u(t, x) = ū + p̄·δ − H τ + ½(∂_xx, ∂_xt, ∂_tt) about the ray's end, δ = x − x̄, τ = t − t̄, with
    ∂_xx u = S = ∂p/∂y (∂x/∂y)⁻¹, ∂_xt u = −(∂_xH + S ∂_pH), ∂_tt u = −(∂_tH + ∂_pH·∂_xt u). A change of the numbers
    moves u by that of g(y) − ∫ H dt along the ray (the envelope theorem), here the ray that ends at x.
    """
    last = jax.tree.map(lambda a: a[-1], ray)
    end = nodes[-1]
    inverse = jnp.linalg.inv(last.jacobian)
    inverse = jnp.where(jnp.all(jnp.isfinite(inverse)), inverse, 0.0)
    curvature = last.bend @ inverse
    curvature = (curvature + curvature.T) / 2
    energy, (energy_t, energy_x, velocity) = jax.value_and_grad(held.hamiltonian, argnums=(0, 1, 2))(
        end, _wrapped(held, last.x), last.p
    )
    energy, energy_t, energy_x, velocity = jax.lax.stop_gradient((energy, energy_t, energy_x, velocity))
    mixed = -(energy_x + curvature @ velocity)
    twice = -(energy_t + velocity @ mixed)
    delta, tau = x - last.x, t - end
    jet = last.u + last.p @ delta - energy * tau
    jet = jet + 0.5 * delta @ (curvature @ delta) + tau * (mixed @ delta) + 0.5 * twice * tau**2

    start = inverse @ (delta - velocity * tau)

    def action(problem: Problem) -> Scalar:
        height = problem.initial(_wrapped(problem, y + start))  # type: ignore[operator]
        along = jax.tree.map(lambda a: a[:-1], ray)
        places = _wrapped(problem, along.x + along.jacobian @ start)
        energies = jax.vmap(problem.hamiltonian)(nodes[:-1], places, along.p + along.bend @ start)
        cost = 0.5 * end * jnp.sum(jnp.asarray(_WEIGHTS, x.dtype) * energies)
        return height - cost - tau * problem.hamiltonian(end, _wrapped(problem, last.x), last.p)

    return jet + action(problem) - action(held)


def _wrapped(problem: Problem, x: Point) -> Point:
    return problem.domain.wrap(x) if any(problem.domain.periodic) else x
