"""Cross-attention from points to tokens of the initial data: with the right weights it is the Hopf-Cole formula."""

import itertools
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, check_shape, concrete, counts, number, require, whole_number
from ...problem import Problem
from ...problem.domains import AbstractDomain
from ...problem.hamiltonians import Quadratic
from ...problem.hopf_cole import check_periodic_data, parameters, require_hopf_cole, solved_by_propagator
from ...problem.initials import Atoms
from ...problem.viscosities import Constant
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Point, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation
from .token_shares import MOST_OUTSIDE, by_axis, effective, lattice_of, outside

_BATCH = 256
"""Queries at a time, at most."""
_TABLE = 2**25
"""Scores of all heads at a time, where there are several queries: 256 MB in float64."""
_FEWEST_TOKENS = 2.2
"""Effective ones an axis: of a normal density on nodes 1.6 deviations apart, whose sum is right to 1e-3."""
_HEARD = 1e-2
"""Heads with less of what the data do to f have no say in how well they are resolved."""


class Tokens(NamedTuple):
    """Places y `[N, d]` of the data, their values g `[N]`, and the logarithms of their weights `[N]`."""

    y: Points
    g: Float[Array, "N"]
    log_weights: Float[Array, "N"]


class Attention(AbstractRepresentation):
    """f(x) = Σ_h m_h/s_h log Σ_j exp(s_h Q_h φ(x)·K_h ψ(y_j, g_j)) and the attention output Σ_h m_h Σ_j π_hj y_j.

    Queries see φ(x) = (x, 1) by `query` Q `[heads, k, d + 1]`, tokens ψ = (y, |y|², g, 1) by `key` K
    `[heads, k, d + 3]`; `scale` s, `mix` m `[heads]` > 0. Tokens are the data at `places` `[m, d]`, with
    `images` whole periods to either side of each periodic axis, so that the network takes any initial data: an
    operator. With `centre` z (default 0) and `length` ℓ (default 1) queries see (x − z)/ℓ and tokens (y − z)/ℓ and its
    square: features of one size train better, and far from 0 no digits are lost.

    Read at `time` t, u = (|x − z|²/(4t) − f)/c. With one head, K and Q such that Qφ·Kψ = x·y/(2t) − |y|²/(4t) − cg and
    a constant (x, y counted from z), and scale 1/ε this is the solution of `u_t + c|∇u|² = ε Δu` by quadrature over the
    places, and the output ȳ = x − 2ct∇u: the layer that `theory.as_network(problem, family="attention")` builds. At
    another t the parts of ψ that hold y are multiplied by time/t, and (dε/2c) log(t/time) is added for data that are a
    function.

    `network(g)` maps data at the places, as a list `[m]`, to u(time, ·) there for c = 1. Training moves Q, K and
    the logarithms of m and s. Cost O(heads N) a point. Source: arXiv 2605.28983; Vaswani et al. 2017, arXiv 1706.03762.
    """

    query: Float[Array, "heads k features"]
    key: Float[Array, "heads k features"]
    log_scale: Float[Array, "heads"]
    log_mix: Float[Array, "heads"]
    places: Points
    period: Array | None
    time: Array
    length: Array
    centre: Array
    images: tuple[int, ...] = eqx.field(static=True)
    lattice: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        query: ArrayLike,
        key: ArrayLike,
        scale: ArrayLike,
        places: ArrayLike,
        *,
        mix: ArrayLike | None = None,
        period: ArrayLike | None = None,
        images: int | tuple[int, ...] = 0,
        time: ArrayLike = 1.0,
        length: ArrayLike = 1.0,
        centre: ArrayLike = 0.0,
    ):
        self.places = as_array("places", places)
        check_ndim("places", self.places, 2, "[m, d]", "One row per token.")
        self.lattice = lattice_of(self.places)
        d = self.places.shape[1]
        self.query, self.key = as_array("query", query), as_array("key", key)
        for name, array, width in (("query", self.query, d + 1), ("key", self.key, d + 3)):
            check_ndim(name, array, 3, f"[heads, k, {width}]", "One matrix per head.")
            require(
                array.shape[2] == width,
                f"`{name}` must have shape [heads, k, {width}] for places of dimension {d}; got {array.shape}.",
            )
        require(
            self.query.shape[:2] == self.key.shape[:2],
            f"`query` and `key` must agree in heads and k; got {self.query.shape[:2]} and {self.key.shape[:2]}.",
        )
        heads = self.query.shape[0]
        s = as_array("scale", scale)
        check_range("scale", s, above=0.0, remedy="It is 1/ε; at ε = 0 attention picks the lowest token alone.")
        require(s.shape in ((), (1,), (heads,)), f"`scale` must be a number, or {heads}, one a head; got {s.shape}.")
        s = (jnp if isinstance(s, jax.Array) else np).broadcast_to(s, (heads,))
        self.log_scale = (jnp if isinstance(s, jax.Array) else np).log(s)
        shares = as_array("mix", np.full(heads, 1 / heads) if mix is None else mix)
        require(shares.shape == (heads,), f"`mix` must have shape [{heads}]; got {shares.shape}.")
        check_range("mix", shares, above=0.0, remedy="The part of a head in f. Leave it out.")
        self.log_mix = (jnp if isinstance(shares, jax.Array) else np).log(shares)
        self.period = None if period is None else as_array("period", period)
        require(
            self.period is None or self.period.shape == (d,),
            f"`period` must have shape [{d}]; got {None if self.period is None else self.period.shape}.",
        )
        around = (images,) * d if isinstance(images, int) else tuple(images)
        self.images = tuple(whole_number("images", n, least=0, remedy="Periods to either side.") for n in around)
        require(len(self.images) == d, f"`images` must be one number or {d}, one per axis; got {images!r}.")
        require(
            self.period is not None or not any(self.images),
            "`period` is needed for `images`: the distance from a token to its image on every axis.",
        )
        self.time = number("time", time)
        check_range("time", self.time, above=0.0, remedy="The network is read as a solution at a positive time.")
        self.length = number("length", length)
        check_range("length", self.length, above=0.0, remedy="The unit of the features, such as the domain's extent.")
        middle = as_array("centre", centre)
        require(middle.shape in ((), (d,)), f"`centre` must have shape [{d}], a place; got {middle.shape}.")
        self.centre = (jnp if isinstance(middle, jax.Array) else np).broadcast_to(middle, (d,))

    @staticmethod
    def random(
        domain: AbstractDomain,
        cells: int | tuple[int, ...],
        *,
        scale: float,
        heads: int = 1,
        width: int | None = None,
        images: int = 1,
        time: float = 1.0,
        key: PRNGKeyArray,
    ) -> "Attention":
        """Tokens on the nodes of `cells` cells an axis, Gaussian Q and K of inner dimension `width` (default d + 3).

        Q and K begin alike in x and y, and K takes |y|² so that scores are those of attention by distance (Kim et al.
        2021, arXiv 2006.04710), −|W(x − y)|²/2 in the mean over directions and but for a term of x: points attend to
        tokens near them. The length is half the domain's longest extent.
        """
        d = domain.dimension
        k = d + 3 if width is None else whole_number("width", width, least=1, remedy="The inner dimension of a head.")
        whole_number("heads", heads, least=1, remedy="One head is the Hopf-Cole formula.")
        first, second = jax.random.split(key)
        query = jax.random.normal(first, (heads, k, d + 1)) / np.sqrt(k)
        keys = jax.random.normal(second, (heads, k, d + 3)) / np.sqrt(k)
        keys = keys.at[:, :, :d].set(query[:, :, :d])
        constant, near = query[:, :, d], jnp.sum(query[:, :, :d] ** 2, axis=(1, 2)) / (2 * d)
        keys = keys.at[:, :, d].set(-(near / jnp.sum(constant**2, axis=1))[:, None] * constant)
        around = tuple(images if periodic else 0 for periodic in domain.periodic)
        period = domain.extent if any(around) else None
        places, length, centre = token_places(domain, cells), jnp.max(domain.extent) / 2, middle_of(domain)
        return Attention(
            query, keys, scale, places, period=period, images=around, time=time, length=length, centre=centre
        )

    @property
    def scale(self) -> Float[Array, "heads"]:
        """s, one per head: 1/ε."""
        return jnp.exp(jnp.asarray(self.log_scale))

    @property
    def mix(self) -> Float[Array, "heads"]:
        """m, the share of each head."""
        return jnp.exp(jnp.asarray(self.log_mix))

    @property
    def dimension(self) -> int:
        """The dimension d of the points."""
        return int(self.places.shape[-1])

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the places, the period, the time, the length and the centre."""
        fixed = (self.places, self.time, self.length, self.centre)
        return fixed if self.period is None else (*fixed, self.period)

    def __call__(self, g: Float[Array, "m"]) -> Float[Array, "m"]:
        """u(time, ·) at the places from data there, c = 1."""
        check_shape("g", g, self.places.shape[:1], "the data at the places")
        tokens = self.tokens(g)
        x = jnp.asarray(self.places)
        f = jax.lax.map(lambda x: self.read(tokens, x)[0], x, batch_size=self._batch(tokens))
        return jnp.sum((x - self.centre) ** 2, axis=1) / (4 * jnp.asarray(self.time)) - f

    def tokens(self, g: Float[Array, "m"]) -> Tokens:
        """The places with their images, and the data there."""
        y = jnp.asarray(self.places)
        if any(self.images):
            shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in self.images))))
            y = (y + shifts[:, None] * jnp.asarray(self.period)).reshape(-1, self.dimension)
            g = jnp.tile(g, len(shifts))
        return Tokens(y, g, jnp.zeros_like(g))

    def read(self, tokens: Tokens, x: Point, stretch: Scalar | float = 1.0) -> tuple[Scalar, Point]:
        """f and the attention output at one point; parts of ψ that hold y are multiplied by `stretch`."""
        f, shares = self._attended(tokens, self._asked(x), stretch)
        return f, self.mix @ shares @ tokens.y

    def _asked(self, x: Point) -> Float[Array, "heads k"]:
        """Q φ(x)."""
        return jnp.asarray(self.query) @ jnp.append((x - self.centre) / self.length, jnp.ones((), x.dtype))

    def _attended(
        self, tokens: Tokens, asked: Float[Array, "heads k"], stretch: Scalar | float
    ) -> tuple[Scalar, Float[Array, "heads N"]]:
        """f, and the share π of every token in each head."""
        y = (tokens.y - self.centre) / self.length
        squares = jnp.sum(y**2, axis=1, keepdims=True)
        features = jnp.concatenate([stretch * y, stretch * squares, tokens.g[:, None], jnp.ones_like(squares)], axis=1)
        scores = jnp.einsum("hk,hkf,jf->hj", asked, jnp.asarray(self.key), features)
        scores = self.scale[:, None] * scores + tokens.log_weights
        f = jnp.sum(self.mix / self.scale * jax.nn.logsumexp(scores, axis=1))
        return f, jax.nn.softmax(scores, axis=1)

    def check(self, problem: Problem) -> None:
        """Refuse an H that is not c|p|², varying viscosity, another dimension, and a torus of another period."""
        require_hopf_cole(problem, "An attention network", "Use hj.methods.grid.FiniteDifference.")
        d = problem.dimension
        require(d == self.dimension, f"`places` have dimension {self.dimension} but the problem has dimension {d}.")
        if isinstance(problem.initial, Atoms):
            return
        for axis, (periodic, n) in enumerate(zip(problem.domain.periodic, self.images, strict=True)):
            require(
                periodic == (n > 0),
                f"`images` of the network must be >= 1 on periodic axes and 0 on others; got {n} on axis {axis}, which "
                f"is {'periodic' if periodic else 'not periodic'}.",
            )
        if self.period is not None:
            known, extent = concrete(self.period), concrete(problem.domain.extent)
            where = np.array(problem.domain.periodic)
            require(
                None if known is None or extent is None else np.allclose(known[where], extent[where], rtol=1e-6),
                f"`period` of the network is {known} but the domain's is {extent}. Build the network on this domain.",
            )
        check_periodic_data(problem, "An attention network")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Tokens:
        """The problem's data as tokens: at the places, or its own atoms."""
        initial = problem.initial
        if isinstance(initial, Atoms):
            return Tokens(jnp.asarray(initial.y), jnp.asarray(initial.g), initial.log_weights)
        return self.tokens(jax.vmap(initial)(jnp.asarray(self.places)))

    def evaluate(
        self, problem: Problem, t: Scalar, state: Tokens, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U, ∇u by the network's backward pass, and what attention puts out, `stats["output"]` `[m, d]`.

        Where the tokens are a function's values, `stats["effective_tokens"]` is the least 1/Σπ² of a head on an axis,
        and `stats["outside"]` estimates the share beyond the last tokens: less than 2.2, or more than 1e-3, is
        `RESULTS.under_resolved`. (Of places that are no grid the d-th root of 1/Σπ², and nothing of what is outside.) A
        kink of the data between places costs O(h²), of which no flag tells.
        """
        assert points is not None, "an attention network has no nodes; solve() refuses points=None"
        c = parameters(problem)[0]
        x = problem.domain.wrap(points)
        stretch = jnp.asarray(self.time) / t

        def f(x: Point) -> tuple[Scalar, tuple[Point, Scalar, Scalar]]:
            asked = self._asked(x)
            value, shares = self._attended(state, asked, stretch)
            return value, (self.mix @ shares @ state.y, *self._resolution(asked, shares))

        def at(x: Point) -> tuple[Any, Point]:
            return jax.value_and_grad(f, has_aux=True)(x)

        (value, (output, counted, beyond)), slope = jax.lax.map(at, x, batch_size=self._batch(state))
        from_centre = x - self.centre
        u = (jnp.sum(from_centre**2, axis=1) / (4 * t) - value) / c
        gradient = (from_centre / (2 * t) - slope) / c
        stats = {"output": output + (points - x)}
        if isinstance(problem.initial, Atoms):
            return Evaluation(u, gradient, RESULTS.successful, stats)
        u = u - self.dimension / (2 * c) * self.temperature * jnp.log(stretch)
        stats |= {"effective_tokens": counted, "outside": beyond}
        resolved = jnp.all((counted >= _FEWEST_TOKENS) & (beyond <= MOST_OUTSIDE))
        return Evaluation(u, gradient, RESULTS.where(resolved, RESULTS.successful, RESULTS.under_resolved), stats)

    def _resolution(self, asked: Float[Array, "heads k"], shares: Float[Array, "heads N"]) -> tuple[Scalar, Scalar]:
        """The fewest effective tokens of a head on an axis, and the share beyond the last ones."""
        moved = self.mix * jnp.abs(jnp.einsum("hk,hk->h", asked, jnp.asarray(self.key)[:, :, -2]))
        heard = moved >= _HEARD * jnp.sum(moved)
        if self.lattice is None:
            return jnp.min(jnp.where(heard, effective(shares) ** (1 / self.dimension), jnp.inf)), jnp.zeros(())
        axes = by_axis(shares, self.images, self.lattice)
        counted = jnp.min(jnp.stack([effective(axis) for axis in axes]), axis=0)
        beyond = jnp.sum(jnp.stack([outside(axis) for axis in axes]), axis=0)
        return jnp.min(jnp.where(heard, counted, jnp.inf)), jnp.max(jnp.where(heard, beyond, 0.0))

    @property
    def temperature(self) -> Scalar:
        """Σ_h m_h/s_h: what a change of all weights of the tokens by a factor e moves f by."""
        return jnp.sum(self.mix / self.scale)

    @property
    def viscosity(self) -> Scalar:
        """ε = (Σ_h m_h γ_h)²/Σ_h m_h s_h γ_h², γ_h what head h makes of g (scores hold γ_h g_j, of a query at 0).

        From how f bends in the data: D²f[δ, δ] = Σ_h m_h s_h γ_h² Var_h(δ), which for the solution is (c²/ε) Var(δ).
        Heads that do not see the data have no part in it; for one head that does it is its 1/s.
        """
        gain = self._gain()
        return jnp.sum(self.mix * gain) ** 2 / jnp.sum(self.mix * self.scale * gain**2)

    @property
    def strength(self) -> Scalar:
        """c = −Σ_h m_h γ_h: what f falls by where the data rise by one everywhere, γ_h as in `viscosity`."""
        return -jnp.sum(self.mix * self._gain())

    def equation(self, problem: Problem, state: Tokens | None = None) -> Problem:
        """H = c|p|² with the network's c and its viscosity; with `Atoms`, and the source dε/(2ct).

        u is a solution of it where the problem has this c too, by which it divides.
        """
        assert isinstance(problem.hamiltonian, Quadratic)
        carried = eqx.tree_at(lambda p: p.viscosity, problem, Constant(self.viscosity))
        return solved_by_propagator(eqx.tree_at(lambda p: p.hamiltonian.c, carried, self.strength))

    def _batch(self, tokens: Tokens) -> int:
        return max(1, min(_BATCH, _TABLE // (len(tokens.g) * len(self.log_scale))))

    def _gain(self) -> Float[Array, "heads"]:
        return jnp.einsum("hk,hk->h", jnp.asarray(self.query)[:, :, -1], jnp.asarray(self.key)[:, :, -2])


def middle_of(domain: AbstractDomain) -> Point:
    """The middle of a box or of a torus."""
    return domain.lower + domain.extent / 2


def token_places(domain: AbstractDomain, cells: int | tuple[int, ...]) -> Points:
    """The nodes `[m, d]` of `cells` cells an axis: n of a periodic axis, n + 1 of another, last axis fastest."""
    given = counts("cells", cells)
    shape = (given,) * domain.dimension if isinstance(given, int) else given
    d = domain.dimension
    require(len(shape) == d, f"`cells` must be one number or one per axis ({d}); got {cells!r}.")
    axes = [
        domain.lower[k] + domain.extent[k] * (np.arange(n if domain.periodic[k] else n + 1) / n)
        for k, n in enumerate(shape)
    ]
    return jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, d)
