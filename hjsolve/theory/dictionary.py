"""Network ↔ equation: reading the equation off a layer, and writing an equation as a layer."""

from typing import Literal

import jax.numpy as jnp

from ..checks import as_array, check_range, require
from ..methods.network import LSE
from ..methods.particle import HopfCole, rules
from ..problem import Box, Problem
from ..problem.hamiltonians import Quadratic
from ..problem.hopf_cole import parameters, require_hopf_cole
from ..problem.initials import Atoms
from ..problem.viscosities import Constant
from ..typing import ArrayLike

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


def as_network(problem: Problem, *, family: Literal["lse"] = "lse", time: ArrayLike | None = None) -> LSE:
    """The layer with `(|x|²/(4t) − f(x))/c = u(t, x)` at `time` t (default the horizon), for H = c|p|² and ε > 0.

    Given `Atoms`, u is the unnormalised u_N and N units suffice (weights ω enter as b_j += ε log ω_j). For function
    data the units are the nodes of the `Trapezoid` rule, with its weights and the normalisation folded into b.
    """
    require(family == "lse", f"`family` must be 'lse'; got {family!r}.")
    t = jnp.asarray(problem.horizon) if time is None else as_array("time", time)
    check_range("time", t, above=0.0, remedy="The layer is read as a solution at a positive time.")
    require_hopf_cole(problem, "An LSE network", "No layer solves this equation exactly.")
    c, epsilon = parameters(problem)
    check_range("viscosity", epsilon, above=0.0, remedy="At 0 the layer is max-plus and has no temperature.")
    rule = rules.Trapezoid()
    HopfCole(rule=rule).check(problem)
    cloud = rules.given(problem.initial) if isinstance(problem.initial, Atoms) else rule.prepare(problem)
    bias = -c * cloud.g - jnp.sum(cloud.y**2, axis=1) / (4 * t) + epsilon * cloud.log_weights
    if not isinstance(problem.initial, Atoms):
        bias = bias - problem.dimension * epsilon / 2 * jnp.log(4 * jnp.pi * epsilon * t)
    return LSE(cloud.y / (2 * t), bias, epsilon, time=t)
