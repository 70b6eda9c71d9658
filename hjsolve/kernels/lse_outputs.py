"""From Gibbs averages to u_N and what is derived from it, all of them out of one sweep over the atoms."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float, Points, Scalar
from .gibbs import centre, gibbs, heaviest
from .lse_plan import Plan


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


class Cloud(NamedTuple):
    """The arguments of `lse` as arrays of one dtype. `values` `[N, k]` and `log_weights` `[N]` may be None."""

    x: Points
    y: Points
    g: Float[Array, "N"]
    t: Scalar
    eps: Float[Array, "..."]
    c: Scalar
    log_weights: Float[Array, "N"] | None
    values: Float[Array, "N k"] | None


class Request(NamedTuple):
    """What is asked for, fixed at compile time."""

    outputs: tuple[str, ...]
    k: int
    plan: Plan


def viscous(cloud: Cloud, request: Request) -> LogSumExp:
    """All outputs for ε > 0, one number or one per atom."""
    wanted = set(request.outputs)
    middle = centre(cloud.y)  # x − ȳ and |y|² cancel far from the origin
    centred = cloud._replace(x=cloud.x - middle, y=cloud.y - middle)
    b, kappa, form, features = _scores(centred)
    columns = _columns(centred, wanted)
    values = jnp.concatenate([*columns.values(), jnp.zeros((cloud.y.shape[0], 0), cloud.y.dtype)], axis=1)
    entropic = bool(wanted & {"entropy", "relative_entropy", "d_eps"})
    lse, averages, entropy = gibbs(*features, b, kappa, values, plan=request.plan, form=form, entropy=entropic)
    ends = np.cumsum([column.shape[1] for column in columns.values()])[:-1]
    means = dict(zip(columns, jnp.split(averages, ends, axis=1), strict=True)) if columns else {}

    x, t, eps, c = centred.x, cloud.t, cloud.eps, cloud.c
    d = x.shape[1]
    found: dict[str, Any] = {"u": -jnp.mean(eps) / c * lse, "entropy": entropy}
    if eps.ndim and "gradient" in wanted:
        found["gradient"] = jnp.mean(eps) * (x * means["1/eps"] - means["y/eps"]) / (2 * c * t)
    elif "y" in means:
        found["gradient"] = (x - means["y"]) / (2 * c * t)
    if "y" in means:
        found["barycentre"] = means["y"] + middle
    if "values" in means:
        found["average"] = means["values"]
    if entropic:
        relative = entropy + (means["log weights"][:, 0] if "log weights" in means else 0.0)
        found["relative_entropy"], found["d_eps"] = relative, -relative / c
    if "yy" in means:
        covariance = _symmetric(means["yy"], d) - means["y"][:, :, None] * means["y"][:, None, :]
        found["hessian"] = jnp.eye(d, dtype=x.dtype) / (2 * c * t) - covariance / (4 * c * t**2 * eps)
    if "|y|²" in means:
        second, mean = means["|y|²"][:, 0], means["y"]
        found["laplacian"] = d / (2 * c * t) - (second - jnp.sum(mean**2, axis=1)) / (4 * c * t**2 * eps)
        squares = jnp.sum(x * x, axis=1) - 2 * jnp.sum(x * mean, axis=1) + second
        found["d_t"] = -squares / (4 * c * t**2)
    if "top_k" in wanted:
        indices = heaviest(*features, b, kappa, count=request.k, plan=request.plan, form=form)
        X, Y = features
        inner = jnp.einsum("md,mkd->mk", X, Y[indices], precision="highest")
        squares = jnp.sum((X[:, None] - Y[indices]) ** 2, axis=2)
        scores = b[indices] + (inner if form == "product" else -kappa * squares)
        found["top_k"] = TopAtoms(indices, jnp.exp(jnp.minimum(scores - lse[:, None], 0.0)))
    return LogSumExp(**{name: found[name] for name in request.outputs})


def inviscid(cloud: Cloud, request: Request) -> LogSumExp:
    """The outputs for ε = 0, where the first atom of least energy has all the weight; NaN for those with no limit."""
    x, y, g, t, c = cloud.x, cloud.y, cloud.g, cloud.t, cloud.c
    middle = centre(y)
    indices = heaviest(x - middle, y - middle, -g, 1 / (4 * c * t), count=request.k, plan=request.plan, form="distance")
    first = indices[:, 0]
    away = x - y[first]
    weights = jnp.broadcast_to(jnp.asarray(np.eye(1, request.k)[0], x.dtype), indices.shape)
    nothing = jnp.full(x.shape[0], jnp.nan, x.dtype)
    found: dict[str, Any] = {
        "u": g[first] + jnp.sum(away**2, axis=1) / (4 * c * t),
        "gradient": away / (2 * c * t),
        "barycentre": y[first],
        "top_k": TopAtoms(indices, weights),
        "hessian": jnp.full((*x.shape, x.shape[1]), jnp.nan, x.dtype),
    }
    if cloud.values is not None:
        found["average"] = cloud.values[first]
    return LogSumExp(**{name: found.get(name, nothing) for name in request.outputs})


def _scores(cloud: Cloud) -> tuple[Array, Scalar, str, tuple[Points, Points]]:
    """Biases, κ, the form and the features (X, Y) of scores log ω_j − (c/ε_j)E_j."""
    x, y, eps = cloud.x, cloud.y, cloud.eps
    b = -cloud.c * cloud.g / eps + (0.0 if cloud.log_weights is None else cloud.log_weights)
    kappa = 1 / (4 * eps * cloud.t)
    if not eps.ndim:
        return b, kappa, "distance", (x, y)
    # −κ_j|x − y_j|² = −κ_j|x|² + 2κ_j y_j·x − κ_j|y_j|²
    squares = jnp.sum(x * x, axis=1, keepdims=True)
    Y = jnp.concatenate([2 * kappa[:, None] * y, -kappa[:, None]], axis=1)
    return b - kappa * jnp.sum(y * y, axis=1), jnp.zeros((), x.dtype), "product", (jnp.concatenate([x, squares], 1), Y)


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
