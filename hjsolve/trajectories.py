"""The closed loop of a solution: what ∇u tells a controller to do, and the paths that follow it."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp

from .methods.base import AbstractEvolution, AbstractMethod, State
from .problem import Problem
from .problem.hamiltonians import AbstractHamiltonian, Freezing, WithPotential, WithSource
from .problem.hamiltonians.controlled import Controlled
from .results import RESULTS
from .typing import Array, Float, Points, PRNGKeyArray, Scalar, Values, Vectors

Slope = Callable[[Scalar, Points], Points]
"""∇u at a time to go and points `[m, d]`."""
Rates = Callable[[Scalar, Points], tuple[Points, Array]]
"""dx/ds `[m, d]` and the running cost `[m]`."""
Paths = tuple[Points, Array, Array]
"""Where the paths are, what they have cost, and whether they have left."""
_SLACK = 1e-6
"""Of the domain's extent: rounding that does not count as leaving it."""


class Inputs(eqx.Module):
    """What is done at a point: the optimal `control` `[..., k]` and `disturbance` `[..., l]`, and the `velocity`.

    `velocity` `[..., d]` is dx/ds, s = T − t. Hamiltonians without inputs (see `Controlled`) have None for both.
    """

    control: Array | None
    disturbance: Array | None
    velocity: Array


class Trajectory(eqx.Module):
    """Paths of the closed loop from x0 `[m, d]` (from x0 `[d]`: the same without the first axis).

    `s` `[n]` is the time that has passed and `t` `[n]` the time to go; `x` `[m, n, d]`; `inputs` hold what was done
    there, `[m, n, ...]`. `cost` `[m, n]` is ∫ ℓ ds up to s, ℓ the running cost (for convex H without inputs
    the Lagrangian L(t, x, −dx/ds)): `cost[:, -1]` and g at the last `x` add up to what the path cost, which is u where
    the path is optimal. `left` `[m]`: the path met a face of the domain of a grid, and stays where it met it.
    """

    s: Float[Array, "n"]
    t: Float[Array, "n"]
    x: Float[Array, "*m n d"]
    inputs: Inputs
    cost: Float[Array, "*m n"]
    left: Array
    result: RESULTS


@runtime_checkable
class Meshed(Protocol):
    """A grid method whose `mesh(problem)` has a `shape` and interpolates node values: `mesh.at(values, points)`."""

    def mesh(self, problem: Problem) -> "Interpolates":
        """The grid on the problem's domain."""
        ...


class Interpolates(Protocol):
    """A grid that carries values to points."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Nodes per axis."""
        ...

    def at(self, values: Values, points: Points) -> Float[Array, "m ..."]:
        """Values `[n_1, ..., n_d, ...]` of the nodes at points `[m, d]`."""
        ...


def closed_loop(hamiltonian: AbstractHamiltonian, t: Scalar, x: Vectors, p: Vectors) -> Inputs:
    """What is optimal at x where ∇u = p, all `[d, ...]` with the component first: a*, b* and f(t, x, a*, b*).

    For Hamiltonians without inputs the velocity is that of the characteristic, −∂H/∂p. A potential or a source changes
    the cost alone; where a value is frozen the state rests.
    """
    if isinstance(hamiltonian, WithPotential | WithSource):
        return closed_loop(hamiltonian.hamiltonian, t, x, p)
    if isinstance(hamiltonian, Freezing):
        inner = closed_loop(hamiltonian.hamiltonian, t, x, p)
        moves = hamiltonian.hamiltonian(t, x, p) > 0
        return Inputs(inner.control, inner.disturbance, jnp.where(moves, inner.velocity, 0.0))
    if not isinstance(hamiltonian, Controlled):
        return Inputs(None, None, -hamiltonian.velocity(t, x, p))
    control, disturbance = hamiltonian.control(t, x, p), hamiltonian.disturbance(t, x, p)
    return Inputs(control, disturbance, hamiltonian.dynamics(t, x, control, disturbance))


def slopes(problem: Problem, method: AbstractMethod, states: State, times: Float[Array, "s"]) -> Slope:
    """∇u for paths to follow: that of a representation itself; of a grid, interpolated.

    A grid's gradient is computed on the nodes at the saved `times` (to which `states` belong), interpolated by quintics
    in space and linearly in time.
    """
    if not isinstance(method, AbstractEvolution):
        return lambda t, x: method.evaluate(problem, t, states, x, key=jax.random.key(0)).gradient
    assert isinstance(method, Meshed)
    mesh, d = method.mesh(problem), problem.dimension

    def saved(entry: tuple[Scalar, State]) -> Array:
        return method.evaluate(problem, *entry, None).gradient.reshape(*mesh.shape, d)

    fields = jax.lax.map(saved, (times, states))

    def at(t: Scalar, x: Points) -> Points:
        k = jnp.clip(jnp.sum(times <= t) - 1, 0, len(times) - 2)
        # the first saved time may be the start itself
        length = times[k + 1] - times[k]
        weight = jnp.where(length > 0, (t - times[k]) / jnp.where(length > 0, length, 1.0), 1.0)
        return mesh.at((1 - weight) * fields[k] + weight * fields[k + 1], x)

    return at


def follow(
    problem: Problem,
    slope: Slope,
    x: Points,
    span: Float[Array, "2"],
    steps: int,
    walls: bool,
    key: PRNGKeyArray | None,
) -> Trajectory:
    """Follow the closed loop from x with `span[0]` to go until `span[1]` is left, in equal steps.

    Without a `key` dx = f ds by the classical Runge-Kutta method (order 4 in the step); with one dX = f ds + σ dW,
    σσᵀ = 2εΣ, by Heun's method (weak order 2 where σ is constant, else 1). `walls`: stop at the domain's faces.
    """
    ts = jnp.linspace(span[0], span[1], steps + 1)
    domain = problem.domain

    def place(x: Points) -> Vectors:
        return (domain.wrap(x) if any(domain.periodic) else x).T

    def act(t: Scalar, x: Points) -> tuple[Inputs, Array]:
        """The inputs, component first, and the running cost `[m]`."""
        p = slope(t, x).T
        inputs = closed_loop(problem.hamiltonian, t, place(x), p)
        return inputs, -problem.hamiltonian(t, place(x), p) - jnp.sum(p * inputs.velocity, axis=0)

    def rates(t: Scalar, x: Points) -> tuple[Points, Array]:
        inputs, cost = act(t, x)
        return inputs.velocity.T, cost

    def step(carry: Paths, entry: tuple[Scalar, Scalar, Array]) -> tuple[Paths, Paths]:
        x, cost, left = carry
        t, next_t, number = entry
        if key is None:
            change, paid = _runge_kutta(rates, t, next_t, x)
        else:
            noise = _noise(problem, t, place(x), t - next_t, jax.random.fold_in(key, number))
            change, paid = _heun(rates, t, next_t, x, noise)
        share = _share_inside(problem, x, x + change) if walls else jnp.ones_like(cost)
        share = jnp.where(left, 0.0, share)
        new = (x + share[:, None] * change, cost + share * paid, left | (share < 1))
        return new, new

    start = (x, jnp.zeros_like(x[:, 0]), jnp.zeros(x.shape[0], bool))
    (_, _, left), rest = jax.lax.scan(step, start, (ts[:-1], ts[1:], jnp.arange(steps)))
    xs, costs, _ = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), start, rest)
    inputs = jax.lax.map(lambda tx: act(*tx)[0], (ts, xs))  # component first: [n, k, m]
    finite = jnp.all(jnp.isfinite(xs)) & jnp.all(jnp.isfinite(costs))
    result = RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)
    inputs = jax.tree.map(lambda a: a.transpose(2, 0, 1), inputs)
    return Trajectory(span[0] - ts, ts, xs.swapaxes(0, 1), inputs, costs.T, left, result)


def _runge_kutta(rates: Rates, t: Scalar, next_t: Scalar, x: Points) -> tuple[Points, Array]:
    """The change of x and of the cost over one step; t is time to go, so it falls."""
    ds, middle = t - next_t, (t + next_t) / 2
    f1, l1 = rates(t, x)
    f2, l2 = rates(middle, x + ds / 2 * f1)
    f3, l3 = rates(middle, x + ds / 2 * f2)
    f4, l4 = rates(next_t, x + ds * f3)
    return ds / 6 * (f1 + 2 * f2 + 2 * f3 + f4), ds / 6 * (l1 + 2 * l2 + 2 * l3 + l4)


def _heun(rates: Rates, t: Scalar, next_t: Scalar, x: Points, noise: Points) -> tuple[Points, Array]:
    """As `_runge_kutta`, with the noise of the step, whose σ is taken at its beginning (Itô)."""
    ds = t - next_t
    f1, l1 = rates(t, x)
    f2, l2 = rates(next_t, x + ds * f1 + noise)
    return ds / 2 * (f1 + f2) + noise, ds / 2 * (l1 + l2)


def _noise(problem: Problem, t: Scalar, x: Vectors, ds: Scalar, key: PRNGKeyArray) -> Points:
    """σ(t, x) ΔW `[m, d]`."""
    roots = jax.vmap(problem.viscosity.root, in_axes=(None, 1))(t, x)
    return jnp.sqrt(ds) * jnp.einsum("mdk,mk->md", roots, jax.random.normal(key, roots.shape[::2], x.dtype))


def _share_inside(problem: Problem, x: Points, moved: Points) -> Array:
    """The part `[m]` of the way from x to `moved` that is inside the domain: 1 where it does not leave."""
    domain = problem.domain
    margin = _SLACK * domain.extent
    change = moved - x
    beyond_upper, beyond_lower = moved > domain.upper + margin, moved < domain.lower - margin
    beyond = (beyond_upper | beyond_lower) & ~jnp.asarray(domain.periodic)
    face = jnp.where(beyond_upper, domain.upper, domain.lower)
    shares = jnp.where(beyond, (face - x) / jnp.where(beyond, change, 1.0), 1.0)
    return jnp.clip(jnp.min(shares, axis=1), 0.0, 1.0)
