"""Checks of the arguments of `lse`, before any work starts. They act on concrete numbers; traced ones pass."""

import warnings
from collections.abc import Sequence, Set
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import check_ndim, check_range, concrete, require, whole_number
from ..results import HJWarning
from ..typing import Array, ArrayLike
from .lse_cloud import LARGEST_EXPONENT, Cloud
from .lse_outputs import INVISCID, LOCAL, OUTPUTS, Request
from .lse_plan import make_plan

_LARGEST_ERROR = 0.1
"""Of the exponents, hence relative error of Gibbs weights, beyond which a caller is warned."""


def names_of(outputs: Sequence[str], values: ArrayLike | None) -> tuple[str, ...]:
    """The outputs asked for, each once and known."""
    if not isinstance(outputs, str | Sequence | Set) or not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"`outputs` must be a name or several of {', '.join(OUTPUTS)}; got {outputs!r}.")
    names = (outputs,) if isinstance(outputs, str) else tuple(dict.fromkeys(outputs))
    unknown = [name for name in names if name not in OUTPUTS]
    require(not unknown, f"`outputs` must be among {', '.join(OUTPUTS)}; got {', '.join(map(repr, unknown))}.")
    require(bool(names), f"`outputs` must name at least one of {', '.join(OUTPUTS)}; got none.")
    require(
        ("average" in names) == (values is not None),
        "`values` and the output 'average' go together: give `values` [N, k] to average them, or leave both out.",
    )
    return names


def cloud_of(
    x: ArrayLike,
    y: ArrayLike,
    g: ArrayLike,
    t: ArrayLike,
    eps: ArrayLike,
    c: ArrayLike,
    weights: ArrayLike | None,
    log_weights: ArrayLike | None,
    values: ArrayLike | None,
) -> Cloud:
    """All arguments as arrays of one floating dtype, with shapes and ranges checked."""
    require(
        weights is None or log_weights is None,
        "Give `weights` or `log_weights`, not both: one is the log of the other.",
    )
    given = {"x": x, "y": y, "g": g, "t": t, "eps": eps, "c": c}
    optional = {"weights": weights, "log_weights": log_weights, "values": values}
    given |= {name: value for name, value in optional.items() if value is not None}
    a = _floating(given)
    check_ndim("x", a["x"], 2, "[m, d]", "One row per query; for one point use x[None], for d = 1 use x[:, None].")
    check_ndim("y", a["y"], 2, "[N, d]", "One row per atom; for d = 1 use y[:, None].")
    (m, d), (n, dimension) = a["x"].shape, a["y"].shape
    require(n > 0, "`y` must hold at least one atom; got an empty array. Give N >= 1 rows.")
    require(m > 0, "`x` must hold at least one query; got an empty array. Give m >= 1 rows.")
    require(d > 0, "`x` must have d >= 1 columns; got 0.")
    require(d == dimension, f"`x` and `y` must have the same number of columns d; got {d} and {dimension}.")
    for name in ("g", "weights", "log_weights"):
        if name in a:
            require(a[name].shape == (n,), f"`{name}` must have shape [N] = ({n},); got {a[name].shape}.")
    _check_atoms(a)
    for name in ("t", "c"):
        require(
            a[name].shape == (), f"`{name}` must be one number; got shape {a[name].shape}. Use jax.vmap for several."
        )
        check_range(
            name, a[name], above=0.0, remedy={"t": "At t = 0 u is singular at the atoms.", "c": "H = c|p|²."}[name]
        )
    require(
        a["eps"].shape in ((), (n,)),
        f"`eps` must be one number or have shape [N] = ({n},); got shape {a['eps'].shape}. Use jax.vmap for several.",
    )
    if a["eps"].ndim:
        check_range(
            "eps", a["eps"], above=0.0, remedy="An ε for every atom has no limit 0; give one number for Hopf-Lax."
        )
    check_range("eps", a["eps"], least=0.0, remedy="Use 0 for Hopf-Lax, the inviscid limit.")
    if "weights" in a:
        check_range("weights", a["weights"], above=0.0, remedy="Leave out atoms of weight zero.")
    if "values" in a:
        check_ndim("values", a["values"], 2, "[N, k]", "For one value per atom use values[:, None].")
        require(a["values"].shape[0] == n, f"`values` must have N = {n} rows; got {a['values'].shape[0]}.")
        check_range("values", a["values"], remedy="Leave out atoms with infinite values.")
    logs = jnp.log(a["weights"]) if "weights" in a else a.get("log_weights")
    return Cloud(a["x"], a["y"], a["g"], a["t"], a["eps"], a["c"], logs, a.get("values"))


def _check_atoms(a: dict[str, Array]) -> None:
    """Finite places, and at least one atom with a finite g and a positive weight."""
    check_range("x", a["x"], remedy="Leave out queries at infinity.")
    check_range("y", a["y"], remedy="Leave out atoms at infinity; g = inf keeps an atom's place without the atom.")
    n, there = a["y"].shape[0], True
    for name, sign, kind in (("g", 1, "finite or inf"), ("log_weights", -1, "finite or -inf")):
        known = concrete(a[name]) if name in a else None
        if known is None:
            continue
        wrong = int(np.sum(known == -sign * np.inf))
        require(wrong == 0, f"`{name}` must be {kind}; got {-sign * np.inf} in {wrong} of {n} entries. Leave them out.")
        there = there & (known != sign * np.inf)
        require(
            np.any(there),
            f"`{name}` must leave at least one atom with a finite g and a positive weight; "
            f"none of {n} is left. g = inf or log_weights = -inf marks an atom that is not there.",
        )


def request_of(
    names: tuple[str, ...],
    cloud: Cloud,
    k: int,
    backend: str,
    queries_per_block: int | None,
    atoms_per_block: int | None,
    interpret: bool,
    truncation: float | None,
) -> Request:
    """What is asked for, refused where it has no meaning."""
    n, remedy = cloud.y.shape[0], "It is how many atoms 'top_k' names."
    count = whole_number("k", k, least=1, remedy=remedy)
    require(count <= n, f"`k` must be at most N = {n}; got {k}. {remedy}")
    if cloud.eps.ndim:
        lost = [name for name in names if name not in LOCAL]
        remedy = f"With one ε per atom ask for {', '.join(LOCAL)}."
        require(not lost, f"`outputs` {', '.join(lost)} have no meaning for `eps` of shape {cloud.eps.shape}. {remedy}")
    elif is_inviscid(cloud):
        lost = [name for name in names if name not in INVISCID]
        remedy = f"Ask for {', '.join(INVISCID)}, or give a positive `eps`."
        require(not lost, f"`outputs` {', '.join(lost)} have no meaning at `eps` = 0. {remedy}")
    arrays = cloud.x, cloud.y
    plan = make_plan(backend, arrays, queries_per_block, atoms_per_block, interpret=interpret, truncation=truncation)
    return Request(names, count if "top_k" in names else 1, plan)


def is_inviscid(cloud: Cloud) -> bool | None:
    """Whether ε = 0; None where it is traced and decides while running."""
    if cloud.eps.ndim:
        return False
    known = concrete(cloud.eps)
    return None if known is None else bool(known == 0)


def largest_exponent(cloud: Cloud) -> float:
    """A bound on the exponents cE/ε of all queries and atoms, with g measured from its minimum; inf where unknown."""
    cloud = jax.lax.stop_gradient(cloud)  # inside an eager gradient this is concrete
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(cloud)):
        return np.inf
    smallest = float(jnp.min(cloud.eps))
    if smallest == 0:
        return np.inf
    x, y, g = (np.asarray(a) for a in (cloud.x, cloud.y, cloud.g))
    centre = y.mean(axis=0)
    reach = np.abs(x - centre).max(axis=0) + np.abs(y - centre).max(axis=0)
    c = float(cloud.c)
    return float(c * np.ptp(g[g < np.inf]) + (reach**2).sum() / (4 * float(cloud.t))) / smallest


def is_resolved(exponent: float, cloud: Cloud) -> bool:
    """Whether exponents, which `exponent` bounds, are known to be so small that rounding hides no Gibbs weight."""
    if exponent == np.inf:
        return False
    if cloud.log_weights is not None:
        logs = np.abs(np.asarray(jax.lax.stop_gradient(cloud.log_weights)))
        exponent += float(logs[logs < np.inf].max())
    # expanded squares (d > 8) have up to twice the size of their sum
    return 3 * exponent < LARGEST_EXPONENT / float(np.finfo(cloud.x.dtype).eps)


def warn_of_precision(exponent: float, cloud: Cloud, names: tuple[str, ...]) -> None:
    """Warn where float32 exponents cE/ε carry an error that Gibbs weights show (u itself does not)."""
    error = 4 * float(np.finfo(np.float32).eps) * exponent
    known = exponent < np.inf and cloud.x.dtype == jnp.float32
    if not known or names == ("u",) or error <= _LARGEST_ERROR:
        return
    affected = ", ".join(name for name in names if name != "u")
    warnings.warn(
        f"float32 rounds the exponents cE/ε, which reach {exponent:.1e}: {affected} carry an error of up to "
        f"{error:.1g} of every Gibbs weight (u does not). Use float64, or a larger `eps`.",
        HJWarning,
        stacklevel=3,
    )


def _floating(given: dict[str, Any]) -> dict[str, Array]:
    """Arrays of the common floating dtype; NumPy's float64 follows JAX's precision."""
    arrays = {}
    for name, value in given.items():
        try:
            arrays[name] = value if isinstance(value, jax.Array) else jnp.asarray(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"`{name}` must be a number or an array of numbers; got {value!r}.") from error
        kind = arrays[name].dtype
        require(not jnp.iscomplexobj(arrays[name]), f"`{name}` must be real; got {kind}.")
        if jnp.issubdtype(kind, jnp.bool_):
            raise TypeError(f"`{name}` must hold numbers; got {value!r}. Write 1 for True and 0 for False.")
        known = concrete(arrays[name])
        if known is not None and np.isnan(known).any():
            raise ValueError(
                f"`{name}` must not contain NaN; {int(np.isnan(known).sum())} of {known.size} entries are NaN. "
                "Remove or replace them."
            )
    dtype = jnp.result_type(*arrays.values())
    # half precision is summed in single: its exponents overflow, and an ulp of them is a weight
    dtype = jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
    return {name: array.astype(dtype) for name, array in arrays.items()}
