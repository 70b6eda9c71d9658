"""What a function reads of its arguments, found by tracing it on shapes.

Does it read components that are not there? JAX clamps `p[2]` of a two-component p to `p[1]`, silently. Does it read an
argument at all? A speed that is the same everywhere need not be computed on a whole grid.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.extend.core import Literal

_FOLDED: dict[str, Callable[..., Any]] = {
    "lt": np.less,
    "add": np.add,
    "select_n": lambda which, *cases: cases[int(which)],
}
"""What JAX makes of a constant index that it could not resolve to a plain slice."""


def reads_outside(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether `function`, traced on arrays or shapes, indexes any of them with a constant beyond its end."""
    return _reads_outside(eqx.filter_make_jaxpr(function)(*arguments)[0].jaxpr)


def _reads_outside(jaxpr: Any) -> bool:
    known: dict[Any, Any] = {}
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        values = [v.val if isinstance(v, Literal) else known.get(v) for v in equation.invars]
        if name == "dynamic_slice":
            shape, sizes = equation.invars[0].aval.shape, equation.params["slice_sizes"]
            for start, size, length in zip(values[1:], sizes, shape, strict=True):
                if start is not None and not 0 <= int(start) <= length - size:
                    return True
        elif name in _FOLDED and all(v is not None and np.ndim(v) == 0 for v in values):
            known[equation.outvars[0]] = _FOLDED[name](*values)
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns") and _reads_outside(inner):
                return True
    return False


def depends_on(function: Callable[..., Any], which: int, *arguments: Any) -> bool:
    """Whether the result may depend on the values of the argument number `which`, each argument being one array."""
    jaxpr = jax.make_jaxpr(function)(*arguments).jaxpr
    touched = {jaxpr.invars[which]}
    for equation in jaxpr.eqns:
        if any(not isinstance(v, Literal) and v in touched for v in equation.invars):
            touched.update(equation.outvars)
    return any(not isinstance(v, Literal) and v in touched for v in jaxpr.outvars)
