"""Pontryagin's co-state of a residual network: backpropagation is its discretization.

For x_{l+1} = x_l + h f_l(x_l) and a terminal cost Φ, backpropagation computes p_l = p_{l+1} + h ∂f_l(x_l)ᵀ p_{l+1}
from p_L = ∇Φ(x_L): p_0 is the gradient of Φ(x_L(x_0)). It tends at O(h) to the co-state ṗ = −∂_xf(τ, x)ᵀp of
ẋ = f(τ, x), along which p·f is constant wherever f does not depend on τ.
Source: E, Han & Li 2019, doi:10.1007/s40687-018-0172-y.
"""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp

from ..checks import check_ndim, check_range, require
from ..methods.network import ResidualFlow
from ..typing import Array, Float, Point, Scalar

Terminal = Callable[[Point], Scalar]


class Costate(NamedTuple):
    """States and co-states `[L + 1, d]` at the `times` `[L + 1]` between layers, and p·f(τ, x) `[L + 1]` there."""

    times: Float[Array, "n"]
    states: Float[Array, "n d"]
    costates: Float[Array, "n d"]
    hamiltonian: Float[Array, "n"]


def discrete(network: ResidualFlow, x: Point, terminal: Terminal | None = None) -> Costate:
    """The co-state by the recursion p_l = (∂x_{l+1}/∂x_l)ᵀ p_{l+1}, for every step from x `[d]`.

    `terminal` is Φ, a function of the last state (default the network's readout). For the Residual cell the recursion
    is p_{l+1} + h ∂f_lᵀ p_{l+1}. p_0 is what automatic differentiation of Φ(x_L) gives, to round-off.
    """
    return _discrete(network, *_checked(network, x, terminal))


@eqx.filter_jit
def _discrete(network: ResidualFlow, x: Point, cost: Terminal) -> Costate:
    h, dt = network.dt / network.splits, network.dt
    states = network.states(x)
    indices = jnp.arange(len(states) - 1)

    def back(p: Point, step: tuple[Array, Point]) -> tuple[Point, Point]:
        index, before = step
        cell = network.layer(index // network.splits)
        _, pull = jax.vjp(lambda x: cell.step(x, h, dt), before)
        p = pull(p)[0]
        return p, p

    last = jax.grad(cost)(states[-1])
    _, costates = jax.lax.scan(back, last, (indices, states[:-1]), reverse=True)
    return _with_hamiltonian(network, h * jnp.arange(len(states)), states, jnp.concatenate([costates, last[None]]))


def continuous(
    network: ResidualFlow, x: Point, terminal: Terminal | None = None, *, tolerance: float = 1e-8
) -> Costate:
    """The co-state of ẋ = f(τ, x), f constant in τ within each layer, at the times between layers and their splits.

    Both equations by diffrax (Dormand-Prince 8, relative and absolute error `tolerance` a step), layer by layer, so
    that no step crosses a jump of f.
    """
    check_range("tolerance", tolerance, above=0.0, remedy="Default 1e-8.")
    return _continuous(network, *_checked(network, x, terminal), tolerance)


@eqx.filter_jit
def _continuous(network: ResidualFlow, x: Point, cost: Terminal, tolerance: float) -> Costate:
    dt, splits = network.dt, network.splits
    fractions = jnp.arange(1, splits + 1) / splits

    def integrate(rate: Callable[..., Array], start: Array) -> Array:
        """At all `fractions` of a layer."""
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(rate),
            diffrax.Dopri8(),
            0.0,
            dt,
            dt / splits,
            start,
            saveat=diffrax.SaveAt(ts=dt * fractions),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=4096,
        )
        assert found.ys is not None
        ys: Array = found.ys
        return ys

    def forward(x: Point, index: Array) -> tuple[Point, Array]:
        cell = network.layer(index)
        states = integrate(lambda _, x, __: cell.velocity(x, dt), x)
        return states[-1], states

    def backward(both: Array, index: Array) -> tuple[Array, Array]:
        cell = network.layer(index)

        def rate(_: Scalar, both: Array, __: None) -> Array:
            x, p = both
            velocity, pull = jax.vjp(lambda x: cell.velocity(x, dt), x)
            return jnp.stack([-velocity, pull(p)[0]])  # time runs backwards

        found = integrate(rate, both)
        return found[-1], found

    layers = jnp.arange(network.layers)
    end, states = jax.lax.scan(forward, x, layers)
    last = jax.grad(cost)(end)
    _, both = jax.lax.scan(backward, jnp.stack([end, last]), layers, reverse=True)
    states = jnp.concatenate([x[None], states.reshape(-1, len(x))])
    costates = jnp.concatenate([both[:, ::-1, 1].reshape(-1, len(x)), last[None]])
    times = dt / splits * jnp.arange(len(states))
    return _with_hamiltonian(network, times, states, costates)


def _with_hamiltonian(network: ResidualFlow, times: Array, states: Array, costates: Array) -> Costate:
    """p·f with the layer that begins at each time; the last one at the end."""
    inside = jnp.minimum(times, times[-1] - 0.5 * (times[1] - times[0]))
    speeds = jax.vmap(network.velocity)(inside, states)
    return Costate(times, states, costates, jnp.sum(speeds * costates, axis=1))


def _checked(network: ResidualFlow, x: Point, terminal: Terminal | None) -> tuple[Point, Terminal]:
    if not isinstance(network, ResidualFlow):
        raise TypeError(f"`network` must be an hj.methods.network.ResidualFlow; got {type(network).__name__}.")
    x = jnp.asarray(x, jnp.result_type(float))
    check_ndim("x", x, 1, "[d]", "One point; jax.vmap for more.")
    require(len(x) == network.dimension, f"`x` must have {network.dimension} components; got {len(x)}.")
    cost = network.readout if terminal is None else terminal
    require(cost is not None, "`terminal` is needed: the network has no readout.")
    assert cost is not None
    shape = eqx.filter_eval_shape(cost, x).shape
    require(shape == (), f"`terminal` must give one number; got shape {shape}. Of a classifier take one output.")
    return x, cost
