"""A network u(t, x) for the whole domain, trained on the backward equation along paths."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import require, whole_number
from ...problem import Problem
from ...results import RESULTS
from ...typing import Array, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .forward import ForwardPaths, at_zero, check_forward, forward_paths, gains, require_trained

_BLOCK = 256
_PILOT = 1024


class _Scales(eqx.Module):
    """The box that scales the inputs, and the mean and deviation of g over the paths, which scale the output."""

    centre: Array
    radius: Array
    mean: Scalar
    size: Scalar


class ForwardBackward(AbstractRepresentation):
    """A network u(t, x) for the whole domain and all times up to the horizon.

    Along dX = σ(T−s, X) dW from X_0 uniform in the domain, u must satisfy
    `u(T−s, X_s) = g(X_T) − ∫_s^T H(T−r, X, ∇u) dr − ∫_s^T ∇u·σ dW` at every s. The network is fitted to the right-hand
    side by least squares at all `steps` of the paths, with ∇u by autodiff and the trapezoid rule for H. The right-hand
    side is computed with the present network but not differentiated (Picard iteration): its noise, whose variance the
    discrete ∇u·σ dW cannot cancel, would otherwise be fitted too, and flatten u.
    The domain should hold the points where u is wanted; paths leave it freely (u solves the Cauchy problem), and
    periodic axes enter as sines and cosines.

    `width` and `depth` of the network, in units of the mean and deviation of g over the paths. A uniform point of a
    cube in many dimensions is never near its centre: u is learnt where the paths are, and extrapolated elsewhere. For
    one point in many dimensions use `DeepBSDE`.

    **Errors.** Time step: O((T/steps)²) for smooth u. The loss does not vanish: its floor is the noise of the discrete
    integral, O(T/steps). The rest is training.
    Cost a training step O(batch · steps · width · (d + depth·width)).
    Sources: Raissi 2018, arXiv 1804.07010 (one network along paths); Kapllani & Teng 2020, arXiv 2010.12889 (the loss
    at every step from the terminal value).
    """

    steps: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    network: eqx.nn.MLP | None
    scales: _Scales | None
    horizon: Array | None

    def __init__(self, *, steps: int = 20, width: int = 64, depth: int = 3):
        self.steps = whole_number("steps", steps, least=2, remedy="More steps lower the error in time.")
        self.width = whole_number("width", width, least=1, remedy="The default is 64.")
        self.depth = whole_number("depth", depth, least=1, remedy="The default is 3.")
        self.network, self.scales, self.horizon = None, None, None

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the horizon and the scales."""
        return tuple(jax.tree.leaves((self.scales, self.horizon)))

    def begin(self, problem: Problem, *, key: PRNGKeyArray) -> "ForwardBackward":
        """This method with weights, at which u is the mean of g."""
        check_forward(problem, type(self).__name__)
        if self.network is not None:
            return self
        return self._begun(problem, key)

    @eqx.filter_jit  # dozens of small programs take longer to compile
    def _begun(self, problem: Problem, key: PRNGKeyArray) -> "ForwardBackward":
        domain = problem.domain
        network_key, path_key = jax.random.split(key)
        data = self._paths(problem, _PILOT, path_key).data
        spread = jnp.std(data)
        centre = (jnp.asarray(domain.lower) + jnp.asarray(domain.upper)) / 2
        scales = _Scales(centre, domain.extent / 2, jnp.mean(data), jnp.where(spread > 0, spread, 1.0))
        features = 1 + len(domain.periodic) + sum(domain.periodic)
        network = eqx.nn.MLP(features, "scalar", self.width, self.depth, activation=jax.nn.silu, key=network_key)
        return eqx.tree_at(
            lambda m: (m.network, m.scales, m.horizon),
            self,
            (at_zero(network), scales, jnp.asarray(problem.horizon)),
            is_leaf=lambda leaf: leaf is None,
        )

    def residual_loss(self, problem: Problem, batch: int, *, key: PRNGKeyArray) -> Scalar:
        """The mean over paths and times of the squared difference of both sides."""
        horizon = jnp.asarray(problem.horizon)
        paths = self._paths(problem, batch, key)
        times = horizon * (1 - jnp.arange(self.steps + 1).astype(horizon.dtype) / self.steps)
        along = jax.vmap(jax.vmap(self._value_and_slope, in_axes=(None, None, 0)), in_axes=(None, 0, 0))
        u, z = along(problem, times, paths.places)
        ahead = jnp.cumsum(gains(problem, paths, jax.lax.stop_gradient(z))[::-1], axis=0)[::-1]
        target = paths.data - jnp.concatenate([ahead, jnp.zeros_like(ahead[:1])])
        return jnp.mean((u - target) ** 2)

    def _paths(self, problem: Problem, batch: int, key: PRNGKeyArray) -> ForwardPaths:
        place_key, path_key = jax.random.split(key)
        domain, dtype = problem.domain, jnp.asarray(problem.horizon).dtype
        fractions = jax.random.uniform(place_key, (batch, problem.dimension), dtype)
        return forward_paths(problem, jnp.asarray(domain.lower) + domain.extent * fractions, self.steps, path_key)

    def check(self, problem: Problem) -> None:
        """Refuse before training, and another horizon or dimension than trained for."""
        check_forward(problem, type(self).__name__)
        require_trained(self, problem, self.horizon)
        assert self.scales is not None
        d = self.scales.centre.shape[0]
        require(problem.dimension == d, f"the network was trained in d = {d}; the problem has {problem.dimension}.")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> None:
        """Nothing to share: the weights are the method's own."""

    def evaluate(
        self, problem: Problem, t: Scalar, state: None, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u of the network."""
        assert points is not None, "a network has no nodes; solve() refuses points=None"
        u, z = jax.lax.map(lambda x: self._value_and_slope(problem, t, x), points, batch_size=_BLOCK)
        return Evaluation(u, z, RESULTS.successful, {})

    def equation(self, problem: Problem, state: None = None) -> Problem:
        """The problem itself."""
        return problem

    def _value_and_slope(self, problem: Problem, t: Scalar, x: Point) -> tuple[Scalar, Point]:
        assert self.network is not None and self.scales is not None and self.horizon is not None
        network, scales, horizon = self.network, self.scales, self.horizon
        turning = np.flatnonzero(problem.domain.periodic)
        straight = np.flatnonzero(~np.asarray(problem.domain.periodic))

        def u(x: Point) -> Scalar:
            scaled = (x - scales.centre) / scales.radius
            angle = jnp.pi * scaled[turning]
            features = [2 * t / horizon[None] - 1, scaled[straight], jnp.sin(angle), jnp.cos(angle)]
            return scales.mean + scales.size * network(jnp.concatenate(features))

        return jax.value_and_grad(u)(x)
