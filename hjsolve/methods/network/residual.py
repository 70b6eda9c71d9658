"""Residual networks on grid values: a block of convolutions is one step of an explicit finite-difference scheme."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, concrete, number, require, whole_number
from ...problem import Problem
from ...problem.domains import AbstractDomain
from ...problem.initials import Atoms
from ...problem.jumps import interval
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Points, PRNGKeyArray, Scalar, Values, Vectors
from ..base import Evaluation
from .fourier_grid import FourierGrid
from .on_torus import AbstractOnTorus
from .readouts import AbstractReadout, Perceptron
from .stepper_equation import Moments, read_equation

_SAME_ASPECT = 1e-3


class Block(eqx.Module):
    """The rate L*u/h² − φ(t, x, F*u/h) of one residual block, h the finest spacing, * a correlation on the torus.

    `linear` L `[k, ..., k]` and `filters` F `[c, k, ..., k]` have an odd k on every axis. The mean of each filter is
    taken off, so that a constant added to u is added to what the block returns, and of L the even part is taken: an odd
    one would be a drift that grows like 1/h, and slopes are what F and φ are for.
    """

    linear: Array
    filters: Array
    readout: AbstractReadout

    def __call__(self, t: Scalar, x: Vectors, u: Values, h: Scalar) -> Values:
        """The rate at every node."""
        around = neighbours(u, self.linear.shape)
        slopes = jnp.einsum("ck,k...->c...", _centred(self.filters, u.ndim), around, precision="highest") / h
        smoothed = jnp.einsum("k,k...->...", _even(self.linear), around, precision="highest")
        return smoothed / h**2 - self.readout(t, x, slopes)

    def moments(self, offsets: Array) -> Moments:
        """First and second moments of the filters; `offsets` `[K, d]` of the taps in units of h."""
        d = offsets.shape[1]
        squares = offsets[:, :, None] * offsets[:, None, :] / 2
        filters = _centred(self.filters, d)
        return Moments(
            jnp.tensordot(_even(self.linear), squares, 1),
            filters @ offsets,
            jnp.tensordot(filters, squares, 1),
            self.readout,
        )


class ResidualStepper(AbstractOnTorus):
    """u ↦ u + Δt (L*u/h² − φ(F*u/h)), `layers` times with Δt = `time`/`layers`: a residual convolutional network.

    `block` holds L, F and the readout φ, with a leading axis of length `layers` on all its arrays (weights of their own
    for every layer) or of length 1 (shared). On the nodes of a torus with `cells` per axis and the finest spacing h
    (`spacing`) it is an explicit scheme for `u_t + H(∇u) = tr(A D²u)`, and `equation` reads H and A off the moments of
    its filters. `theory.as_network(problem, family="residual")` builds the block that is a step of Lax-Friedrichs, or
    (two rectified filters an axis) of Engquist-Osher.

    `network(u)` maps node values at 0, as a list `[m]`, to those at `time`. Training moves every weight. Filters have
    no units, so that the same weights serve another grid of the same aspect: `on_grid`. Stable only where the weights
    make it so. As a method its steps are the layers where the times asked for are ends of layers; else they are
    shorter, which is another forward pass. Source: arXiv 2605.28983; He et al. 2016, arXiv 1512.03385.
    """

    block: Block
    spacing: Array
    time: Array
    cells: tuple[int, ...] = eqx.field(static=True)
    layers: int = eqx.field(static=True)

    def __init__(
        self, block: Block, domain: AbstractDomain, cells: int | tuple[int, ...], *, layers: int, time: ArrayLike = 1.0
    ):
        d = domain.dimension
        self.cells = (cells,) * d if isinstance(cells, int) else tuple(cells)
        require(len(self.cells) == d, f"`cells` must be one number or one per axis ({d}); got {cells!r}.")
        self.layers = whole_number("layers", layers, least=1, remedy="The number of residual blocks.")
        self.time = number("time", time)
        check_range("time", self.time, above=0.0, remedy="The network maps u at 0 to u at this time.")
        shape = block.linear.shape
        require(
            len(shape) == 1 + d and len(set(shape[1:])) == 1 and shape[1] % 2 == 1,
            f"`block.linear` must have shape [1 or layers, k, ..., k] with {d} odd k; got {shape}.",
        )
        require(
            block.filters.ndim == 2 + d and block.filters.shape[2:] == shape[1:],
            f"`block.filters` must have shape [1 or layers, channels, {', '.join(map(str, shape[1:]))}]; got "
            f"{block.filters.shape}.",
        )
        for leaf in jax.tree.leaves(eqx.filter(block, _is_weight)):
            require(
                leaf.ndim >= 1 and leaf.shape[0] in (1, layers) and leaf.shape[0] == shape[0],
                f"`block` must have a leading axis of 1 (shared weights) or {layers} on every array; got {leaf.shape}.",
            )
        for n in self.cells:
            whole_number("cells", n, least=shape[1], remedy="At least the width of a filter.")
        self.block = block
        self.spacing = FourierGrid(domain, self.cells).spacing

    @staticmethod
    def random(
        domain: AbstractDomain,
        cells: int | tuple[int, ...],
        *,
        layers: int,
        time: float = 1.0,
        channels: int = 4,
        hidden: int = 16,
        width: int = 3,
        shared: bool = True,
        key: PRNGKeyArray,
    ) -> "ResidualStepper":
        """Gaussian filters of `width` taps an axis, no linear part, and a `Perceptron` of `hidden` units as readout."""
        d, count = domain.dimension, 1 if shared else layers
        for name, value in (("channels", channels), ("hidden", hidden), ("width", width)):
            whole_number(name, value, least=1, remedy="See hj.methods.network.ResidualStepper.")
        require(width % 2 == 1, f"`width` must be odd, so that a filter has a middle; got {width}.")

        def block(key: PRNGKeyArray) -> Block:
            first, second = jax.random.split(key)
            filters = jax.random.normal(first, (channels, *(width,) * d)) / width ** (d / 2)
            return Block(jnp.zeros((width,) * d), filters, Perceptron.random(channels, hidden, key=second))

        blocks = eqx.filter_vmap(block)(jax.random.split(key, count))
        return ResidualStepper(blocks, domain, cells, layers=layers, time=time)

    def on_grid(self, domain: AbstractDomain, cells: int | tuple[int, ...], *, layers: int) -> "ResidualStepper":
        """The same shared block on another grid, of the same aspect; `layers` steps of it in the same time."""
        require(
            self.shared or layers == self.layers,
            f"`layers` must be {self.layers} for a network with weights of its own in every layer; got {layers}.",
        )
        moved = ResidualStepper(self.block, domain, cells, layers=layers, time=self.time)
        self._check_aspect("cells", moved.spacing)
        return moved

    @property
    def shared(self) -> bool:
        """Whether all layers have the same weights."""
        return bool(self.block.linear.shape[0] == 1)

    @property
    def dt(self) -> Scalar:
        """The time that a layer advances."""
        return jnp.asarray(self.time) / self.layers

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the spacing and the time."""
        return (self.spacing, self.time)

    def layer(self, index: Array | int) -> Block:
        """The block of layer `index`, the last one beyond `time`."""
        last = self.block.linear.shape[0] - 1
        index = jnp.clip(index, 0, last)
        return jax.tree.map(lambda a: a[index] if eqx.is_array(a) else a, _on_device(self.block))

    def __call__(self, u: Float[Array, "m"]) -> Float[Array, "m"]:
        """The node values at `time` of those at 0, both as a list; the readout must not depend on x."""
        require(
            u.shape == (int(np.prod(self.cells)),),
            f"`u` must list the values at the {int(np.prod(self.cells))} nodes of {self.cells} cells; got {u.shape}.",
        )
        nowhere = jnp.full((len(self.cells), *(1,) * len(self.cells)), jnp.nan, u.dtype)

        def advance(u: Values, index: Array) -> tuple[Values, None]:
            rate = self.layer(index)(index * self.dt, nowhere, u, jnp.min(self.spacing))
            return u + self.dt * rate, None

        return jax.lax.scan(advance, u.reshape(self.cells), jnp.arange(self.layers))[0].reshape(-1)

    def check(self, problem: Problem) -> None:
        """Refuse what is not a torus of this dimension, and data that are no periodic function."""
        self.check_torus(problem, "A ResidualStepper")
        self._check_aspect("domain", self.grid(problem).spacing)

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Values:
        """The data on the nodes `[n_1, ..., n_d]`."""
        return self.data(problem)

    def stable_dt(self, problem: Problem, t: Scalar, state: Values) -> Scalar:
        """The network's own step."""
        return self.dt.astype(jnp.result_type(state))

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: Values) -> tuple[Values, RESULTS]:
        """One block, of the layer that t falls in, with this dt."""
        grid = self.grid(problem)
        x = grid.points.T.reshape(-1, *self.cells)
        u = state + dt * self.layer(interval(t, self.dt, self.layers))(t, x, state, jnp.min(grid.spacing))
        return u, RESULTS.where(jnp.isfinite(jnp.sum(u)), RESULTS.successful, RESULTS.nonfinite)

    def evaluate(
        self, problem: Problem, t: Scalar, state: Values, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and central differences of second order, at the nodes or by quintic interpolation at `points`."""
        return self.between(problem, state, points)

    def equation(self, problem: Problem, state: Values | None = None) -> Problem:
        """`u_t + H(∇u) = tr(A(∇u) D²u)` to second order in h and Δt, by Taylor expansion of the blocks.

        With B = ½ Σ_k L_k o_k o_kᵀ over the offsets o_k of the taps, M_c the same of filter c and m_c = Σ_k F_ck o_k,
        H(p) = φ(m p) and A(p) = B − h Σ_c (∂φ/∂z_c) M_c − (Δt/2) ∇H∇Hᵀ: `viscosity.matrix(t, x, p)`.
        """
        grid = self.grid(problem)
        h = jnp.min(grid.spacing)
        taps = tap_offsets(self.block.linear.shape[1:])
        offsets = jnp.asarray(taps, h.dtype) * grid.spacing / h
        moments = eqx.filter_vmap(lambda block: block.moments(offsets))(_on_device(self.block))
        assert not isinstance(problem.initial, Atoms)
        hamiltonian, viscosity = read_equation(moments, h, self.dt, problem.initial, grid.points)
        return eqx.tree_at(lambda p: (p.hamiltonian, p.viscosity), problem, (hamiltonian, viscosity))

    def _check_aspect(self, argument: str, spacing: Array) -> None:
        own, other = concrete(self.spacing), concrete(spacing)
        require(
            own is None or other is None or np.allclose(own / own[0], other / other[0], rtol=_SAME_ASPECT),
            f"`{argument}` must keep the aspect of the network's grid, whose spacing is {own}; got {other}. The "
            "same weights would measure other slopes.",
        )


def tap_offsets(widths: tuple[int, ...]) -> np.ndarray:
    """The offsets `[K, d]` of the taps of a filter, in cells, last axis fastest."""
    return np.array(list(itertools.product(*(range(-(k // 2), k // 2 + 1) for k in widths))))


def neighbours(u: Values, widths: tuple[int, ...]) -> Float[Array, "K ..."]:
    """The values `[K, n_1, ..., n_d]` at the taps around every node of a torus."""
    wide = jnp.pad(u, [(k // 2, k // 2) for k in widths], mode="wrap")
    starts = itertools.product(*(range(k) for k in widths))
    return jnp.stack([jax.lax.dynamic_slice(wide, start, u.shape) for start in starts])


def _centred(filters: Array, d: int) -> Array:
    """Filters `[..., K]` as lists of taps, without their mean."""
    flat = jnp.asarray(filters).reshape(*filters.shape[: filters.ndim - d], -1)
    return flat - jnp.mean(flat, axis=-1, keepdims=True)


def _even(linear: Array) -> Array:
    """The even part of a filter `[k, ..., k]` as a list of taps, without its mean."""
    return _centred((linear + jnp.flip(linear)) / 2, linear.ndim)


def _is_weight(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray)


def _on_device(block: Block) -> Block:
    """Weights given in NumPy as arrays that can be indexed by traced numbers."""
    return jax.tree.map(lambda a: jnp.asarray(a) if _is_weight(a) else a, block)
