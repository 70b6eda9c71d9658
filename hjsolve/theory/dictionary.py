"""Network ↔ equation: reading the equation off a layer, and writing an equation as a layer."""

from typing import Literal, TypeAlias, overload

import jax.numpy as jnp

from ..checks import as_array, check_range, concrete, number, require, whole_number
from ..methods.grid.fluxes import AbstractFlux, GlobalLaxFriedrichs
from ..methods.network import LSE, SSM, Attention, ResidualFlow, ResidualStepper
from ..problem import AbstractDomain, Box, Problem
from ..problem.hamiltonians import Quadratic
from ..problem.initials import AbstractInitial, Atoms, Custom
from ..problem.viscosities import Constant
from ..typing import Array, ArrayLike
from .exact_networks import attention_network, lse_network, ssm_network
from .scheme_networks import residual_network

Cells: TypeAlias = int | tuple[int, ...]

_MARGIN = 0.25
"""The read problem's box exceeds the atoms' bounding box by this share of its longest side, on every face."""


def as_problem(
    network: LSE | Attention | SSM | ResidualStepper | ResidualFlow,
    *,
    time: ArrayLike | None = None,
    initial: AbstractInitial | Atoms | None = None,
    domain: AbstractDomain | None = None,
) -> Problem:
    """The equation that a network's weights carry, as a problem for any other method; the horizon is `time`.

    An `LSE` layer is the propagator from atoms of `u_t + |∇u|² = εΔu` (c = 1): ε is its temperature, the data are
    `Atoms` at y_j = 2tW_j with g_j = −b_j − t|W_j|² (t = `time`, default the layer's own), the domain is their bounding
    box plus a margin, and `network(x) + u_N(t, x) = |x|²/(4t)`.

    A `ResidualFlow` transports its readout on `domain`: H = −p·f(T − s, x), ε its noise. `Attention`, `SSM` and
    `ResidualStepper` take any `initial` data on `domain`, and `network.equation` reads H and ε for them; ε of a
    `ResidualStepper` depends on ∇u, which `FiniteDifference` solves.

    Raises `ValueError` for time <= 0 and for data or a domain that are missing or do not belong.
    """
    families = (LSE, Attention, SSM, ResidualStepper, ResidualFlow)
    if not isinstance(network, families):
        raise TypeError(
            f"`network` must be one of {', '.join(kind.__name__ for kind in families)} of hj.methods.network; got "
            f"{type(network).__name__}. Of a classifier read one unit: classifier.unit(k); of a DeepLSE its readout."
        )
    t = network.time if time is None else as_array("time", time)
    check_range("time", t, above=0.0, remedy="The layer is read as a solution at a positive time.")
    if not isinstance(network, LSE):
        return _carried(network, t, initial, domain)
    require(initial is None and domain is None, "`initial` and `domain` of an LSE layer are its atoms. Leave them out.")
    atoms = network.atoms(t)
    lower, upper = jnp.min(atoms.y, axis=0), jnp.max(atoms.y, axis=0)
    longest = jnp.max(upper - lower)
    margin = _MARGIN * jnp.where(longest > 0, longest, 1.0)
    return Problem(Quadratic(1.0), Constant(network.temperature), atoms, Box(lower - margin, upper + margin), t)


def _carried(
    network: Attention | SSM | ResidualStepper | ResidualFlow,
    t: Array,
    initial: AbstractInitial | Atoms | None,
    domain: AbstractDomain | None,
) -> Problem:
    """What `network.equation` makes of a problem with these data."""
    name = type(network).__name__
    require(domain is not None, f"`domain` is needed to read the equation of {name}: where it is to hold.")
    assert domain is not None
    if isinstance(network, ResidualFlow) and network.readout is not None:
        require(initial is None, "`initial` of a ResidualFlow is its readout. Leave it out.")
        d, n = domain.dimension, network.dimension
        require(d == n, f"`domain` must have the dimension {n} of the network's states; got {d}.")
        network.check_readout()
        initial = Custom(network.readout)
    require(initial is not None, f"`initial` is needed to read the equation of {name}, which takes any data.")
    assert initial is not None
    problem = Problem(Quadratic(1.0), Constant(1.0), initial, domain, t)
    network.check(problem)
    if isinstance(network, Attention):
        c = concrete(network.strength)
        require(
            c is None or c > 0,
            f"`network` must be an attention layer whose f falls where the data rise, by c = −Σ m γ > 0 times as much; "
            f"got c = {c}. Train it, or build it by as_network.",
        )
    return network.equation(problem)


@overload
def as_network(problem: Problem, *, family: Literal["lse"] = ..., time: ArrayLike | None = ...) -> LSE: ...


@overload
def as_network(
    problem: Problem, *, family: Literal["attention"], time: ArrayLike | None = ..., cells: Cells | None = ...
) -> Attention: ...


@overload
def as_network(
    problem: Problem, *, family: Literal["ssm"], time: ArrayLike | None = ..., cells: Cells, layers: int = ...
) -> SSM: ...


@overload
def as_network(
    problem: Problem,
    *,
    family: Literal["residual"],
    time: ArrayLike | None = ...,
    cells: Cells,
    layers: int | None = ...,
    flux: AbstractFlux | None = ...,
) -> ResidualStepper: ...


def as_network(
    problem: Problem,
    *,
    family: Literal["lse", "attention", "ssm", "residual"] = "lse",
    time: ArrayLike | None = None,
    cells: Cells | None = None,
    layers: int | None = None,
    flux: AbstractFlux | None = None,
) -> LSE | Attention | SSM | ResidualStepper:
    """The network that solves a problem without training, at `time` t (default the horizon).

    The first three need H = c|p|² and ε > 0, the last one takes any H(p) and ε >= 0. `"attention"` (its images) and
    `"residual"` (its layers) need the problem's numbers, outside `jit`; the other two can be built within it.

    `"lse"`: the layer with `(|x|²/(4t) − f(x))/c = u(t, x)`. Given `Atoms`, u is the unnormalised u_N and N units
    suffice (weights ω enter as b_j += ε log ω_j). For function data the units are the nodes of the `Trapezoid` rule,
    with its weights and the normalisation folded into b.

    `"attention"`: one head over tokens (y_j, g_j), the problem's `Atoms` or the data on the nodes of `cells` cells per
    axis of a torus, repeated until the kernel is below round-off.

    `"ssm"`: the state-space model of the modes of `cells` nodes on a torus, A_k = −ε|κ_k|² − i b·κ_k at the temperature
    ε/c; a potential V (with `WithPotential`) is its gate, in `layers` Strang steps (default 1), and a constant drift b
    its frequencies.

    `"residual"`: the monotone scheme of `cells` nodes on a torus with first-order differences, forward Euler steps and
    `flux` `GlobalLaxFriedrichs()` (the default) or `EngquistOsher()`: one block a step, `layers` of them (default as
    few as are stable, and a tenth more). It equals `FiniteDifference` with these to round-off.
    """
    families = ("lse", "attention", "ssm", "residual")
    require(family in families, f"`family` must be one of {', '.join(map(repr, families))}; got {family!r}.")
    t = jnp.asarray(problem.horizon) if time is None else jnp.asarray(number("time", time))
    check_range("time", t, above=0.0, remedy="The network is read as a solution at a positive time.")
    for name, value, takers in (
        ("layers", layers, ("ssm", "residual")),
        ("cells", cells, ("attention", "ssm", "residual")),
        ("flux", flux, ("residual",)),
    ):
        known = " and ".join(f"family={taker!r}" for taker in takers)
        require(value is None or family in takers, f"`{name}` belongs to {known}; got {value!r} for {family!r}.")
    if layers is not None:
        whole_number("layers", layers, least=1, remedy="None chooses.")
    if family == "lse":
        return lse_network(problem, t)
    if family == "attention":
        return attention_network(problem, t, cells)
    require(cells is not None, f"`cells` is needed for family={family!r}: the nodes per axis.")
    assert cells is not None
    if family == "ssm":
        return ssm_network(problem, t, cells, 1 if layers is None else layers)
    return residual_network(problem, t, cells, layers, GlobalLaxFriedrichs() if flux is None else flux)
