"""Self-attention as a flow: tokens move along the Gibbs average that they make of each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, number, require, whole_number
from ...problem.hamiltonians.base import as_column
from ...typing import Array, ArrayLike, Float, Points, PRNGKeyArray, Scalar, Vectors
from .cells import AbstractCell
from .flow import ResidualFlow


class AttentionCell(AbstractCell):
    """f(x) = Σ_h V_h Σ_j π_hj y_j − γx, π_h = softmax_j(s_h Q_h x·K_h y_j + b_j): attention to `tokens` y `[N, d]`.

    `query` Q and `key` K `[heads, k, d]`, `value` V `[heads, d, d]`, `scale` s `[heads]` > 0, `bias` b `[N]` (default
    0), `pull` γ. `normalise` keeps |x|: f loses its part along x (layer normalisation without gain, on the sphere).
    With one head, V = 1, γ = 1, Q = K = 1/√(2t), s = 1/ε and b_j = −(g_j + |y_j|²/4t)/ε it is f = ȳ − x = −2t∇u(t, x)
    for the Hopf-Cole solution u from the atoms (y_j, g_j), c = 1: steps descend u. In a network all arrays have a
    leading axis of layers.
    """

    query: Float[Array, "*layers heads k d"]
    key: Float[Array, "*layers heads k d"]
    value: Float[Array, "*layers heads d d"]
    log_scale: Float[Array, "*layers heads"]
    tokens: Float[Array, "*layers N d"]
    bias: Float[Array, "*layers N"]
    pull: Float[Array, "*layers"]
    normalise: bool = eqx.field(static=True)

    @property
    def dimension(self) -> int:
        """The dimension d of the state."""
        return int(self.tokens.shape[-1])

    def velocity(self, x: Vectors, dt: Scalar) -> Vectors:
        """f(x) `[d, ...]`."""
        asked = jnp.tensordot(self.query, x, 1)  # [heads, k, ...]
        known = jnp.einsum("hkd,nd->hnk", self.key, self.tokens)
        scores = jnp.einsum("hnk,hk...->hn...", known, asked)
        scores = scores * as_column(jnp.exp(self.log_scale), scores)
        shares = jax.nn.softmax(scores + as_column(self.bias, scores[0]), axis=1)
        values = jnp.einsum("hed,nd->hne", self.value, self.tokens)
        found = jnp.einsum("hne,hn...->e...", values, shares) - self.pull * x
        if not self.normalise:
            return found
        squared = jnp.sum(x * x, axis=0)
        along = jnp.sum(found * x, axis=0) / jnp.where(squared > 0, squared, 1.0)
        return found - along * x

    def step(self, x: Vectors, h: Scalar, dt: Scalar) -> Vectors:
        """X + h f(x), brought back to its length where it is kept."""
        moved = x + h * self.velocity(x, dt)
        if not self.normalise:
            return moved
        before, after = (jnp.sum(v * v, axis=0) for v in (x, moved))
        moving = (before > 0) & (after > 0)  # a token at 0 stays there, as does its derivative
        return moved * jnp.sqrt(jnp.where(moving, before, 1.0) / jnp.where(moving, after, 1.0)) * moving


class TokenFlow(eqx.Module):
    """x_i ↦ x_i + Δ(Σ_h V_h Σ_j softmax_j(s_h Q_h x_i·K_h x_j) x_j − γx_i), `layers` times: a particle transformer.

    All tokens `[N, d]` move at once, Δ = `time`/`layers`: their empirical measure μ flows along its Gibbs average
    b(x, μ), so that a function of a token is transported with H = −p·b(x, μ_{T−s}) and no viscosity. `network(tokens)`
    gives them after all layers, `states(tokens)` `[layers + 1, N, d]` on the way, and `field(tokens)` the
    `ResidualFlow` of one more token that the others do not feel, for `theory.as_problem`. `normalise` keeps every
    |x_i|. Weights `[1 or layers, ...]` as in `AttentionCell`. Source: Geshkovski et al. 2023, arXiv 2312.10794.
    """

    query: Float[Array, "layers heads k d"]
    key: Float[Array, "layers heads k d"]
    value: Float[Array, "layers heads d d"]
    log_scale: Float[Array, "layers heads"]
    pull: Array
    time: Array
    layers: int = eqx.field(static=True)
    normalise: bool = eqx.field(static=True)

    def __init__(
        self,
        query: ArrayLike,
        key: ArrayLike,
        value: ArrayLike,
        scale: ArrayLike,
        *,
        layers: int,
        time: ArrayLike = 1.0,
        pull: ArrayLike = 0.0,
        normalise: bool = False,
    ):
        self.query, self.key, self.value = (
            as_array(name, array) for name, array in (("query", query), ("key", key), ("value", value))
        )
        check_ndim("query", self.query, 4, "[1 or layers, heads, k, d]", "A leading axis of 1 shares weights.")
        self.layers = whole_number("layers", layers, least=1, remedy="The steps of the network.")
        count, heads, _, d = self.query.shape
        require(count in (1, layers), f"`query` must have a leading axis of 1 or {layers}; got {count}.")
        require(self.key.shape == self.query.shape, f"`key` must have shape {self.query.shape}; got {self.key.shape}.")
        shape = (count, heads, d, d)
        require(self.value.shape == shape, f"`value` must have shape {shape}; got {self.value.shape}.")
        s = as_array("scale", scale)
        check_range("scale", s, above=0.0, remedy="It is the inverse temperature of the attention.")
        require(
            s.ndim <= 2 and all(n in (1, m) for n, m in zip(s.shape[::-1], (heads, count), strict=False)),
            f"`scale` must be a number, or have shape [{heads}] or [{count}, {heads}], one per head; got {s.shape}.",
        )
        module = jnp if isinstance(s, jax.Array) else np
        self.log_scale = module.broadcast_to(module.log(s), (count, heads))
        self.pull, self.time = number("pull", pull), number("time", time)
        check_range("time", self.time, above=0.0, remedy="Depth is time: layers times the step of one.")
        self.normalise = bool(normalise)

    @staticmethod
    def random(
        dimension: int,
        *,
        layers: int,
        heads: int = 1,
        width: int | None = None,
        scale: float = 1.0,
        shared: bool = False,
        time: float = 1.0,
        normalise: bool = True,
        key: PRNGKeyArray,
    ) -> "TokenFlow":
        """Gaussian Q, K of inner dimension `width` (default d) and V, of variance 1/fan-in."""
        d = whole_number("dimension", dimension, least=1, remedy="Of a token.")
        k = d if width is None else whole_number("width", width, least=1, remedy="The inner dimension of a head.")
        count = 1 if shared else whole_number("layers", layers, least=1, remedy="The steps of the network.")
        first, second, third = jax.random.split(key, 3)
        query, keys = (jax.random.normal(part, (count, heads, k, d)) / np.sqrt(d) for part in (first, second))
        value = jax.random.normal(third, (count, heads, d, d)) / np.sqrt(d * heads)
        return TokenFlow(query, keys, value, scale, layers=layers, time=time, normalise=normalise)

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the time and the pull."""
        return (self.time, self.pull)

    def __call__(self, tokens: Points) -> Points:
        """The tokens `[N, d]` after all layers."""
        return self.states(tokens)[-1]

    def states(self, tokens: Points) -> Float[Array, "layers+1 N d"]:
        """The tokens before every layer, and after the last."""
        x = jnp.asarray(tokens)
        check_ndim("tokens", x, 2, "[N, d]", "One row per token.")
        d = self.query.shape[-1]
        require(x.shape[1] == d, f"`tokens` must have {d} components; got {x.shape[1]}.")
        x = x.astype(jnp.result_type(x, 0.0, self.query, self.key, self.value, self.log_scale))
        dt = jnp.asarray(self.time, x.dtype) / self.layers

        def advance(x: Points, index: Array) -> tuple[Points, Points]:
            moved = self._cell(index, x).step(x.T, dt, dt).T
            return moved, moved

        return jnp.concatenate([x[None], jax.lax.scan(advance, x, jnp.arange(self.layers))[1]])

    def field(self, tokens: Points) -> ResidualFlow:
        """The flow of a token that follows the others and does not move them."""
        states = self.states(tokens)[:-1]
        cells = jax.vmap(self._cell)(jnp.arange(self.layers), states)
        return ResidualFlow(cells, layers=self.layers, time=self.time)

    def _cell(self, index: Array, tokens: Points) -> AttentionCell:
        """The layer `index` with the tokens as they are before it."""
        layer = jnp.clip(index, 0, len(self.query) - 1)
        query, key, value, log_scale = (
            jnp.asarray(a)[layer] for a in (self.query, self.key, self.value, self.log_scale)
        )
        bias, pull = jnp.zeros(tokens.shape[:1], tokens.dtype), jnp.asarray(self.pull, tokens.dtype)
        return AttentionCell(query, key, value, log_scale, tokens, bias, pull, self.normalise)
