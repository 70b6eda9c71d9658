"""Residual and recurrent networks on states: a forward pass follows the characteristics of a transport equation."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, check_shape, concrete, number, require, whole_number
from ...problem import Problem
from ...problem.hamiltonians import Linear
from ...problem.initials import Atoms, Custom
from ...problem.jumps import AbstractPiecewise, interval, interval_end
from ...problem.viscosities import Constant
from ...results import RESULTS
from ...typing import Array, ArrayLike, Point, Points, PRNGKeyArray, Scalar, Vectors
from ..base import AbstractRepresentation, Evaluation
from .cells import AbstractCell, random_cell

_BATCH = 1024


class Field(AbstractPiecewise):
    """The velocity −f(T − s, x) of `u_s + H = ε Δu`, H = −p·f(T − s, x), of a flow of duration T."""

    flow: "ResidualFlow"

    def __call__(self, t: Scalar, x: Vectors) -> Vectors:
        """−f(T − t, x) `[d, ...]`."""
        return self.from_jump(t)(t, x)

    def next_jump(self, t: Scalar) -> Scalar:
        """The end of the layer at t, counted from the last one."""
        return jnp.asarray(jnp.inf) if self.flow.autonomous else interval_end(t, self.flow.dt, self.flow.layers)

    def from_jump(self, t: Scalar) -> "LayerField":
        """The velocity of one layer."""
        flow = self.flow
        index = 0 if flow.autonomous else flow.layers - 1 - interval(t, flow.dt, flow.layers)
        return LayerField(flow.layer(index), flow.dt)


class LayerField(eqx.Module):
    """−f_l(x) of one layer."""

    cell: AbstractCell
    dt: Scalar

    def __call__(self, t: Scalar, x: Vectors) -> Vectors:
        """−f_l(x) `[d, ...]`."""
        return -self.cell.velocity(x, self.dt)


class ResidualFlow(AbstractRepresentation):
    """F(x) = readout(x_L), x_{l+1} = x_l + Δ f_l(x_l) from x_0 = x, with Δ = `time`/`layers`: a residual network.

    `cell` holds the weights with a leading axis: of length `layers`, or 1 where all layers share them. With the cells
    `Recurrent` and `LSTM` the steps are exponential Euler and the network is recurrent. Layers of ẋ = f(τ, x) are steps
    along characteristics, and the readout is what is transported: F(x) = u(T, x) for

        u_s − f(T − s, x)·∇u = ε Δu,  u(0, ·) = readout,  H = −p·f(T − s, x),

    in the limit of many steps a layer (`splits`, error O(Δ/splits)), with `viscosity` ε >= 0 as noise √(2εh) ξ in every
    step. `theory.as_problem(network, domain=...)` is this problem, which any grid or particle method solves.

    `network(x)` is the forward pass at one point, `network(x, key=key)` one with noise. As a method on a problem it
    answers with u(t, x) from the layers of the last t; `samples` noisy passes are averaged where ε > 0, and
    `stats["standard_error"]` says how well. Without a `readout` it takes the problem's data. The flow has the
    dimension of the state throughout. Sources: arXiv 2605.28983; E 2017, doi:10.1007/s40304-017-0103-z.
    """

    cell: AbstractCell
    readout: Callable[[Point], Array] | None
    time: Array
    viscosity: Array
    layers: int = eqx.field(static=True)
    splits: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    noisy: bool = eqx.field(static=True)

    def __init__(
        self,
        cell: AbstractCell,
        readout: Callable[[Point], Array] | None = None,
        *,
        layers: int,
        time: ArrayLike = 1.0,
        viscosity: ArrayLike = 0.0,
        splits: int = 1,
        samples: int = 1024,
    ):
        if not isinstance(cell, AbstractCell):
            raise TypeError(f"`cell` must be one of hj.methods.network.cells; got {type(cell).__name__}.")
        if not (readout is None or callable(readout)):
            raise TypeError(f"`readout` must be a function of x [d], or None; got {readout!r}.")
        self.layers = whole_number("layers", layers, least=1, remedy="The steps of the network.")
        for leaf in jax.tree.leaves(cell):
            require(
                np.ndim(leaf) >= 1 and np.shape(leaf)[0] in (1, layers),
                f"`cell` must have a leading axis of 1 (shared weights) or {layers} on every array; got "
                f"{np.shape(leaf)}. One cell for all layers: jax.tree.map(lambda a: a[None], cell).",
            )
        self.cell, self.readout = cell, readout
        self.time, self.viscosity = number("time", time), number("viscosity", viscosity)
        check_range("time", self.time, above=0.0, remedy="Depth is time: layers times the step of one.")
        check_range("viscosity", self.viscosity, least=0.0, remedy="Use 0 for a network without noise.")
        known = concrete(self.viscosity)
        self.noisy = known is None or bool(known > 0)
        self.splits = whole_number("splits", splits, least=1, remedy="Steps within a layer.")
        self.samples = whole_number("samples", samples, least=2, remedy="Their spread gives the standard error.")

    @staticmethod
    def random(
        dimension: int,
        *,
        layers: int,
        cell: str = "residual",
        hidden: int = 32,
        outputs: int | None = None,
        shared: bool = False,
        time: float = 1.0,
        viscosity: float = 0.0,
        key: PRNGKeyArray,
    ) -> "ResidualFlow":
        """Gaussian weights; `cell` "residual", "recurrent" or "lstm"; an affine readout to 1 or `outputs` numbers."""
        whole_number("dimension", dimension, least=1, remedy="Of the state, and of the inputs.")
        whole_number("layers", layers, least=1, remedy="The steps of the network.")
        first, second = jax.random.split(key)
        keys = jax.random.split(first, 1 if shared else layers)
        cells = eqx.filter_vmap(lambda key: random_cell(cell, dimension, hidden, key=key))(keys)
        readout = eqx.nn.Linear(dimension, "scalar" if outputs is None else outputs, key=second)
        return ResidualFlow(cells, readout, layers=layers, time=time, viscosity=viscosity)

    @property
    def dimension(self) -> int:
        """The dimension d of the state."""
        return self.cell.dimension

    @property
    def dt(self) -> Scalar:
        """The time Δ that a layer takes."""
        return jnp.asarray(self.time) / self.layers

    @property
    def autonomous(self) -> bool:
        """Whether all layers share their weights, so that p·f is conserved along the flow."""
        return all(np.shape(leaf)[0] == 1 for leaf in jax.tree.leaves(self.cell))

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the time and the viscosity."""
        return (self.time, self.viscosity)

    def layer(self, index: Array | int) -> AbstractCell:
        """The cell of layer `index`, the first or last one beyond them."""
        return jax.tree.map(lambda a: jnp.asarray(a)[jnp.clip(index, 0, len(a) - 1)], self.cell)

    def velocity(self, tau: Scalar, x: Vectors) -> Vectors:
        """f(τ, x) `[d, ...]`, constant in τ within a layer."""
        return self.layer(interval(tau, self.dt, self.layers)).velocity(x, self.dt)

    def refined(self, splits: int) -> "ResidualFlow":
        """The same velocity by `splits` steps in every layer."""
        return ResidualFlow(
            self.cell, self.readout, layers=self.layers, time=self.time, viscosity=self.viscosity, splits=splits,
            samples=self.samples,
        )  # fmt: skip

    def output(self, k: int) -> "ResidualFlow":
        """The network of output k alone, for a readout of several."""
        require(self.readout is not None, "`readout` is needed: this flow transports the data of a problem.")
        assert self.readout is not None
        shape = self._readout_shape()
        require(len(shape) == 1, f"`readout` must give several numbers; got shape {shape}, which is the output itself.")
        require(-shape[0] <= k < shape[0], f"`k` must be one of the {shape[0]} outputs, from 0; got {k}.")
        return eqx.tree_at(lambda n: n.readout, self, Output(self.readout, k), is_leaf=lambda leaf: leaf is None)

    def __call__(self, x: Point, *, key: PRNGKeyArray | None = None) -> Array:
        """Readout(x_L) for one point x `[d]`; with noise where a key is given."""
        require(self.readout is not None, "`readout` is needed to call the network. Give ResidualFlow one.")
        assert self.readout is not None
        return self.readout(self.states(x, key=key)[-1])

    def states(self, x: Point, *, duration: Scalar | None = None, key: PRNGKeyArray | None = None) -> Array:
        """The states `[layers · splits + 1, d]` from x on; at rest before the last `duration` (default all)."""
        check_shape("x", x, (self.dimension,), "one state: jax.vmap(network) takes rows")
        x = jnp.asarray(x, jnp.result_type(x, 0.0, *jax.tree.leaves(self.cell)))
        total = jnp.asarray(self.time, x.dtype)
        begin = jnp.zeros_like(total) if duration is None else total - duration
        steps, dt = self.layers * self.splits, self.dt.astype(x.dtype)
        h = dt / self.splits
        spread = jnp.sqrt(2 * jnp.asarray(self.viscosity, x.dtype))

        def advance(x: Point, index: Array) -> tuple[Point, Point]:
            length = jnp.clip((index + 1) * h - begin, 0.0, h)
            moved = self.layer(index // self.splits).step(x, length, dt)
            if key is not None:
                noise = jax.random.normal(jax.random.fold_in(key, index), x.shape, x.dtype)
                moved = moved + spread * jnp.sqrt(jnp.where(length > 0, length, 0.0)) * noise
            return moved, moved

        _, states = jax.lax.scan(advance, x, jnp.arange(steps))
        return jnp.concatenate([x[None], states])

    def check(self, problem: Problem) -> None:
        """Refuse another dimension, a readout of several outputs, a later horizon, and atoms without a readout."""
        d = problem.dimension
        require(d == self.dimension, f"the network's states have dimension {self.dimension} but the problem has {d}.")
        horizon, time = concrete(problem.horizon), concrete(self.time)
        require(
            None if horizon is None or time is None else horizon <= time * (1 + 1e-6),
            f"`horizon` must be at most the network's time {time}; got {horizon}. Its layers end there.",
        )
        if self.readout is None:
            require(not isinstance(problem.initial, Atoms), "`readout` is needed for a problem given by Atoms.")
        self.check_readout()

    def check_readout(self) -> None:
        """Refuse a readout of several outputs, which is no solution."""
        if self.readout is None:
            return
        shape = self._readout_shape()
        require(
            shape == (), f"`readout` must give one number to be a solution; got shape {shape}. Use network.output(k)."
        )

    def _readout_shape(self) -> tuple[int, ...]:
        assert self.readout is not None
        x = jax.ShapeDtypeStruct((self.dimension,), jnp.result_type(float))
        found: tuple[int, ...] = eqx.filter_eval_shape(self.readout, x).shape
        return found

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> None:
        """Nothing: the weights are all there is."""

    def evaluate(
        self, problem: Problem, t: Scalar, state: None, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U(t, ·) by the layers of the last t, ∇u by the network's backward pass."""
        assert points is not None, "a flow has no nodes; solve() refuses points=None"
        transported: Any = problem.initial if self.readout is None else self.readout
        keys = jax.random.split(jax.random.key(0) if key is None else key, self.samples)

        def once(x: Point, key: PRNGKeyArray | None) -> Scalar:
            return transported(problem.domain.wrap(self.states(x, duration=t, key=key)[-1:])[0])

        def at(x: Point) -> tuple[Scalar, Point, Scalar]:
            if not self.noisy:
                return *jax.value_and_grad(once)(x, None), jnp.zeros((), x.dtype)
            values, slopes = jax.vmap(lambda key: jax.value_and_grad(once)(x, key))(keys)
            return jnp.mean(values), jnp.mean(slopes, axis=0), jnp.std(values, ddof=1) / np.sqrt(self.samples)

        batch = max(1, _BATCH // self.samples) if self.noisy else _BATCH
        u, gradient, error = jax.lax.map(at, points, batch_size=batch)
        return Evaluation(u, gradient, RESULTS.successful, {"standard_error": error})

    def equation(self, problem: Problem, state: None = None) -> Problem:
        """`u_s − f(T − s, x)·∇u = ε Δu` with the network's readout as data: its layers in the limit of many steps."""
        carried = (Linear(Field(self)), Constant(self.viscosity))
        problem = eqx.tree_at(lambda p: (p.hamiltonian, p.viscosity), problem, carried)
        if self.readout is None:
            return problem
        return eqx.tree_at(lambda p: p.initial, problem, Custom(self.readout))


class Output(eqx.Module):
    """One output of a readout."""

    readout: Callable[[Point], Array]
    k: int = eqx.field(static=True)

    def __call__(self, x: Point) -> Scalar:
        """readout(x)[k]."""
        return self.readout(x)[self.k]
