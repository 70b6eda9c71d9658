"""Gibbs averages with their derivatives, to any order, forward and reverse, without storing a block.

Scores are `s_ij = b_j − κ|x_i − y_j|²` (form "distance") or `b_j + x_i·y_j` ("product"), Gibbs weights
`π_ij = exp(s_ij − lse_i)`. Either form is `A_i + B_j + X_i·Y_j` in features of its arguments (2κx·y joins the two
sides), so that every derivative of an average is a *weighted sum* `Σ_j exp(α_i + s_ij) v_j` of other columns v. A
weighted sum is linear in v, its derivatives are weighted sums, and its transpose is the weighted sum with queries and
atoms exchanged. Hence two JAX primitives that are closed under differentiation, transposition and batching; each costs
one sweep over the pairs and recomputes the weights it needs.
"""

from functools import cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Integer

from ..typing import Array, Float, Points, Scalar
from .lse_plan import Plan
from .lse_steps import ABSENT
from .lse_tangents import entropy_tangent, is_zero, outer, score_tangent


def gibbs(
    x: Points,
    y: Points,
    b: Float[Array, "N"],
    kappa: Scalar,
    values: Float[Array, "N k"],
    *,
    plan: Plan,
    form: str = "distance",
    entropy: bool = False,
) -> tuple[Float[Array, "m"], Float[Array, "m k"], Array]:
    """Log Σ_j exp(s_ij), the averages Σ_j π_ij values_j and, where asked, −Σ_j π_ij log π_ij `[m]` (else empty).

    Scores are rounded by an ulp of their size. Where that is not small against 1 the log-sum keeps its digits, and
    averages and derivatives are finite but mean nothing.
    """
    b = jnp.maximum(b, ABSENT)  # −inf, an atom that is not there, would make 0·inf
    lse, average, shannon = _gibbs_p.bind(x, y, b, kappa, values, plan=plan, form=form, entropy=entropy)
    return lse, average, shannon


def weighted_sum(
    x: Points,
    alpha: Float[Array, "m"],
    y: Points,
    beta: Float[Array, "N"],
    kappa: Scalar,
    values: Float[Array, "N k"],
    *,
    plan: Plan,
    form: str,
) -> Float[Array, "m k"]:
    """Σ_j exp(α_i + s_ij) values_j, where α is minus the log-sum-exp of the scores over j (or of the transpose)."""
    return _sum_p.bind(x, alpha, y, beta, kappa, values, plan=plan, form=form)[0]


def box(y: Points) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
    """The lower and upper corner of the atoms' bounding box."""
    y = jax.lax.stop_gradient(y)
    return jnp.min(y, axis=0), jnp.max(y, axis=0)


def centre(y: Points) -> Float[Array, "d"]:
    """The middle of the atoms' bounding box, from which coordinates are measured so that squares do not cancel.

    Not the mean: compiled into two places, a mean may round differently in each, and shift queries against atoms by an
    ulp of their distance from the origin. Extremes are exact in any order.
    """
    low, high = box(y)
    return 0.5 * (low + high)


def heaviest(
    x: Points, y: Points, b: Float[Array, "N"], kappa: Scalar, *, count: int, plan: Plan, form: str
) -> Integer[Array, "m count"]:
    """The atoms with the `count` largest scores of every query, largest first; of equals, the first."""
    arguments = jax.lax.stop_gradient((x, y, b, kappa))
    return _backend(plan).heaviest(*arguments, count=count, plan=plan, form=form)


def _backend(plan: Plan) -> Any:
    return import_module(f".lse_{plan.backend}", __package__)


def _gibbs_sweep(*args: Array, plan: Plan, form: str, entropy: bool) -> list[Array]:
    return list(_backend(plan).online(*args, plan=plan, form=form, entropy=entropy))


def _sum_sweep(*args: Array, plan: Plan, form: str) -> list[Array]:
    return [_backend(plan).weighted_sum(*args, plan=plan, form=form)]


def _gibbs_shapes(x: Any, y: Any, b: Any, kappa: Any, values: Any, *, plan: Plan, form: str, entropy: bool) -> Any:
    m, k = x.shape[0], values.shape[1]
    return [x.update(shape=shape) for shape in ((m,), (m, k), (m if entropy else 0,))]


def _sum_shapes(x: Any, alpha: Any, y: Any, beta: Any, kappa: Any, values: Any, *, plan: Plan, form: str) -> Any:
    return [x.update(shape=(x.shape[0], values.shape[1]))]


def _gibbs_jvp(primals: Any, tangents: Any, *, plan: Plan, form: str, entropy: bool) -> Any:
    """Dlse = Σ_j π ds and d(average) = Σ_j π (ds (v − average) + dv)."""
    x, y, b, kappa, values = primals
    dx, dy, db, dkappa, dvalues = tangents
    ds = score_tangent(form, x, y, kappa, dx, dy, db, dkappa)
    k = values.shape[1] + 1
    columns = jnp.concatenate([jnp.ones((y.shape[0], 1), values.dtype), values], axis=1)
    wanted = values if ds.d_x is None else jnp.concatenate([values, outer(y, columns)], axis=1)
    lse, averages, shannon = gibbs(x, y, b, kappa, wanted, plan=plan, form=form, entropy=entropy)
    average = averages[:, : k - 1]

    change = jnp.zeros((x.shape[0], k), values.dtype)
    if ds.d_x is not None:
        known = jnp.concatenate([jnp.ones_like(lse)[:, None], average], axis=1)
        change = change + ds.of_queries(known, averages[:, k - 1 :])
    own = ds.columns(columns, dvalues if is_zero(dvalues) else jnp.pad(dvalues, ((0, 0), (1, 0))))
    if own is not None:
        change = change + ds.joined(weighted_sum(x, -lse, y, b, kappa, own, plan=plan, form=form), k)
    dlse = change[:, 0]
    dshannon = jnp.zeros_like(shannon)
    if entropy:
        dshannon = entropy_tangent(ds, (x, y, b, kappa), lse, shannon, plan=plan, form=form)
    return [lse, average, shannon], [dlse, change[:, 1:] - average * dlse[:, None], dshannon]


def _sum_jvp(primals: Any, tangents: Any, *, plan: Plan, form: str) -> Any:
    """D Σ_j exp(α + s) v = dα Σ_j exp(α + s) v + Σ_j exp(α + s) (ds v + dv)."""
    x, alpha, y, beta, kappa, values = primals
    dx, dalpha, dy, dbeta, dkappa, dvalues = tangents
    ds = score_tangent(form, x, y, kappa, dx, dy, dbeta, dkappa)
    k = values.shape[1]
    wanted = values if ds.d_x is None else jnp.concatenate([values, outer(y, values)], axis=1)
    sums = weighted_sum(x, alpha, y, beta, kappa, wanted, plan=plan, form=form)
    result = sums[:, :k]
    change = jnp.zeros_like(result)
    if ds.d_x is not None:
        change = change + ds.of_queries(result, sums[:, k:])
    if not is_zero(dalpha):
        change = change + dalpha[:, None] * result
    own = ds.columns(values, dvalues)
    if own is not None:
        change = change + ds.joined(weighted_sum(x, alpha, y, beta, kappa, own, plan=plan, form=form), k)
    return [result], [change]


def _sum_transpose(cotangents: Any, *args: Any, plan: Plan, form: str) -> Any:
    """The weighted sum with queries and atoms exchanged."""
    x, alpha, y, beta, kappa, values = args
    (cotangent,) = cotangents
    if is_zero(cotangent):
        return [None] * 5 + [ad.Zero(values.aval)]
    return [None] * 5 + [weighted_sum(y, beta, x, alpha, kappa, cotangent, plan=plan, form=form)]


def _batched(primitive: Primitive, of_queries: tuple[int, ...]) -> Any:
    """Queries of a batch that shares its atoms join into one call, as do columns; other batches are visited in turn."""

    def rule(args: Any, dims: Any, **params: Any) -> Any:
        mapped = [i for i, dim in enumerate(dims) if dim is not batching.not_mapped]
        size = args[mapped[0]].shape[dims[mapped[0]]]
        args = [a if dim is batching.not_mapped else jnp.moveaxis(a, dim, 0) for a, dim in zip(args, dims, strict=True)]
        if set(mapped) <= set(of_queries):
            for i in of_queries:
                whole = args[i] if i in mapped else jnp.broadcast_to(args[i], (size, *args[i].shape))
                args[i] = whole.reshape(-1, *whole.shape[2:])
            results = primitive.bind(*args, **params)
            # an entropy that was not asked for stays empty
            return [r.reshape(size, r.shape[0] // size, *r.shape[1:]) for r in results], [0] * len(results)

        def one(some: Any) -> Any:
            whole = list(args)
            for i, a in zip(mapped, some, strict=True):
                whole[i] = a
            return primitive.bind(*whole, **params)

        results = jax.lax.map(one, [args[i] for i in mapped])
        return results, [0] * len(results)

    return rule


@cache
def _compiled(sweep: Any, **params: Any) -> Any:
    return jax.jit(lambda *args: sweep(*args, **params))


def _primitive(name: str, sweep: Any, shapes: Any, jvp: Any, of_queries: tuple[int, ...]) -> Primitive:
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(lambda *args, **p: _compiled(sweep, **p)(*args))
    primitive.def_abstract_eval(shapes)
    mlir.register_lowering(primitive, mlir.lower_fun(sweep, multiple_results=True))
    ad.primitive_jvps[primitive] = lambda primals, tangents, **p: jvp(primals, tangents, **p)
    batching.primitive_batchers[primitive] = _batched(primitive, of_queries)
    return primitive


_gibbs_p = _primitive("gibbs", _gibbs_sweep, _gibbs_shapes, _gibbs_jvp, (0,))
_sum_p = _primitive("gibbs_weighted_sum", _sum_sweep, _sum_shapes, _sum_jvp, (0, 1))
ad.primitive_transposes[_sum_p] = _sum_transpose
