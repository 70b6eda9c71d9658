"""Importance sampling by Sobol points or Monte Carlo: any dimension."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp

from ....checks import require, whole_number
from ....kernels.propagator import normaliser
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....results import RESULTS
from ....typing import Array, Float, Points, PRNGKeyArray, Scalar
from ...base import Evaluation
from .base import AbstractRule, data, frozen, frozen_data
from .proposals import Proposal, adapted, minimum, propose
from .sobol import LARGEST_DIMENSION, independent, sobol

_BLOCKS = 8
_PILOT = 1024
_ROUNDS = 3
_LEAST_SAMPLES = 50


class Points01(eqx.Module):
    """Points in the unit cube of dimension d + 1, the last d coordinates made standard normal.

    `choice` `[r, n]` picks the Gaussian, `normal` `[r, n, d]` the place in it.
    """

    choice: Float[Array, "r n"]
    normal: Float[Array, "r n d"]


class Samples(eqx.Module):
    """Eight `blocks` of a net for the estimate and three `pilot` sets for the proposal."""

    blocks: Points01
    pilot: Points01


class Sampled(AbstractRule):
    """Importance sampling: u = −(ε/c) log (1/n) Σ_i f(y_i)/q(y_i), q a mixture of Gaussians made for each query.

    `samples` n (default 16384; best a power of 2). `points` = "sobol": a scrambled Sobol net of dimension d + 1 under a
    random digital shift (one coordinate picks the Gaussian, the others place the point in it); "random": independent
    points. The same points serve every time and place, drawn once from `solve(..., key=)`,
    so that u is a smooth function and its gradient that of these very sums.

    q (see `propose`) lies between the heat kernel N(x, 2εt) and Laplace's Gaussian at the Hopf-Lax minimiser; its
    shares are adapted in 3 rounds of 1024 samples (cross-entropy). ∇u is the average of ∇g (points move with x).
    `stats`: `effective_sample_size` `[m]` = (Σw)²/Σw²; `standard_error` `[m]` of u, from the spread of 8 blocks of n/8
    points (each a net too, so that it rather overstates the error of all of them together).
    Below 50 effective samples at any query the result is `RESULTS.under_sampled`: u is then likely too high, whatever
    its standard error says. Kinked data in many dimensions at small ε end so. One minimiser is sampled: a second one
    far away at nearly equal energy is missed. ε = 0: that minimiser's energy.

    Cost (n + 3072)·(g + 29 Gaussians) a query, and D²g and its eigenvectors once, O(d³); memory O(nd).
    Source: Owen, *Monte Carlo theory, methods and examples*, chapters 9 and 17; Owen & Zhou 2000,
    doi:10.1080/01621459.2000.10473909; de Boer et al. 2005, doi:10.1007/s10479-005-5724-z (cross-entropy).
    """

    samples: int = eqx.field(static=True)
    points: Literal["sobol", "random"] = eqx.field(static=True)

    def __init__(self, samples: int = 16384, points: Literal["sobol", "random"] = "sobol"):
        remedy = "Fewer than 50 effective ones mean nothing."
        require(points in ("sobol", "random"), f"`points` must be 'sobol' or 'random'; got {points!r}.")
        self.samples, self.points = whole_number("samples", samples, least=256, remedy=remedy), points

    def check(self, problem: Problem) -> None:
        """Refuse more dimensions than there are Sobol directions."""
        require(
            self.points == "random" or problem.dimension < LARGEST_DIMENSION,
            f"Sobol points exist up to d = {LARGEST_DIMENSION - 1}; the problem has d = {problem.dimension}. "
            "Set `points='random'`.",
        )

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Samples:
        """The points."""
        keys = jax.random.split(jax.random.key(0) if key is None else key, 1 + _ROUNDS)
        dtype = jnp.result_type(float)
        draw = sobol if self.points == "sobol" else independent

        def points(count: int, key: PRNGKeyArray) -> Points01:
            uniform = draw(count, problem.dimension + 1, key, dtype)
            return Points01(uniform[:, 0], jax.scipy.special.ndtri(uniform[:, 1:]))

        each = -(-self.samples // _BLOCKS)
        # consecutive stretches of a Sobol net are nets themselves
        blocks = jax.tree.map(lambda a: a.reshape(_BLOCKS, each, *a.shape[1:]), points(_BLOCKS * each, keys[0]))
        return Samples(blocks, jax.vmap(lambda k: points(_PILOT, k))(keys[1:]))

    def evaluate(self, problem: Problem, t: Scalar, state: Samples, points: Points) -> Evaluation:
        """u and ∇u at `points`, one query after another."""
        u, gradient, effective, error = jax.lax.map(jax.checkpoint(lambda x: _estimate(problem, t, state, x)), points)
        few = jnp.min(effective) < _LEAST_SAMPLES
        result = RESULTS.where(few, RESULTS.under_sampled, RESULTS.successful)
        return Evaluation(u, gradient, result, {"effective_sample_size": effective, "standard_error": error})


def _estimate(problem: Problem, t: Scalar, state: Samples, x: Array) -> tuple[Array, Array, Array, Array]:
    """(u, ∇u, effective samples, standard error) at one query x `[d]`."""
    c, epsilon = parameters(problem)
    y, curvature = minimum(*frozen((problem, t, x)))

    def viscous() -> tuple[Array, Array, Array, Array]:
        return _integral(problem, t, x, *_draw(problem, t, state, x, y, curvature))

    def inviscid() -> tuple[Array, Array, Array, Array]:
        lowest = data(problem)(y) + jnp.sum((x - y) ** 2) / (4 * c * t)
        size = jnp.asarray(1.0 * state.blocks.choice.size, x.dtype)
        return lowest, (x - y) / (2 * c * t), size, jnp.zeros_like(size)

    result: tuple[Array, Array, Array, Array] = jax.lax.cond(epsilon > 0, viscous, inviscid)
    return result


def _integral(
    problem: Problem, t: Scalar, x: Array, log_ratio: Float[Array, "n"], offsets: Float[Array, "n d"]
) -> tuple[Array, Array, Array, Array]:
    """The same from samples at x + offsets, of density exp(−`log_ratio`)."""
    c, epsilon = parameters(problem)
    positive = jnp.where(epsilon > 0, epsilon, 1.0)  # the branch not taken stays finite under vmap and grad
    g = data(problem)

    def log_w(x: Array) -> tuple[Scalar, Array]:
        values = jax.vmap(lambda s: g(x + s))(offsets)
        logs = log_ratio - c / positive * (values + jnp.sum(offsets**2, axis=1) / (4 * c * t))
        whole: Scalar = jax.nn.logsumexp(logs) - jnp.log(1.0 * len(logs))
        return whole, logs

    value, pullback, logs = jax.vjp(log_w, x, has_aux=True)
    u = -positive / c * value + normaliser(len(x), c, epsilon, t)
    (slope,) = pullback(jnp.ones_like(value))
    logs = jax.lax.stop_gradient(logs)
    effective = jnp.exp(2 * jax.nn.logsumexp(logs) - jax.nn.logsumexp(2 * logs))
    means = jax.nn.logsumexp(logs.reshape(_BLOCKS, -1), axis=1)
    relative = jnp.exp(means - jax.nn.logsumexp(means) + jnp.log(1.0 * _BLOCKS))
    error = jax.lax.stop_gradient(positive / c) * jnp.std(relative, ddof=1) / jnp.sqrt(1.0 * _BLOCKS)
    return u, -positive / c * slope, effective, error


def _draw(
    problem: Problem, t: Scalar, state: Samples, x: Array, centre: Array, curvature: Array
) -> tuple[Float[Array, "n"], Float[Array, "n d"]]:
    """−log q and y − x of the samples of the adapted proposal, block after block, without derivatives."""
    problem, t, x = frozen((problem, t, x))
    c, epsilon = parameters(problem)
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    g = jax.vmap(frozen_data(problem))

    def improve(proposal: Proposal, points: Points01) -> tuple[Proposal, None]:
        y = _placed(proposal, points)
        target = -kappa * (g(y) + jnp.sum((x - y) ** 2, axis=1) / (4 * c * t))
        return adapted(proposal, target, y), None

    proposal, _ = jax.lax.scan(improve, propose(problem, t, x, centre, curvature), state.pilot)
    y = _placed(proposal, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), state.blocks))
    return frozen((-proposal.log_density(y), y - x))


def _placed(proposal: Proposal, points: Points01) -> Array:
    """Samples `[n, d]` of the proposal: each component in proportion to its share."""
    edges = jnp.cumsum(jnp.exp(proposal.log_shares))
    component = jnp.minimum(jnp.searchsorted(edges, points.choice), len(edges) - 1)
    return proposal.place(component, points.normal)
