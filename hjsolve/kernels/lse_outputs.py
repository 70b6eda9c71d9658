"""From Gibbs averages to u_N and what is derived from it, all of them out of one sweep over the atoms."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float, Points, Scalar
from .gibbs import gibbs, heaviest
from .lse_cloud import Cloud, Prepared, floored
from .lse_plan import Plan
from .lse_steps import ABSENT


class TopAtoms(NamedTuple):
    """The heaviest atoms of every query, heaviest first."""

    indices: Array
    """`[m, k]`, rows of y."""
    weights: Float[Array, "m k"]
    """Their Gibbs weights."""


class LogSumExp(eqx.Module):
    """What `hj.kernels.lse` was asked for; the other fields are None. Shapes for m queries in d dimensions."""

    u: Float[Array, "m"] | None = None
    """u_N = −(ε/c) log Σ_j ω_j exp(−(c/ε)E_j), the free energy."""
    gradient: Float[Array, "m d"] | None = None
    """∇u_N = (x − ȳ)/(2ct)."""
    barycentre: Float[Array, "m d"] | None = None
    """ȳ = Σ_j π_j y_j, with π_j ∝ ω_j exp(−(c/ε)E_j)."""
    average: Float[Array, "m k"] | None = None
    """Σ_j π_j values_j."""
    entropy: Float[Array, "m"] | None = None
    """−Σ_j π_j log π_j, accurate relative to itself however small."""
    relative_entropy: Float[Array, "m"] | None = None
    """−Σ_j π_j log(π_j/ω_j)."""
    hessian: Float[Array, "m d d"] | None = None
    """D²u_N = I/(2ct) − Cov_π(y)/(4ct²ε)."""
    laplacian: Float[Array, "m"] | None = None
    """Δu_N = d/(2ct) − Σ_j π_j |y_j − ȳ|²/(4ct²ε)."""
    d_eps: Float[Array, "m"] | None = None
    """∂u_N/∂ε = −relative_entropy/c."""
    d_t: Float[Array, "m"] | None = None
    """∂u_N/∂t = −Σ_j π_j |x − y_j|²/(4ct²)."""
    top_k: TopAtoms | None = None
    """The k heaviest atoms."""


OUTPUTS = tuple(LogSumExp.__dataclass_fields__)
INVISCID = ("u", "gradient", "barycentre", "average", "top_k")
"""Outputs with a meaning at ε = 0: those of the first minimising atom."""
LOCAL = ("u", "gradient", "barycentre", "average", "entropy", "relative_entropy", "top_k")
"""Outputs with a meaning where every atom has an ε of its own."""


class Request(NamedTuple):
    """What is asked for, fixed at compile time."""

    outputs: tuple[str, ...]
    k: int
    plan: Plan
    resolved: bool = False
    """Whether it is known that no exponent is so large that rounding hides the weights."""


def viscous(prepared: Prepared, request: Request) -> LogSumExp:
    """All outputs for ε > 0, one number or one per atom."""
    wanted = set(request.outputs)
    cloud = prepared.cloud._replace(eps=floored(prepared))
    b, kappa, form, features = _scores(cloud, prepared.present)
    columns = _columns(cloud, wanted)
    values = jnp.concatenate([*columns.values(), jnp.zeros((cloud.y.shape[0], 0), cloud.y.dtype)], axis=1)
    entropic = bool(wanted & {"entropy", "relative_entropy", "d_eps"})
    lse, averages, entropy = gibbs(*features, b, kappa, values, plan=request.plan, form=form, entropy=entropic)
    ends = np.cumsum([column.shape[1] for column in columns.values()])[:-1]
    means = dict(zip(columns, jnp.split(averages, ends, axis=1), strict=True)) if columns else {}

    x, t, eps, c = cloud.x, cloud.t, cloud.eps, cloud.c
    d = x.shape[1]
    found: dict[str, Any] = {"u": prepared.lowest - jnp.mean(eps) / c * lse}
    if eps.ndim and "gradient" in wanted:
        found["gradient"] = jnp.mean(eps) * (x * means["1/eps"] - means["y/eps"]) / (2 * c * t)
    elif "y" in means:
        found["gradient"] = (x - means["y"]) / (2 * c * t)
    if "y" in means:
        found["barycentre"] = means["y"] + prepared.middle
    if "values" in means:
        found["average"] = means["values"]
    if entropic:
        found |= _entropies(entropy, means.get("log weights"), cloud, prepared.present)
    if "yy" in means:
        covariance = _symmetric(means["yy"], d) - means["y"][:, :, None] * means["y"][:, None, :]
        found["hessian"] = jnp.eye(d, dtype=x.dtype) / (2 * c * t) - covariance / (4 * c * t**2 * eps)
    if "|y|²" in means:
        second, mean = means["|y|²"][:, 0], means["y"]
        variance = second - jnp.sum(mean**2, axis=1)
        found["laplacian"] = d / (2 * c * t) - variance / (4 * c * t**2 * eps)
        found["d_t"] = -(jnp.sum((x - mean) ** 2, axis=1) + variance) / (4 * c * t**2)
    if "top_k" in wanted:
        indices = heaviest(*features, b, kappa, count=request.k, plan=request.plan, form=form)
        X, Y = features
        inner = jnp.einsum("md,mkd->mk", X, Y[indices], precision="highest")
        squares = jnp.sum((X[:, None] - Y[indices]) ** 2, axis=2)
        scores = b[indices] + (inner if form == "product" else -kappa * squares)
        found["top_k"] = TopAtoms(indices, jnp.exp(jnp.minimum(scores - lse[:, None], 0.0)))
    return LogSumExp(**{name: found[name] for name in request.outputs})


def of_one_atom(prepared: Prepared, request: Request) -> LogSumExp:
    """The outputs where the first atom of least E_j − (ε/c) log ω_j has all the weight, as at ε = 0.

    At ε = 0 itself outputs with no limit there are NaN.
    """
    x, y, g, t, eps, c, logs, _ = prepared.cloud
    d = x.shape[1]
    logs = jnp.zeros_like(g) if logs is None else logs
    g = g - jnp.where(eps > 0, eps, 0.0) / c * logs  # at ε = 0 u has slope 0 in ε, not its limit from above
    b = jnp.where(prepared.present, -g, ABSENT)
    indices = heaviest(x, y, b, 1 / (4 * c * t), count=request.k, plan=request.plan, form="distance")
    first = indices[:, 0]
    away, relative = x - y[first], logs[first]
    squares = jnp.sum(away**2, axis=1)
    found: dict[str, Any] = {
        "u": prepared.lowest + g[first] + squares / (4 * c * t),
        "gradient": away / (2 * c * t),
        "barycentre": y[first] + prepared.middle,
        "top_k": TopAtoms(indices, jnp.broadcast_to(jnp.asarray(np.eye(1, request.k)[0], x.dtype), indices.shape)),
    }
    if prepared.cloud.values is not None:
        found["average"] = prepared.cloud.values[first]
    alone = {
        "entropy": jnp.zeros_like(relative),
        "relative_entropy": relative,
        "hessian": jnp.broadcast_to(jnp.eye(d, dtype=x.dtype) / (2 * c * t), (x.shape[0], d, d)),
        "laplacian": jnp.full_like(relative, d / (2 * c * t)),
        "d_eps": -relative / c,
        "d_t": -squares / (4 * c * t**2),
    }
    found |= {name: jnp.where(eps > 0, value, jnp.nan) for name, value in alone.items()}
    return LogSumExp(**{name: found[name] for name in request.outputs})


def _entropies(entropy: Array, logs: Array | None, cloud: Cloud, present: Array) -> dict[str, Array]:
    """Shannon's S <= log N, relative S + Σ_j π_j log ω_j <= log Σ_j ω_j, and ∂u/∂ε, with no more than rounding allows.

    A bound is attained where all atoms are alike (relative: alike but for their ω), which is where it has slope 0.
    """
    entropy = jnp.minimum(entropy, jnp.log(jnp.sum(present)).astype(entropy.dtype))
    relative = entropy
    if logs is not None:
        assert cloud.log_weights is not None
        total = jax.nn.logsumexp(jax.lax.stop_gradient(jnp.where(present, cloud.log_weights, -jnp.inf)))
        relative = jnp.minimum(entropy + logs[:, 0], total)
    return {"entropy": entropy, "relative_entropy": relative, "d_eps": -relative / cloud.c}


def _scores(cloud: Cloud, present: Array) -> tuple[Array, Scalar, str, tuple[Points, Points]]:
    """Biases, κ, the form and the features (X, Y) of scores log ω_j − (c/ε_j)E_j."""
    x, y, eps = cloud.x, cloud.y, cloud.eps
    present = present & ~(cloud.g > 1e30 * eps / cloud.c)  # whose weight is 0, and whose exponent may overflow
    b = -cloud.c * jnp.where(present, cloud.g, 0.0) / eps + (0.0 if cloud.log_weights is None else cloud.log_weights)
    kappa = 1 / (4 * eps * cloud.t)
    if not eps.ndim:
        return jnp.where(present, b, ABSENT), kappa, "distance", (x, y)
    # −κ_j|x − y_j|² = −κ_j|x|² + 2κ_j y_j·x − κ_j|y_j|²
    squares = jnp.sum(x * x, axis=1, keepdims=True)
    Y = jnp.concatenate([2 * kappa[:, None] * y, -kappa[:, None]], axis=1)
    b = jnp.where(present, b - kappa * jnp.sum(y * y, axis=1), ABSENT)
    return b, jnp.zeros((), x.dtype), "product", (jnp.concatenate([x, squares], 1), Y)


def _columns(cloud: Cloud, wanted: set[str]) -> dict[str, Array]:
    """The columns `[N, ...]` whose Gibbs averages the outputs are made of."""
    y, eps = cloud.y, cloud.eps
    columns = {}
    if eps.ndim and "gradient" in wanted:
        columns["1/eps"], columns["y/eps"] = 1 / eps[:, None], y / eps[:, None]
    if wanted & {"barycentre", "hessian", "laplacian", "d_t"} or (not eps.ndim and "gradient" in wanted):
        columns["y"] = y
    if "hessian" in wanted:
        rows, cols = np.triu_indices(y.shape[1])
        columns["yy"] = y[:, rows] * y[:, cols]
    if wanted & {"laplacian", "d_t"}:
        columns["|y|²"] = jnp.sum(y * y, axis=1, keepdims=True)
    if "average" in wanted:
        assert cloud.values is not None
        columns["values"] = cloud.values
    if cloud.log_weights is not None and wanted & {"relative_entropy", "d_eps"}:
        columns["log weights"] = cloud.log_weights[:, None]
    return columns


def _symmetric(upper: Float[Array, "m p"], d: int) -> Float[Array, "m d d"]:
    place = np.zeros((d, d), int)
    place[np.triu_indices(d)] = np.arange(upper.shape[1])
    return upper[:, np.maximum(place, place.T)]
