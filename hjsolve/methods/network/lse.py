"""The log-sum-exp layer: a network whose forward pass is the Hopf-Cole solution of a Hamilton-Jacobi equation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, check_shape, number, require, whole_number
from ...problem import Problem
from ...problem.hamiltonians import Quadratic
from ...problem.hopf_cole import parameters, require_hopf_cole, solved_by_propagator
from ...problem.initials import Atoms
from ...problem.viscosities import Constant
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .token_shares import MOST_OUTSIDE, outside_cloud

_BATCH = 256
_SAME_TIME = 1e-6


class LSE(AbstractRepresentation):
    """f(x) = ε log Σ_j exp((W_j·x + b_j)/ε), with `weights` W `[N, d]`, `bias` b `[N]`, `temperature` ε > 0.

    Read at `time` t with c = 1, its atoms are y_j = 2tW_j with energies g_j = −b_j − t|W_j|², and
    `f(x) + u_N(t, x) = |x|²/(4t)`, where u_N solves `u_t + |∇u|² = εΔu − dε/(2t)`. Evaluated at another time the layer
    keeps its atoms and moves t. `fit` trains the temperature only with `learn_temperature=True` (by its logarithm) and
    never the time.

    As a method it answers with u = (|x|²/(4t) − f)/c for the problem's c. For data that are a function the
    normalisation belongs to b at `time`, and (dε/2c) log(t/time) is added at another t; points are brought back to the
    period of a torus; `stats["outside"]` estimates the share of the sum that lies beyond the atoms, and later than
    `time` more than 1e-3 is `RESULTS.under_resolved`.
    b holds −|y_j|²/4t: of data far from 0 it loses digits, so count x from their middle.
    Source: arXiv 2605.28983.
    """

    weights: Float[Array, "N d"]
    bias: Float[Array, "N"]
    log_temperature: Array
    time: Array
    learn_temperature: bool = eqx.field(static=True)

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike,
        temperature: ArrayLike,
        *,
        time: ArrayLike = 1.0,
        learn_temperature: bool = False,
    ):
        self.weights = as_array("weights", weights)
        self.bias = as_array("bias", bias)
        check_ndim("weights", self.weights, 2, "[N, d]", "One row per unit; for d = 1 use W[:, None].")
        require(self.weights.size > 0, f"`weights` must hold at least one unit; got shape {self.weights.shape}.")
        shape = self.weights.shape[:1]
        require(self.bias.shape == shape, f"`bias` must have shape [N] = {shape}; got {self.bias.shape}.")
        epsilon = number("temperature", temperature)
        check_range("temperature", epsilon, above=0.0, remedy="The temperature is the viscosity; 0 would be max-plus.")
        self.log_temperature = (jnp if isinstance(epsilon, jax.Array) else np).log(epsilon)
        self.time = number("time", time)
        check_range("time", self.time, above=0.0, remedy="The layer is read as a solution at a positive time.")
        self.learn_temperature = learn_temperature

    @staticmethod
    def random(
        units: int, dimension: int, *, temperature: float, time: float = 1.0, scale: float = 1.0, key: PRNGKeyArray
    ) -> "LSE":
        """A layer whose atoms are Gaussian with standard deviation `scale` and whose energies g are zero."""
        whole_number("units", units, least=1, remedy="The atoms of the layer.")
        whole_number("dimension", dimension, least=1, remedy="The inputs of the layer.")
        y = scale * jax.random.normal(key, (units, dimension))
        return LSE(y / (2 * time), -jnp.sum(y * y, axis=1) / (4 * time), temperature, time=time)

    @property
    def temperature(self) -> Scalar:
        """ε."""
        return jnp.exp(jnp.asarray(self.log_temperature))

    @property
    def dimension(self) -> int:
        """The input dimension d."""
        return int(self.weights.shape[-1])

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the time, and the temperature unless it is to be learnt."""
        return (self.time,) if self.learn_temperature else (self.time, self.log_temperature)

    def __call__(self, x: Point) -> Scalar:
        """f(x), for one point x `[d]`."""
        check_shape("x", x, (self.dimension,), "one point: jax.vmap(network) takes rows")
        epsilon = self.temperature
        return epsilon * jax.nn.logsumexp((jnp.asarray(self.weights) @ x + self.bias) / epsilon)

    def atoms(self, time: ArrayLike | None = None) -> Atoms:
        """y_j = 2tW_j and g_j = −b_j − t|W_j|² at `time` (default the layer's own)."""
        t = self.time if time is None else jnp.asarray(time)
        squares = jnp.sum(jnp.asarray(self.weights) ** 2, axis=1)
        return Atoms(2 * t * jnp.asarray(self.weights), -jnp.asarray(self.bias) - t * squares)

    def check(self, problem: Problem) -> None:
        """Refuse a Hamiltonian that is not c|p|², varying viscosity, or another dimension."""
        require_hopf_cole(problem, "An LSE network", "Use hj.methods.grid.FiniteDifference.")
        require(
            problem.dimension == self.dimension,
            f"`weights` take d = {self.dimension} inputs but the problem has dimension {problem.dimension}.",
        )

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Atoms:
        """The layer's atoms."""
        return self.atoms()

    def evaluate(
        self, problem: Problem, t: Scalar, state: Atoms, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u by the network's forward and backward pass with its weights moved to time t."""
        assert points is not None, "an LSE network has no nodes; solve() refuses points=None"
        c, epsilon = parameters(problem)[0], self.temperature
        y, g = jnp.asarray(state.y), jnp.asarray(state.g)
        moved = eqx.tree_at(lambda n: (n.weights, n.bias), self, (y / (2 * t), -g - jnp.sum(y * y, axis=1) / (4 * t)))
        given = isinstance(problem.initial, Atoms)
        x = points if given else problem.domain.wrap(points)
        f, slope = jax.lax.map(jax.value_and_grad(moved.__call__), x, batch_size=_BATCH)
        u, gradient = (jnp.sum(x**2, axis=1) / (4 * t) - f) / c, (x / (2 * t) - slope) / c
        if given:
            return Evaluation(u, gradient, RESULTS.successful, {})
        u = u + self.dimension * epsilon / (2 * c) * jnp.log(t / self.time)
        beyond = jax.lax.map(moved._outside, x, batch_size=_BATCH)
        covered = (t <= self.time * (1 + _SAME_TIME)) | (jnp.max(beyond) <= MOST_OUTSIDE)
        result = RESULTS.where(covered, RESULTS.successful, RESULTS.under_resolved)
        return Evaluation(u, gradient, result, {"outside": beyond})

    def _outside(self, x: Point) -> Scalar:
        """The share of the sum at x beyond the atoms, about."""
        weights = jnp.asarray(self.weights)
        return outside_cloud(jax.nn.softmax((weights @ x + self.bias) / self.temperature), weights)

    def equation(self, problem: Problem, state: Atoms | None = None) -> Problem:
        """The equation that the weights carry: H = c|p|² with the problem's c, ε = the layer's temperature.

        For problems given by `Atoms`, the layer's own atoms and the source dε/(2ct) are included.
        """
        carried = eqx.tree_at(lambda p: p.viscosity, problem, Constant(self.temperature))
        if not isinstance(problem.initial, Atoms):
            return carried
        assert isinstance(problem.hamiltonian, Quadratic)
        atoms = self.atoms()
        own = Atoms(atoms.y, atoms.g / jnp.asarray(problem.hamiltonian.c))
        return solved_by_propagator(eqx.tree_at(lambda p: p.initial, carried, own))
