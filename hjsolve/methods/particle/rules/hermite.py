"""Gauss-Hermite rules centred on Laplace's Gaussians: two to five dimensions, any viscosity."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from ....checks import require
from ....kernels.propagator import normaliser
from ....kernels.small import solve_transposed
from ....problem import Problem
from ....problem.hopf_cole import parameters
from ....results import RESULTS
from ....typing import Array, Float, Points, PRNGKeyArray, Scalar
from ...base import Evaluation
from ..minimiser import hopf_lax
from .base import AbstractRule, data, frozen, hulls, noise, over_blocks
from .local_box import on_local_box, order_change
from .modes import Modes, Starts, find_modes, grid_of_starts, squared_distance

_ORDERS = {2: (20, 14), 3: (14, 10), 4: (10, 7), 5: (8, 6)}
_ACCEPTED = 1e-7
"""Change between the two orders up to which Gauss-Hermite is kept; the finer one is far better than the change."""
_LARGEST_CHANGE = 3e-4
_TRUSTED = 0.1
"""Change between the orders below which Gauss-Hermite's sum, less ten times that, bounds the integral from below."""
_SEARCHED, _POLISHED = 16, 64
"""Queries at a time, in the caches' interest."""
_SEARCHES = 8
"""Minima from which a compass search goes on at ε = 0."""
_BLOCK = 2**16
"""Nodes of all queries in a block: 1 MB in float64 for d = 2."""
_LEAST_WEIGHT = 1e-18


class GaussHermite(AbstractRule):
    """Σ_k ∫ q_k f / Σ_l q_l, each q_k Laplace's Gaussian at a local minimiser of E(y) = g(y) + |x−y|²/(4ct).

    f = e^{−cE/ε}; q_k has the mass, mean and covariance (ε/c)(D²E)⁻¹ of f at its minimiser, and each term is a tensor
    Gauss-Hermite rule in its standardised variable (20, 14, 10, 8 nodes an axis for d = 2, 3, 4, 5). Exact for a
    mixture of Gaussians of one covariance, so for travelling multi-shocks at any ε, and the better the smaller ε.
    Minimisers are found for each query by damped Newton's method from the local minima of E on a jittered grid of the
    box that u depends on (49², 21³, 9⁴, 7⁵ nodes), from tangents of g and, for d > 2, from lines through those found
    (see `find_modes`), until none is left that may lead to one that matters. A few modes much closer than the grid's
    spacing are missed; hundreds of wells in 3 to 5 dimensions may be, without a flag.

    A second, lower order (14, 10, 7, 6) checks each query. Where they differ by more than 1e-7 (large ε with waves in
    g, degenerate minimisers, kinks), where more than 12 modes matter (16, 32 for d = 4, 5), and where g has waves that
    the grid does not follow, tensor rules on the query's own box {E < min E + 42ε/c} are taken if their own check is
    better: the trapezoid rule and, for d = 2 and 3, panels of Gauss-Legendre nodes split at its minimiser, for d = 4
    and 5 a spherical-radial rule around it. On a torus they fold all periods into one, so that any number of modes is
    summed.
    `stats["order_change"]` is the worst relative change of e^{−cu/ε} between the orders of the rule taken (0 where
    rounding hides it); above 3e-4 the result is `RESULTS.under_resolved`. (A kink 4 widths or more off the minimiser
    is seen by neither order; it moves u by up to 1e-5 ε/c.) ε = 0 is the lowest minimiser, by Newton's method and,
    for kinks, by compass search.

    Cost a query: 12 Newton iterations and 600 (d = 2), 3700, 12400, 40500 evaluations of g a mode, and 13000 (d = 2),
    4·10⁵, 8·10⁵, 10⁶ where it falls back (twice that at kinks for d = 3, up to 75000 for d = 2); memory 2^16 nodes at
    a time.
    Source: Liu & Pierce 1994, doi:10.1093/biomet/81.3.624 (Gauss-Hermite at the mode); Owen & Zhou 2000,
    doi:10.1080/01621459.2000.10473909 (the balance weights q_k/Σ q_l).
    """

    def check(self, problem: Problem) -> None:
        """Refuse dimensions other than 2 to 5."""
        require(
            problem.dimension in _ORDERS,
            f"GaussHermite is for 2 <= d <= 5; the problem has d = {problem.dimension}. "
            "Use GaussPanels for d = 1, Sampled beyond 5.",
        )

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> None:
        """Nothing: the minimisers are searched for each time, on the box that it depends on."""

    def evaluate(self, problem: Problem, t: Scalar, state: None, points: Points) -> Evaluation:
        """u and ∇u = Σ π_j (x − y_j)/(2ct) over the nodes."""
        _, epsilon = parameters(problem)
        low, high, which = hulls(problem, points)
        starts = grid_of_starts(problem, frozen(t), low, high)
        modes: Modes = over_blocks(partial(find_modes, problem, t, starts), _SEARCHED, frozen(points), which)

        def viscous() -> tuple[Array, Array, Array]:
            return _viscous(problem, t, points, modes, starts, which)

        def inviscid() -> tuple[Array, Array, Array]:
            lowest = modes.y[:, :_SEARCHES]
            u, slope = over_blocks(partial(_lowest, problem, t), _POLISHED, points, lowest, starts.spacing[which])
            return u, slope, jnp.where(modes.complete, 0.0, jnp.inf)

        u, slope, change = jax.lax.cond(epsilon > 0, viscous, inviscid)
        worst = jnp.max(change)
        result = RESULTS.where(worst > _LARGEST_CHANGE, RESULTS.under_resolved, RESULTS.successful)
        result = RESULTS.where(jnp.all(starts.covered[which]), result, RESULTS.unbounded)
        return Evaluation(u, slope, result, {"order_change": worst})


def _lowest(problem: Problem, t: Scalar, x: Points, found: Array, spacing: Array) -> tuple[Array, Array]:
    return hopf_lax(problem, t, x, found, jnp.repeat(spacing, found.shape[1], axis=0))


def _viscous(
    problem: Problem, t: Scalar, points: Points, modes: Modes, starts: Starts, which: Array
) -> tuple[Array, Array, Array]:
    """(u, ∇u, change between orders), by Gauss-Hermite and where that is uncertain on the query's own box."""
    c, epsilon = parameters(problem)
    d = problem.dimension
    fine, coarse = (_standard_nodes(n, d) for n in _ORDERS[d])
    block = max(1, min(64, _BLOCK // (len(fine[1]) + len(coarse[1]))))

    def mixture(x: Points, modes: Modes) -> tuple[Array, Array, Array]:
        return _mixture(problem, t, x, modes, fine, coarse)

    log_w, offset, change = over_blocks(mixture, block, points, modes)
    # where modes are missing, those found bound the integral from below, with a margin for the rule's own error
    least = jnp.where(~modes.complete & (change < _TRUSTED), frozen(log_w) - 10 * change, -jnp.inf)
    change = jnp.where(modes.complete, change, jnp.inf)
    grid = starts.y, starts.g, starts.spacing
    positive = jnp.where(epsilon > 0, epsilon, 1.0)  # the branch not taken stays finite under vmap and grad
    distance = jnp.sum((points - modes.y[:, 0]) ** 2, axis=1) / (4 * c * t)
    floor = frozen(noise(c / positive, jnp.abs(modes.energy[:, 0] - distance) + distance))

    def check(
        x: Array, modes: Modes, index: Array, floor: Array, least: Array, found: tuple[Array, Array, Array]
    ) -> tuple[Array, Array, Array]:
        enough = jnp.maximum(_ACCEPTED, floor)

        def again() -> tuple[Array, Array, Array]:
            own = jax.tree.map(lambda a: a[index], grid)
            log_w, offset, change = on_local_box(problem, t, x, modes, own, least, enough)
            better = change < found[2]
            return jax.tree.map(lambda a, b: jnp.where(better, a, b), (log_w, offset, change), found)

        chosen: tuple[Array, Array, Array] = jax.lax.cond(
            found[2] > jnp.maximum(_ACCEPTED, floor), again, lambda: found
        )
        return chosen

    log_w, offset, change = jax.lax.map(
        jax.checkpoint(lambda a: check(*a)), (points, modes, which, floor, least, (log_w, offset, change))
    )
    change = jnp.where(change > floor, change, 0.0)
    return -positive / c * log_w + normaliser(d, c, epsilon, t), offset / (2 * c * t), change


def _mixture(
    problem: Problem, t: Scalar, x: Points, modes: Modes, fine: tuple[Array, Array], coarse: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """(log ∫ e^{−cE/ε}, average of x − y, change between orders) at x `[m, d]`; modes that no query has are skipped."""
    c, epsilon = parameters(problem)
    kappa = c / jnp.where(epsilon > 0, epsilon, 1.0)
    steady = jax.lax.stop_gradient(kappa)
    m, count, d = modes.y.shape
    g = jax.vmap(data(problem))
    z = jnp.concatenate([fine[0], coarse[0]])
    log_node = jnp.concatenate([fine[1], coarse[1]])
    sharp = len(fine[1])
    crowded = jnp.any(modes.active[:, 1:])

    def alone(energy: Array) -> Array:
        return -steady * energy[:, None] - 0.5 * jnp.sum(z**2, axis=1)

    def term(k: Array) -> tuple[Array, Array, Array, Array]:
        centre, factor, energy = modes.y[:, k], modes.factor[:, k], modes.energy[:, k]
        spread = solve_transposed(jnp.repeat(factor, len(z), axis=0), jnp.tile(z, (m, 1))).reshape(m, len(z), d)
        y = frozen(centre[:, None, :] + spread / jnp.sqrt(steady))
        log_det = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
        log_mass = -steady * energy - log_det + 0.5 * d * jnp.log(2 * jnp.pi / steady)
        balance = jax.lax.cond(crowded, lambda: _log_mixture(modes, steady, y), lambda: alone(energy))
        away = x[:, None, :] - y
        scores = -kappa * (g(y.reshape(-1, d)).reshape(m, -1) + jnp.sum(away**2, axis=2) / (4 * c * t))
        scores = scores + jax.lax.stop_gradient(log_mass[:, None] + log_node - balance)
        rough = _reduced(*jax.lax.stop_gradient((scores[:, sharp:], away[:, sharp:])))
        return *_reduced(scores[:, :sharp], away[:, :sharp]), *rough

    def or_nothing(_: None, k: Array) -> tuple[None, tuple[Array, Array, Array, Array]]:
        active = modes.active[:, k]
        none, nowhere = jnp.full(m, -jnp.inf, x.dtype), jnp.zeros((m, d), x.dtype)

        def something() -> tuple[Array, Array, Array, Array]:
            log_w, offset, rough, rough_offset = term(k)
            return jnp.where(active, log_w, -jnp.inf), offset, jnp.where(active, rough, -jnp.inf), rough_offset

        return None, jax.lax.cond(jnp.any(active), something, lambda: (none, nowhere, none, nowhere))

    _, (log_w, offset, rough, rough_offset) = jax.lax.scan(jax.checkpoint(or_nothing), None, jnp.arange(count))
    log_w, offset = _joined(log_w, offset)
    return log_w, offset, order_change((log_w, offset), _joined(rough, rough_offset), jnp.sqrt(2 * epsilon * t))


def _log_mixture(modes: Modes, kappa: Scalar, y: Float[Array, "m n d"]) -> Float[Array, "m n"]:
    """log Σ_l q_l / (mass factors shared by all) at y: each Gaussian is e^{−κE_l} at its centre."""
    squares = squared_distance(modes.factor, y[:, None, :, :] - modes.y[:, :, None, :])
    logs = -kappa * modes.energy[:, :, None] - 0.5 * kappa * squares
    return jax.nn.logsumexp(jnp.where(modes.active[:, :, None], logs, -jnp.inf), axis=1)


def _reduced(scores: Float[Array, "m n"], away: Float[Array, "m n d"]) -> tuple[Array, Array]:
    """(log-sum, average of `away`)."""
    top = jax.lax.stop_gradient(jnp.max(scores, axis=1, keepdims=True))
    weights = jnp.exp(scores - top)
    total = jnp.sum(weights, axis=1)
    return top[:, 0] + jnp.log(total), jnp.sum(weights[:, :, None] * away, axis=1) / total[:, None]


def _joined(log_w: Float[Array, "k m"], offset: Float[Array, "k m d"]) -> tuple[Array, Array]:
    """(log-sum, average offset) of all modes."""
    top = jax.lax.stop_gradient(jnp.max(log_w, axis=0))
    shares = jnp.exp(log_w - top)
    total = jnp.sum(shares, axis=0)
    return top + jnp.log(total), jnp.sum(shares[..., None] * offset, axis=0) / total[:, None]


def _standard_nodes(order: int, d: int) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Tensor Gauss-Hermite nodes of the standard normal and their log-weights, without the negligible ones."""
    z, w = np.polynomial.hermite_e.hermegauss(order)
    w = w / w.sum()
    nodes = np.array(list(itertools.product(z, repeat=d)))
    weights = np.prod(np.array(list(itertools.product(w, repeat=d))), axis=1)
    kept = weights > _LEAST_WEIGHT * weights.max()
    dtype = jnp.result_type(float)
    return jnp.asarray(nodes[kept], dtype), jnp.asarray(np.log(weights[kept]), dtype)
