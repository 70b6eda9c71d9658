"""Mixtures of Gaussians between the heat kernel and Laplace's, to sample the Hopf-Cole integrand from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....typing import Array, Float, Point, Scalar
from ..minimiser import newton, refine_minimum
from .base import data, frozen, frozen_data

PATH = 24
"""Gaussians from the kernel's to Laplace's."""
_NARROWER = (0.5, 0.2, 0.08, 0.03, 0.01)
"""Standard deviations of more, in Laplace's: at a kink the integrand is far narrower than its Hessian says."""
COMPONENTS = PATH + len(_NARROWER)
_STEEPEST = 1e8
_EM_STEPS = 20
_LEAST_SHARE = 0.03


class Proposal(eqx.Module):
    """Σ_j α_j N(mean_j, V diag(deviation_j²) Vᵀ): `basis` V `[d, d]`, `mean` (in that basis) and `deviation` `[J, d]`.

    `log_shares` log α `[J]`.
    """

    basis: Float[Array, "d d"]
    mean: Float[Array, "J d"]
    deviation: Float[Array, "J d"]
    log_shares: Float[Array, "J"]

    def place(self, component: Array, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Points of the given components `[n]` from standard normals z."""
        return (self.mean[component] + self.deviation[component] * z) @ self.basis.T

    def log_components(self, y: Float[Array, "n d"]) -> Float[Array, "J n"]:
        """The log-density of each component at y."""
        rotated = y @ self.basis

        def one(mean: Array, deviation: Array) -> Array:
            squares = jnp.sum(((rotated - mean) / deviation) ** 2, axis=1)
            return -0.5 * squares - jnp.sum(jnp.log(deviation)) - 0.5 * y.shape[1] * np.log(2 * np.pi)

        densities: Array = jax.lax.map(lambda a: one(*a), (self.mean, self.deviation))
        return densities

    def log_density(self, y: Float[Array, "n d"]) -> Float[Array, "n"]:
        """log Σ_j α_j N_j(y)."""
        density: Array = jax.nn.logsumexp(self.log_components(y) + self.log_shares[:, None], axis=0)
        return density


def propose(problem: Problem, t: Scalar, x: Point, centre: Point, curvature: Float[Array, "d d"]) -> Proposal:
    """Equal shares of 24 Gaussians on the path from the kernel N(x, 2εt) to Laplace's at the minimiser `centre`.

    Component β has the precision (c/ε)(1/(2ct) + β D²g) and the mean that minimises |x−y|²/(4ct) + β g, g being
    replaced by its quadratic model there, of Hessian `curvature`. In many dimensions the mass lies in a shell, where
    the mean curvature of g, not that at the minimiser, sets the scale: some β between 0 and 1 fits. Five narrower
    ones at the minimiser serve kinks.
    """
    problem, t, x = frozen((problem, t, x))
    c, epsilon = parameters(problem)
    d = x.shape[0]
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    stiffness = 1 / (2 * c * t)
    curvature = jnp.where(jnp.isfinite(curvature), curvature, 0.0)
    eigenvalues, basis = jnp.linalg.eigh((curvature + curvature.T) / 2)
    eigenvalues = jnp.clip(eigenvalues, -0.9 * stiffness, _STEEPEST * stiffness)
    steepest = jnp.max(jnp.abs(eigenvalues)) / stiffness
    # the widths of the steepest direction fall evenly on a logarithmic scale
    ladder = jnp.expm1(jnp.log1p(steepest) * jnp.linspace(0, 1, PATH, dtype=x.dtype))
    beta = jnp.where(steepest > 0, ladder / jnp.where(steepest > 0, steepest, 1.0), jnp.linspace(0, 1, PATH))[:, None]
    precision = stiffness + beta * eigenvalues
    # (y − x)·stiffness + β(p + D²g (y − centre)) = 0 with p = (x − centre)·stiffness
    away = (x - centre) @ basis
    mean = centre @ basis + away * stiffness * (1 - beta) / precision
    deviation = 1 / jnp.sqrt(kappa * precision)
    narrow = jnp.asarray(_NARROWER, x.dtype)[:, None] * deviation[-1]
    means = jnp.concatenate([mean, jnp.broadcast_to(centre @ basis, (len(_NARROWER), d))])
    shares = jnp.full(COMPONENTS, -np.log(COMPONENTS), x.dtype)
    return frozen(Proposal(basis, means, jnp.concatenate([deviation, narrow]), shares))


def minimum(problem: Problem, t: Scalar, x: Point) -> tuple[Point, Float[Array, "d d"]]:
    """The lowest minimiser found from x, a step down the data's gradient and the domain's centre, and D²g there."""
    c, _ = parameters(problem)
    g = data(problem)
    domain = problem.domain
    scale = 1 / (4 * c * t)
    slope = jax.grad(g)(x)
    slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
    starts = jnp.stack([x, x - 2 * c * t * slope, (jnp.asarray(domain.lower) + domain.upper) / 2])
    y, local = newton(g, jnp.broadcast_to(x, starts.shape), starts, scale)
    best = jnp.argmin(local.value)
    found = y[best]
    if x.shape[0] <= 3:  # the search without derivatives, for kinks, costs 3^d evaluations a round

        def energy(y: Array) -> Array:
            value: Array = jax.vmap(frozen_data(problem))(y) + scale * jnp.sum((x - y) ** 2, axis=1)
            return value

        found = refine_minimum(energy, found[None], jnp.maximum(jnp.max(jnp.abs(found - x)), 1e-3)[None])[0]
    return frozen((found, local.hessian[best] - 2 * scale * jnp.eye(x.shape[0], dtype=x.dtype)))


def adapted(proposal: Proposal, log_target: Array, y: Float[Array, "n d"]) -> Proposal:
    """Shares that fit the target best (cross-entropy), by 20 steps of expectation-maximisation on samples y.

    y are samples of the proposal, reweighted to the target. A small share stays spread evenly, against missing mass.
    """
    components = proposal.log_components(y)
    sampled = jax.nn.logsumexp(components + proposal.log_shares[:, None], axis=0)
    weights = jax.nn.softmax(log_target - sampled)

    def step(_: int, shares: Array) -> Array:
        parts = components + jnp.log(shares)[:, None]
        return jnp.exp(parts - jax.nn.logsumexp(parts, axis=0)) @ weights + _LEAST_SHARE / COMPONENTS

    shares = jax.lax.fori_loop(0, _EM_STEPS, step, jnp.exp(proposal.log_shares))
    return eqx.tree_at(lambda p: p.log_shares, proposal, jnp.log(shares / jnp.sum(shares)))
