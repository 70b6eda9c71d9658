"""The Gibbs measure of the Hopf-Cole solution at a point, and what it says: attribution, influence, curvature.

At (t, x) atom j has the energy `E_j = g_j + |x−y_j|²/(4ct)` and the weight `π_j ∝ ω_j exp(−cE_j/ε)`. Every function
takes a problem with H = c|p|² and constant ε > 0, a time `t` > 0 and one point `x` `[d]`, and vmaps over points. For
`Atoms` the solution meant is the unnormalised u_N; for function data the atoms are the nodes of the `Trapezoid` rule.
Source: arXiv 2605.28983, sections 8-9.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ..checks import as_array, check_ndim, check_range, require
from ..kernels.propagator import normaliser
from ..methods.particle import HopfCole, rules
from ..problem import Problem
from ..problem.hopf_cole import parameters
from ..problem.initials import Atoms
from ..typing import Array, ArrayLike, Float, Scalar


def weights(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "N"]:
    """π `[N]`: how much each atom contributes to u(t, x); sums to 1."""
    return jnp.exp(_measure(problem, t, x).log_weights)


def log_weights(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "N"]:
    """Log π `[N]`, exact where π underflows."""
    return _measure(problem, t, x).log_weights


def free_energy(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Scalar:
    """u(t, x) = −(ε/c) log Σ_j ω_j exp(−cE_j/ε), normalised for function data."""
    m = _measure(problem, t, x)
    return m.free_energy + (0.0 if m.unnormalised else normaliser(problem.dimension, m.c, m.epsilon, m.t))


def barycentre(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "d"]:
    """ȳ = Σ_j π_j y_j `[d]`, where the characteristic through (t, x) started, on average."""
    m = _measure(problem, t, x)
    return jnp.exp(m.log_weights) @ m.y


def gradient(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "d"]:
    """∇u = (x − ȳ)/(2ct) `[d]`."""
    m = _measure(problem, t, x)
    return (jnp.exp(m.log_weights) @ (m.x - m.y)) / (2 * m.c * m.t)


def hessian(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "d d"]:
    """D²u = I/(2ct) − Cov_π(y)/(4ct²ε) `[d, d]`."""
    m = _measure(problem, t, x)
    pi = jnp.exp(m.log_weights)
    centred = m.y - pi @ m.y
    covariance = (centred * pi[:, None]).T @ centred
    identity = jnp.eye(problem.dimension, dtype=m.y.dtype)
    return identity / (2 * m.c * m.t) - covariance / (4 * m.c * m.t**2 * m.epsilon)


def entropy(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Scalar:
    """Shannon's S(π) = −Σ_j π_j log π_j, in nats: 0 (one atom decides) to log N (all alike)."""
    logs = _measure(problem, t, x).log_weights
    return -jnp.sum(jnp.exp(logs) * logs)


def relative_entropy(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Scalar:
    """−Σ_j π_j log(π_j/ω_j), which enters ∂u/∂ε; equal to `entropy` for unit weights ω."""
    m = _measure(problem, t, x)
    return -jnp.sum(jnp.exp(m.log_weights) * (m.log_weights - m.log_quadrature))


def viscosity_derivative(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Scalar:
    """∂u/∂ε = −(1/c)·`relative_entropy`; for function data plus (d/2c)(log 4πεt + 1), at fixed nodes."""
    m = _measure(problem, t, x)
    relative = -jnp.sum(jnp.exp(m.log_weights) * (m.log_weights - m.log_quadrature))
    added = problem.dimension / (2 * m.c) * (jnp.log(4 * jnp.pi * m.epsilon * m.t) + 1)
    return -relative / m.c + (0.0 if m.unnormalised else added)


def time_derivative(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Scalar:
    """∂u/∂t = −Σ_j π_j |x−y_j|²/(4ct²); for function data plus dε/(2ct)."""
    m = _measure(problem, t, x)
    squares = jnp.sum((m.x - m.y) ** 2, axis=1)
    added = problem.dimension * m.epsilon / (2 * m.c * m.t)
    return -(jnp.exp(m.log_weights) @ squares) / (4 * m.c * m.t**2) + (0.0 if m.unnormalised else added)


def influence(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "N"]:
    """∂u/∂g_j = π_j `[N]`: the influence function of every atom at the cost of one evaluation."""
    return weights(problem, t=t, x=x)


def leave_one_out(problem: Problem, *, t: ArrayLike, x: ArrayLike) -> Float[Array, "N"]:
    """The exact change of u_N when atom j is deleted, −(ε/c) log(1 − π_j) `[N]`; +inf for an only atom.

    Where π_j rounds to 1 the other weights are summed instead, so that nothing cancels.
    """
    m = _measure(problem, t, x)
    top = jnp.argmax(m.log_weights)
    without_top = jax.nn.logsumexp(m.log_weights.at[top].set(-jnp.inf))
    is_top = jnp.arange(m.log_weights.shape[0]) == top
    # all but the heaviest have π <= 1/2, where log1p loses nothing
    others = jnp.log1p(-jnp.where(is_top, 0.0, jnp.exp(m.log_weights)))
    return -m.epsilon / m.c * jnp.where(is_top, without_top, others)


class _Measure(NamedTuple):
    log_weights: Float[Array, "N"]
    log_quadrature: Float[Array, "N"]
    y: Float[Array, "N d"]
    free_energy: Scalar
    unnormalised: bool
    c: Scalar
    epsilon: Scalar
    t: Scalar
    x: Float[Array, "d"]


def _measure(problem: Problem, t: ArrayLike, x: ArrayLike) -> _Measure:
    rule = rules.Trapezoid()
    HopfCole(rule=rule).check(problem)
    time, point = jnp.asarray(as_array("t", t)), jnp.asarray(as_array("x", x))
    check_ndim("x", point, 1, "[d]", "Use jax.vmap for a batch of points.")
    d = problem.dimension
    require(point.shape == (d,), f"`x` must have shape [{d}]; got {point.shape}. The problem has dimension {d}.")
    check_range("t", time, above=0.0, remedy="The measure is a Dirac at t = 0.")
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 the measure sits on the minimisers alone.")
    if isinstance(problem.initial, Atoms):
        cloud = rules.given(problem.initial)
    else:
        point = problem.domain.wrap(point)
        cloud = rule.serving(problem, rule.prepare(problem), point[None])
    energies = cloud.g + jnp.sum((point - cloud.y) ** 2, axis=1) / (4 * c * time)
    scores = cloud.log_weights - c * energies / epsilon
    lse = jax.nn.logsumexp(scores)
    unnormalised = isinstance(problem.initial, Atoms)
    return _Measure(scores - lse, cloud.log_weights, cloud.y, -epsilon / c * lse, unnormalised, c, epsilon, time, point)
