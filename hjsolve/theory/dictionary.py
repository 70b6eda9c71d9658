"""Network ↔ equation: reading the equation off a layer, and writing an equation as a layer."""

from typing import Literal, overload

import jax.numpy as jnp

from ..checks import as_array, check_range, require
from ..methods.network import LSE, SSM
from ..problem import Box, Problem
from ..problem.hamiltonians import Quadratic
from ..problem.viscosities import Constant
from ..typing import ArrayLike
from .exact_networks import lse_network, ssm_network

_MARGIN = 0.25
"""The read problem's box exceeds the atoms' bounding box by this share of its longest side, on every face."""


def as_problem(network: LSE, *, time: ArrayLike | None = None) -> Problem:
    """The equation `u_t + |∇u|² = εΔu` (c = 1) whose propagator from atoms is the layer's forward pass at `time`.

    ε is the layer's temperature; the initial data are `Atoms` at y_j = 2tW_j with g_j = −b_j − t|W_j|² (t = `time`,
    default the layer's own); the domain is the atoms' bounding box plus a margin; the horizon is t. Then
    `network(x) + u_N(t, x) = |x|²/(4t)`. Raises `ValueError` for time <= 0.
    """
    if not isinstance(network, LSE):
        raise TypeError(
            f"`network` must be an hj.methods.network.LSE; got {type(network).__name__}. Of a classifier "
            "read one unit: classifier.unit(k)."
        )
    t = network.time if time is None else as_array("time", time)
    check_range("time", t, above=0.0, remedy="The layer is read as a solution at a positive time.")
    atoms = network.atoms(t)
    lower, upper = jnp.min(atoms.y, axis=0), jnp.max(atoms.y, axis=0)
    longest = jnp.max(upper - lower)
    margin = _MARGIN * jnp.where(longest > 0, longest, 1.0)
    return Problem(Quadratic(1.0), Constant(network.temperature), atoms, Box(lower - margin, upper + margin), t)


@overload
def as_network(problem: Problem, *, family: Literal["lse"] = ..., time: ArrayLike | None = ...) -> LSE: ...


@overload
def as_network(
    problem: Problem,
    *,
    family: Literal["ssm"],
    time: ArrayLike | None = ...,
    cells: int | tuple[int, ...],
    layers: int = ...,
) -> SSM: ...


def as_network(
    problem: Problem,
    *,
    family: Literal["lse", "ssm"] = "lse",
    time: ArrayLike | None = None,
    cells: int | tuple[int, ...] | None = None,
    layers: int = 1,
) -> LSE | SSM:
    """The network that solves a problem with H = c|p|² and ε > 0 without training, at `time` t (default the horizon).

    `"lse"`: the layer with `(|x|²/(4t) − f(x))/c = u(t, x)`. Given `Atoms`, u is the unnormalised u_N and N units
    suffice (weights ω enter as b_j += ε log ω_j). For function data the units are the nodes of the `Trapezoid` rule,
    with its weights and the normalisation folded into b.

    `"ssm"`: the state-space model of the modes of `cells` nodes on a torus, A_k = −ε|κ_k|² − i b·κ_k at the temperature
    ε/c; a potential V (with `WithPotential`) is its gate, in `layers` Strang steps, and a constant drift b its
    frequencies.
    """
    require(family in ("lse", "ssm"), f"`family` must be 'lse' or 'ssm'; got {family!r}.")
    t = jnp.asarray(problem.horizon) if time is None else as_array("time", time)
    check_range("time", t, above=0.0, remedy="The network is read as a solution at a positive time.")
    if family == "lse":
        require(
            cells is None and layers == 1, "`cells` and `layers` belong to family='ssm'; an LSE layer takes neither."
        )
        return lse_network(problem, t)
    require(cells is not None, "`cells` is needed for family='ssm': the nodes per axis.")
    assert cells is not None
    return ssm_network(problem, t, cells, layers)
