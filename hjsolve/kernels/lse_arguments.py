"""Checks of the arguments of `lse`, before any work starts. They act on concrete numbers; traced ones pass."""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..checks import check_ndim, check_range, concrete, counts, require
from ..results import HJWarning
from ..typing import Array, ArrayLike
from .lse_outputs import INVISCID, LOCAL, OUTPUTS, Cloud, Request
from .lse_plan import make_plan

_LARGEST_ERROR = 0.1
"""Of the exponents, hence relative error of Gibbs weights, beyond which a caller is warned."""


def names_of(outputs: Sequence[str], values: ArrayLike | None) -> tuple[str, ...]:
    """The outputs asked for, each once and known."""
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
    logs = jnp.log(a["weights"]) if "weights" in a else a.get("log_weights")
    return Cloud(a["x"], a["y"], a["g"], a["t"], a["eps"], a["c"], logs, a.get("values"))


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
    n, count = cloud.y.shape[0], counts("k", k)
    require(isinstance(count, int) and 1 <= count <= n, f"`k` must be between 1 and N = {n}; got {k}.")
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
    return Request(names, k if "top_k" in names else 1, plan)


def is_inviscid(cloud: Cloud) -> bool | None:
    """Whether ε = 0; None where it is traced and decides while running."""
    if cloud.eps.ndim:
        return False
    known = concrete(cloud.eps)
    return None if known is None else bool(known == 0)


def warn_of_precision(cloud: Cloud, names: tuple[str, ...]) -> None:
    """Warn where float32 exponents cE/ε carry an error that Gibbs weights show (u itself does not)."""
    smallest = float(jnp.min(cloud.eps))
    if cloud.x.dtype != jnp.float32 or smallest == 0 or names == ("u",):
        return
    x, y, g = (np.asarray(a) for a in (cloud.x, cloud.y, cloud.g))
    centre = y.mean(axis=0)
    reach = np.abs(x - centre).max(axis=0) + np.abs(y - centre).max(axis=0)
    energy = float(np.abs(g).max() + (reach**2).sum() / (4 * cloud.c * cloud.t))
    exponent = energy * float(cloud.c) / smallest
    error = 4 * float(np.finfo(np.float32).eps) * exponent
    if error > _LARGEST_ERROR:
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
        require(not jnp.iscomplexobj(arrays[name]), f"`{name}` must be real; got {arrays[name].dtype}.")
        known = concrete(arrays[name])
        if known is not None and np.isnan(known).any():
            raise ValueError(
                f"`{name}` must not contain NaN; {int(np.isnan(known).sum())} of {known.size} entries are NaN. "
                "Remove or replace them."
            )
    dtype = jnp.result_type(*arrays.values())
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return {name: array.astype(dtype) for name, array in arrays.items()}
