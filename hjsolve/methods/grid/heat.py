"""The exact solution of `u_t + c|∇u|² = εΔu` from the nodes of one tensor grid to those of another, axis by axis."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ...kernels.envelope import lower_envelope
from ...kernels.heat import Axis, heat_axis
from ...problem import AbstractDomain
from ...typing import Array, Scalar, Values
from .sources import Nodes


class Flow(NamedTuple):
    """U and the components of ∇u, each `[n_1, ..., n_d]`, on the target nodes, and how accurate the passes were.

    `change` is the largest relative change of e^{−cu/ε} on leaving out every second node of an axis, `interpolated`
    the largest fraction of lines of an axis that had to be interpolated, and `error` a bound on what that costs in u.
    """

    u: Values
    gradient: tuple[Values, ...]
    change: Scalar
    interpolated: Scalar
    error: Scalar


def viscous(
    u: Values,
    sources: Nodes,
    targets: Nodes,
    domain: AbstractDomain,
    c: Scalar,
    epsilon: Scalar,
    t: Scalar,
    *,
    gradient: bool = True,
    whole: bool = True,
    refine: int = 1,
) -> Flow:
    """The Hopf-Cole solution at time t > 0 from node values at time 0, ε > 0.

    Without `gradient`, `Flow.gradient` has no components. `whole`: all nodes decide how the data are integrated, not
    only those inside the domain (beyond it a march knows u less and less well). `refine`: nodes per spacing that
    quintics fill in along each axis, for smooth u.
    """
    temperature = epsilon / c
    lowest = jax.lax.stop_gradient(jnp.min(u))
    v = (lowest - u) / temperature
    slopes: tuple[Array, ...] = ()
    change, interpolated, error = (jnp.zeros((), u.dtype) for _ in range(3))
    # which nodes matter along each axis of v, whose axes turn as passes are done
    inside = [_inside(sources.axis(k), domain, k, whole) for k in range(len(domain.periodic))]
    for k, periodic in enumerate(domain.periodic):
        n, rest = v.shape[0], v.shape[1:]
        x, y = targets.axis(k), sources.axis(k, refine, periodic)
        here = _inside(x, domain, k, whole)
        lines = functools.reduce(lambda a, b: (a[:, None] & b).reshape(-1), inside[1:], jnp.ones(1, bool))
        period = domain.extent[k] if periodic else None
        axis = Axis(x, y, period, here, _inside(y, domain, k, whole), lines)
        step = heat_axis(v.reshape(n, -1), tuple(s.reshape(n, -1) for s in slopes), axis, epsilon * t, refine)
        inside = [*inside[1:], here]
        v = step.value.reshape(*rest, -1)
        slopes = tuple(s.reshape(v.shape) for s in step.averages) if gradient else ()
        change = jnp.maximum(change, step.change)
        interpolated = jnp.maximum(interpolated, step.interpolated)
        error = error + step.bound
    return Flow(
        lowest - temperature * v, tuple(-temperature * s for s in slopes), change, interpolated, temperature * error
    )


def _inside(x: Array, domain: AbstractDomain, k: int, whole: bool) -> Array:
    slack = 1e-3 * (x[1] - x[0])
    return ((x >= domain.lower[k] - slack) & (x <= domain.upper[k] + slack)) | whole | domain.periodic[k]


def inviscid(u: Values, sources: Nodes, targets: Nodes, domain: AbstractDomain, c: Scalar, t: Scalar) -> Flow:
    """The Hopf-Lax solution at time t > 0, with the minimum over the source nodes: a distance transform of them."""
    scale = 1 / (4 * c * t)
    slopes: tuple[Array, ...] = ()
    for k, periodic in enumerate(domain.periodic):
        rest = u.shape[1:]
        y = sources.axis(k)
        fields = (u, *slopes)
        if periodic:
            y = jnp.concatenate([y - domain.extent[k], y, y + domain.extent[k]])
            fields = tuple(jnp.concatenate([a, a, a]) for a in fields)
        flat = tuple(a.reshape(y.shape[0], -1) for a in fields)
        value, averages = lower_envelope(flat[0], flat[1:], targets.axis(k), y, scale)
        u, slopes = value.reshape(*rest, -1), tuple(a.reshape(*rest, -1) for a in averages)
    nothing = jnp.zeros((), u.dtype)
    return Flow(u, slopes, nothing, nothing, nothing)
