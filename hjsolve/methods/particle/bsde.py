"""Deep backward stochastic differential equations: any H(t, x, p), in many dimensions, trained by `fit`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_ndim, require, whole_number
from ...problem import Problem
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .forward import at_zero, check_forward, forward_paths, gains, require_trained

_PILOT = 4096
_ANSWERING = 8192
_AHEAD = 30.0
"""How much faster Y_0 and the factors of ∇g move than the networks: Adam moves every number by about its rate a step,
and the few numbers that carry the mean must have arrived long before the networks' rate has decayed."""


class _Scales(eqx.Module):
    """Statistics of the pilot paths, in whose units the weights are of order one at any ε, T and d.

    Mean and deviation of g, mean of ∇g and the size of its components, and the spread `[steps - 1]` of X.
    """

    value: Scalar
    value_size: Scalar
    slope: Float[Array, "d"]
    slope_size: Scalar
    spread: Array


class _Weights(eqx.Module):
    """Y_0, Z_0 and for each later step a factor of ∇g and a network, in the units of the scales."""

    value: Scalar
    slope: Float[Array, "d"]
    factors: Float[Array, "later"]
    networks: eqx.nn.MLP


class _Answer(eqx.Module):
    """u and ∇u at the start, and the spread of Y_T − g(X_T) that is left."""

    value: Scalar
    slope: Float[Array, "d"]
    spread: Scalar


class DeepBSDE(AbstractRepresentation):
    """u(T, x₀) at one point, from the terminal value of a backward equation.

    With X from x₀ by dX = σ(T−s, X) dW, σσᵀ = 2εΣ, Itô's formula gives for Y_s = u(T−s, X_s), Z_s = ∇u(T−s, X_s):
    `dY = H(T−s, X, Z) ds + Z·σ dW`, Y_T = g(X_T).
    Trained are Y_0, Z_0 and for each of the later `steps` Z_n = z̄ + a_n(∇g(X_n) − z̄) + N_n(X_n) with a factor a_n and
    a network N_n, so that E|Y_T − g(X_T)|² is least; z̄ is the mean of ∇g(X_T). All start from what is known: Y_0 at
    the mean of g(X_T), a_n at s/T, N_n at zero. The integral of H is the trapezoid rule, with Z = ∇g at the end.

    `start` x₀ `[d]`; `width` of the two hidden layers (default d + 10). `hj.solve` answers at the last time and at
    `start` alone, and raises `RuntimeError` elsewhere: use `ForwardBackward` for a region. The answer is the best Y_0
    and Z_0 for the trained networks on 8192 fresh paths, so that it carries no noise of the optimiser;
    `stats["standard_error"]` is the sampling error of u, and `stats["terminal_rms"]` the spread of Y_T − g(X_T), which
    tells how good Z is.

    **Errors.** Time step: O(T/steps), because least squares makes Z_n the mean of ∇u over its step and bends it to
    cancel noise. Training: for H = c|p|², u is low by about c∫E|δZ|² ds for errors δZ of the networks. Paths have no
    drift: where ε is small they do not go where the control leads, and a drift in H adds its own noise; FeynmanKac is
    better for c|p|² + b·p − V.
    Cost a training step O(batch · steps · (d + width)·width).
    Source: Han, Jentzen & E 2018, doi:10.1073/pnas.1718942115, arXiv 1707.02568.
    """

    start: Float[Array, "d"]
    steps: int = eqx.field(static=True)
    width: int | None = eqx.field(static=True)
    weights: _Weights | None
    scales: _Scales | None
    horizon: Array | None

    def __init__(self, start: ArrayLike, *, steps: int = 20, width: int | None = None):
        self.start = as_array("start", start)
        check_ndim("start", self.start, 1, "[d]", "Give the one point at which u is wanted.")
        self.steps = whole_number("steps", steps, least=2, remedy="More steps lower the error in time.")
        self.width = None if width is None else whole_number("width", width, least=1, remedy="None is d + 10.")
        self.weights, self.scales, self.horizon = None, None, None

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the start, the horizon and the scales."""
        return tuple(jax.tree.leaves((self.start, self.scales, self.horizon)))

    def begin(self, problem: Problem, *, key: PRNGKeyArray) -> "DeepBSDE":
        """This method with weights: Y_0 = E[g(X_T)], Z_0 = E[∇g(X_T)], and networks that start at zero."""
        check_forward(problem, type(self).__name__)
        d = problem.dimension
        require(self.start.shape[0] == d, f"`start` must have {d} components; got {self.start.shape[0]}.")
        if self.weights is not None:
            return self
        return self._begun(problem, key)

    @eqx.filter_jit  # dozens of small programs take longer to compile
    def _begun(self, problem: Problem, key: PRNGKeyArray) -> "DeepBSDE":
        d = problem.dimension
        path_key, network_key = jax.random.split(key)
        places = jnp.broadcast_to(jnp.asarray(self.start), (_PILOT, d))
        paths = forward_paths(problem, places, self.steps, path_key)
        moved = jnp.sqrt(jnp.mean((paths.places[1:-1] - self.start) ** 2, axis=(1, 2)))
        scales = _Scales(
            jnp.mean(paths.data),
            _AHEAD * _positive(jnp.std(paths.data)),
            jnp.mean(paths.slopes[-1], axis=0),
            _positive(jnp.sqrt(jnp.mean(paths.slopes[-1] ** 2))),
            _positive(moved),
        )
        width = d + 10 if self.width is None else self.width

        @eqx.filter_vmap
        def network(key: PRNGKeyArray) -> eqx.nn.MLP:
            return at_zero(eqx.nn.MLP(d, d, width, 2, activation=jax.nn.silu, key=key))

        networks = network(jax.random.split(network_key, self.steps - 1))
        # ∇u(T−s, X) goes from the mean slope at s = 0 to ∇g(X) at s = T
        factors = jnp.arange(1, self.steps) / (_AHEAD * self.steps)
        weights = _Weights(jnp.zeros(()), jnp.zeros(d), factors, networks)
        return eqx.tree_at(
            lambda m: (m.weights, m.scales, m.horizon),
            self,
            (weights, scales, jnp.asarray(problem.horizon)),
            is_leaf=lambda leaf: leaf is None,
        )

    def residual_loss(self, problem: Problem, batch: int, *, key: PRNGKeyArray) -> Scalar:
        """The mean of |Y_T − g(X_T)|² over `batch` paths."""
        return jnp.mean(self._mismatch(problem, batch, key)[0] ** 2)

    def check(self, problem: Problem) -> None:
        """Refuse before training, and another horizon or dimension than trained for."""
        check_forward(problem, type(self).__name__)
        require_trained(self, problem, self.horizon)
        d = problem.dimension
        require(self.start.shape[0] == d, f"`start` must have {d} components; got {self.start.shape[0]}.")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> _Answer:
        """The best Y_0 and Z_0 for the trained networks: the mismatch of fresh paths regressed on their first noise."""
        assert key is not None
        value, slope = self._start_values()
        mismatch, first = self._mismatch(problem, _ANSWERING, key)
        centred = first - jnp.mean(first, axis=0)
        moved = jnp.linalg.solve(centred.T @ centred, centred.T @ mismatch)
        left = mismatch - centred @ moved
        return _Answer(value - jnp.mean(mismatch), slope - moved, jnp.std(left))

    def evaluate(
        self, problem: Problem, t: Scalar, state: _Answer, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """The best Y_0 and Z_0, at the horizon and the start; anything else raises `RuntimeError`."""
        assert points is not None and self.horizon is not None
        near = 1e-5 * (1 + jnp.max(jnp.abs(self.start)))
        elsewhere = jnp.any(jnp.abs(points - self.start) > near) | (jnp.abs(t - self.horizon) > 1e-5 * self.horizon)
        value = eqx.error_if(
            state.value,
            elsewhere,
            "a DeepBSDE knows u at its `start` and at the horizon it was trained for, and nowhere else; got other "
            "`points` or `ts`. Train another one there, or a ForwardBackward, which covers the domain.",
        )
        m = points.shape[0]
        error = jnp.broadcast_to(state.spread / _ANSWERING**0.5, (m,))
        stats = {"terminal_rms": state.spread, "standard_error": error}
        u, gradient = jnp.broadcast_to(value, (m,)), jnp.broadcast_to(state.slope, points.shape)
        return Evaluation(u, gradient, RESULTS.successful, stats)

    def equation(self, problem: Problem, state: _Answer | None = None) -> Problem:
        """The problem itself."""
        return problem

    def _mismatch(self, problem: Problem, batch: int, key: PRNGKeyArray) -> tuple[Array, Array]:
        """Y_T − g(X_T) `[batch]`, and the noise of the first step `[batch, d]`."""
        assert self.weights is not None and self.scales is not None
        weights, scales, d = self.weights, self.scales, problem.dimension
        places = jnp.broadcast_to(jnp.asarray(self.start), (batch, d))
        paths = forward_paths(problem, places, self.steps, key)

        def correction(network: Any, spread: Scalar, x: Points) -> Points:
            return scales.slope_size * jax.vmap(network)((x - self.start) / spread)

        value, slope = self._start_values()
        towards = _AHEAD * weights.factors[:, None, None] * (paths.slopes[1:-1] - scales.slope)
        later = scales.slope + towards
        later = later + eqx.filter_vmap(correction)(weights.networks, scales.spread, paths.places[1:-1])
        z = jnp.concatenate([jnp.broadcast_to(slope, (1, batch, d)), later, paths.slopes[-1:]])
        return value + jnp.sum(gains(problem, paths, z), axis=0) - paths.data, paths.noise[0]

    def _start_values(self) -> tuple[Scalar, Float[Array, "d"]]:
        """Y_0 and Z_0."""
        assert self.weights is not None and self.scales is not None
        value = self.scales.value + self.scales.value_size * self.weights.value
        return value, self.scales.slope + self.scales.slope_size * self.weights.slope


def _positive(size: Array) -> Array:
    """`size`, or 1 where the pilot paths show no variation at all."""
    return jnp.where(size > 0, size, 1.0)
