"""Log-sum-exp over atoms: Hopf-Cole, Hopf-Lax, attention's normaliser, the Gibbs measure and its moments.

`lse` is the public call. `log_sum_exp`, `gibbs_average` and `lowest_energy` are its parts in bare arrays, for code that
has scores `b_j − κ|x_i − y_j|²` at hand.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from ..typing import Array, ArrayLike, Float, Points, Scalar
from .gibbs import centre, gibbs, heaviest
from .lse_arguments import cloud_of, is_inviscid, is_resolved, largest_exponent, names_of, request_of, warn_of_precision
from .lse_cloud import Cloud, Prepared, hides_weights, prepare
from .lse_outputs import LogSumExp, Request, of_one_atom, viscous
from .lse_plan import Plan, make_plan
from .vectors import wide_vectors


def lse(
    x: ArrayLike,
    y: ArrayLike,
    g: ArrayLike,
    *,
    t: ArrayLike,
    eps: ArrayLike,
    c: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
    log_weights: ArrayLike | None = None,
    values: ArrayLike | None = None,
    k: int = 1,
    outputs: Sequence[str] = ("u", "gradient"),
    truncation: float | None = None,
    backend: str = "auto",
    queries_per_block: int | None = None,
    atoms_per_block: int | None = None,
    interpret: bool = False,
) -> LogSumExp:
    """u_N = −(ε/c) log Σ_j ω_j exp(−(c/ε)E_j), E_j = g_j + |x − y_j|²/(4ct), and what derives from it, in one sweep.

    Queries `x` `[m, d]`, atoms `y` `[N, d]` with `g` `[N]` and weights ω `[N]` > 0 (default 1), given as `weights` or
    `log_weights`; `t` > 0, `eps` >= 0, `c` > 0. `outputs` names fields of `LogSumExp`: u, gradient, barycentre, average
    (of `values` `[N, k]`), entropy, relative_entropy, hessian, laplacian, d_eps, d_t, top_k (the `k` heaviest atoms).
    u_N carries no normalisation (`propagator.normaliser` adds it).

    An atom with g = inf or log weight −inf is not there. Traced arguments are not checked: an infinite query gives NaN
    in its row, and NaN, g = −inf or no atom at all gives NaN everywhere. Half precision is computed in float32.

    ε = 0 is Hopf-Lax over the atoms, min_j E_j: u, gradient, barycentre, average and top_k are then those of the first
    minimising atom; the others are refused (NaN where ε is traced). `eps` of shape `[N]` gives every atom its own ε_j:
    scores are log ω_j − (c/ε_j)E_j and u = −(ε₀/c) log Σ exp(scores) with ε₀ the mean of `eps`; hessian, laplacian,
    d_eps and d_t are refused.

    Differentiable in every array argument, forward and reverse, to any order; a derivative is a sweep or two more and
    stores no block. Cost O(mN), memory O(m + N).

    Accuracy: up to 8 dimensions distances are sums of squared differences, beyond that products of centred coordinates,
    so that in either precision u is within a few ulp of |u| + max|E|, whatever ε. That error over ε
    is the relative error of weights: gradients, averages and entropies carry it; hessian, laplacian and d_t also carry
    that of |y|²/(4ct²ε). On concrete float32 arguments an `HJWarning` says when weights are off by more than 0.1;
    float64 is the remedy.

    `truncation` in (0, 1) leaves out atoms far from the minimiser whose weights are at most that share of the sum, for
    every query: the cost then grows with N and with the atoms inside the kernel's width √(2εt), not with N·m. u is
    high by at most −(ε/c) log(1 − truncation); averages, barycentre and 2ct times the gradient are off by at most
    truncation/(1 − truncation) times the largest |value − average|, entropies by about
    truncation·log(N/truncation), and are no longer accurate relative to themselves. Derivatives are truncated alike,
    those in atoms to truncation times the largest cotangent; the slopes of entropies and top_k's weights are not. At
    ε = 0, and for top_k, the answer is exact and found as fast. It is a plain number, fixed at compile time; a wide
    kernel gains nothing and costs up to a third more. Small problems, one ε per atom and d > 8 are summed in full,
    as is everything on devices other than CPUs unless `backend` = "cells" is given.

    `backend` is "blocked" (XLA, any device), "cells" (needs `truncation`, which chooses it on CPU), "pallas" (GPU, TPU;
    on CPU with `interpret=True`), "reference" (the whole m x N table) or "auto", by device. Block sizes follow from
    shapes and device unless given. On concrete arrays and a CPU with AVX-512 it is compiled for 512-bit vectors, 1.3
    times faster than in a caller's jit or in derivatives, where XLA takes no such option.

    Raises `ValueError` for arguments out of range, of wrong shape, with NaN, or with no meaning together.
    Source: arXiv 2605.28983; online maximum: arXiv 1805.02867.
    """
    names = names_of(outputs, values)
    cloud = cloud_of(x, y, g, t, eps, c, weights, log_weights, values)
    request = request_of(names, cloud, k, backend, queries_per_block, atoms_per_block, interpret, truncation)
    exponent = largest_exponent(cloud)
    request = request._replace(resolved=is_resolved(exponent, cloud))
    warn_of_precision(exponent, cloud, names)
    options = _options(request.plan, cloud)
    result: LogSumExp = _program(evaluate, options, request=request, at_zero=is_inviscid(cloud))(cloud)
    return result


def log_sum_exp(x: Points, y: Points, b: Float[Array, "N"], kappa: Scalar) -> Float[Array, "m"]:
    """`log Σ_j exp(b_j − κ|x_i − y_j|²)` for queries x `[m, d]`, atoms y `[N, d]`, biases b `[N]` and κ >= 0."""
    return gibbs_average(x, y, b, kappa, jnp.zeros((y.shape[0], 0), y.dtype))[0]


def gibbs_average(
    x: Points,
    y: Points,
    b: Float[Array, "N"],
    kappa: Scalar,
    values: Float[Array, "N k"],
    *,
    truncation: float | None = None,
) -> tuple[Float[Array, "m"], Float[Array, "m k"]]:
    """`log_sum_exp` and the averages `Σ_j π_ij values_j` under the Gibbs weights π_i = softmax_j(s_ij), in one pass.

    `truncation` is that of `lse`.
    """
    arrays = alike(x, y, b, kappa, values)
    plan = make_plan("auto", arrays[:2], truncation=truncation)
    log_sum, average = _program(_gibbs_average, _options(plan, arrays), plan=plan)(arrays)
    return log_sum, average


def _gibbs_average(arrays: tuple[Array, ...], plan: Plan) -> tuple[Array, Array]:
    x, y, b, kappa, values = arrays
    middle = centre(y)
    log_sum, average, _ = gibbs(x - middle, y - middle, b, kappa, values, plan=plan)
    return log_sum, average


def lowest_energy(
    x: Points, y: Points, g: Float[Array, "N"], scale: Scalar, *, truncation: float | None = None
) -> tuple[Float[Array, "m"], Float[Array, "m d"]]:
    """`min_j g_j + scale|x_i − y_j|²` and its minimising atom: the ε = 0 limit (Hopf-Lax over the atoms).

    The gradients of the minimum are those of the minimising atom's energy (envelope theorem). With any `truncation`
    only atoms near the minimiser are looked at; the minimum is exact.
    """
    x, y, g, scale = alike(x, y, g, scale)
    middle = centre(y)
    plan = make_plan("auto", (x, y), truncation=truncation)
    index = heaviest(x - middle, y - middle, -g, scale, count=1, plan=plan, form="distance")[:, 0]
    return g[index] + scale * jnp.sum((x - y[index]) ** 2, axis=1), y[index]


def evaluate(cloud: Cloud, request: Request, at_zero: bool | None) -> LogSumExp:
    """What `request` asks of arguments that were checked; `at_zero` says whether ε = 0, None leaves that to its value.

    Queries whose weights rounding hides get the limit, that of one atom.
    """
    prepared = prepare(cloud)
    if at_zero:
        return of_one_atom(prepared, request)
    if request.resolved or cloud.eps.ndim:
        return viscous(prepared, request)
    more = request._replace(outputs=tuple(dict.fromkeys(("u", *request.outputs))))
    found = viscous(prepared, more) if at_zero is False else _where_positive(prepared, more)
    return _with_limits(prepared, found, request)


@partial(jax.jit, static_argnames="request")
def _with_limits(prepared: Prepared, found: LogSumExp, request: Request) -> LogSumExp:
    """`found`, u among it, with the outputs of one atom in its place where rounding hides the weights."""
    assert found.u is not None
    hidden = hides_weights(*jax.lax.stop_gradient((prepared, found.u)))
    found = replace(found, u=found.u if "u" in request.outputs else None)

    def joined(found: LogSumExp) -> LogSumExp:
        return jax.tree.map(partial(_choose, hidden), of_one_atom(prepared, request), found)

    result: LogSumExp = jax.lax.cond(_anywhere(hidden), joined, lambda found: found, found)
    return result


def _where_positive(prepared: Prepared, request: Request) -> LogSumExp:
    """`viscous` where ε > 0, else zeros."""
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(lambda: viscous(prepared, request)))
    result: LogSumExp = jax.lax.cond(prepared.cloud.eps > 0, lambda: viscous(prepared, request), lambda: zeros)
    return result


def _choose(mask: Array, one: Array, other: Array) -> Array:
    """`one` in the rows of the mask, `other` elsewhere."""
    return jnp.where(mask.reshape(mask.shape + (1,) * (one.ndim - 1)), one, other)


@jax.custom_batching.custom_vmap
def _anywhere(mask: Array) -> Array:
    """Whether the mask holds anywhere in a whole batch: vmap would make a cond a select, which does both branches."""
    return jnp.any(mask)


@_anywhere.def_vmap
def _(size: int, batched: list[bool], mask: Array) -> tuple[Array, bool]:
    return _anywhere(mask.reshape(-1)), False


def _options(plan: Plan, arrays: Any) -> tuple[tuple[str, str], ...]:
    """Options of the compiler: none in a part of another program, nor in derivatives, where JAX refuses them."""
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays))
    return () if traced or plan.platform != "cpu" else wide_vectors()


@cache
def _program(function: Any, options: tuple[tuple[str, str], ...], **fixed: Any) -> Any:
    """`arrays ↦ function(arrays, **fixed)`, compiled once for each `fixed`."""
    return jax.jit(lambda arrays: function(arrays, **fixed), compiler_options=dict(options) or None)


def alike(*arrays: Any) -> tuple[Array, ...]:
    """`arrays` in their common floating dtype."""
    dtype = jnp.result_type(*arrays)
    dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    return tuple(jnp.asarray(a, dtype) for a in arrays)
