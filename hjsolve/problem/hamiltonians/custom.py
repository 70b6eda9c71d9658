"""Any Hamiltonian from a function of (t, x, p)."""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...results import HJWarning
from ...typing import Scalar, Values, Vectors
from ..probe import depends_on
from .base import AbstractHamiltonian, as_column, differentiated_velocity, sampled_speed_bound
from .intervals import largest_magnitude_over, lattice

_PROBE = (3, 5)
_USEFUL = 100.0
"""Times the largest speed found: a bound beyond it comes from an interval about the zero of a divisor."""
_NO_BOUND = (
    "Custom: the largest |∂H/∂p| over a range of slopes is estimated from samples, as `function` has an operation "
    "without interval arithmetic (a loop, a solver). A monotone scheme needs a bound: give `bound(t, x, p_lo, p_hi)`."
)


class Custom(AbstractHamiltonian):
    """H = `function(t, x, p)` with x and p `[d, ...]` and the result `[...]`.

    The function is probed at construction on shapes `[d, 3, 5]` and refused unless it returns `(3, 5)`, for some d up
    to 4 or for the `dimension` given.
    `bound(t, x, p_lo, p_hi) -> [d, ...]` bounds |∂H/∂p_i| over a box of slopes. Without it interval arithmetic on ∂H/∂p
    does; it may be larger than need be, which costs dissipation and shorter steps. Where it is infinite or useless (a
    division by what may vanish) or the function has an operation that it does not know (with a warning), 1.1 times the
    largest speed at the corners of the box and of parts of it (or its centres) is taken, an estimate.
    """

    function: Callable[[Scalar, Vectors, Vectors], Values]
    bound: Callable[[Scalar, Vectors, Vectors, Vectors], Vectors] | None = None
    dimension: int | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"`function` must be callable as function(t, x, p); got {self.function!r}.")
        shapes: dict[int, Any] = {}
        for d in (1, 2, 3, 4) if self.dimension is None else (self.dimension,):
            try:
                shapes[d] = probed_shape(self.function, d)
            except Exception as error:
                shapes[d] = error
        if not any(shape == _PROBE for shape in shapes.values()):
            raise ValueError(_refusal(next(iter(shapes.values()))))

    @staticmethod
    def pointwise(function: Callable[[Scalar, Vectors, Vectors], Scalar], *, dimension: int | None = None) -> "Custom":
        """H from a function of single points, `(t, x [d], p [d]) -> []`, vmapped over the places of a grid."""
        return Custom(_Pointwise(function), dimension=dimension)

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """function(t, x, p)."""
        return jnp.asarray(self.function(t, x, p))

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """∂H/∂p by autodiff."""
        return differentiated_velocity(self, t, x, p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """The given bound, else that of interval arithmetic, else 1.1 times the largest sampled speed."""
        if self.bound is not None:
            return self.bound(t, x, p_lo, p_hi)
        return _bound(self, t, x, p_lo, p_hi)


@eqx.filter_jit  # traced once for all the places in a scheme that ask
def _bound(hamiltonian: Custom, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
    def speeds(p: Vectors) -> Vectors:
        return hamiltonian.velocity(t, jnp.broadcast_to(as_column(x, p) if x.ndim == 1 else x, p.shape), p)

    found = largest_magnitude_over(speeds, p_lo, p_hi)
    if found is None:
        warnings.warn(_NO_BOUND, HJWarning, stacklevel=2)
        return sampled_speed_bound(hamiltonian, t, x, p_lo, p_hi)
    bound, finite = found
    if finite:
        return bound
    if p_lo.ndim > 1 and depends_on(lambda x: hamiltonian.velocity(t, x, p_lo), 0, x):
        return _where_useful(bound, sampled_speed_bound(hamiltonian, t, x, p_lo, p_hi))
    # one box about all the others can be cut finely, and no part of it can be faster than it
    rest = tuple(range(1, p_lo.ndim))
    low, high = jnp.min(p_lo, axis=rest), jnp.max(p_hi, axis=rest)
    x = x.reshape(len(x), -1)[:, 0]
    whole = largest_magnitude_over(speeds, low, high)
    assert whole is not None
    sampled = jnp.max(jnp.abs(speeds(lattice(low, high))), axis=1)
    return jnp.fmin(bound, as_column(_where_useful(whole[0], sampled), bound))


def _where_useful(bound: Vectors, sampled: Vectors) -> Vectors:
    """The bound, but where an interval about the zero of a divisor made it huge: there the speeds found, times 1.1.

    A component that no sample saw move is compared with the fastest one.
    """
    fastest = jnp.max(sampled)
    seen = jnp.where(sampled > 0, sampled, jnp.where(fastest > 0, fastest, jnp.finfo(sampled.dtype).max / _USEFUL))
    return jnp.where(bound <= _USEFUL * seen, bound, 1.1 * sampled)


class _Pointwise(eqx.Module):
    function: Callable[[Scalar, Vectors, Vectors], Scalar]

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        d, places = p.shape[0], p.shape[1:]
        x = jnp.broadcast_to(x, p.shape)
        values = jax.vmap(self.function, in_axes=(None, 1, 1))(t, x.reshape(d, -1), p.reshape(d, -1))
        if values.ndim != 1:
            raise ValueError(
                f"`function` must return a number for single points x [{d}], p [{d}]; got shape {values.shape[1:]}."
            )
        return values.reshape(places)


def probed_shape(function: Callable[..., Values], d: int) -> tuple[int, ...]:
    """The shape that `function(t, x, p)` returns on x, p of shape [d, 3, 5]; nothing is computed."""
    x = jax.ShapeDtypeStruct((d, *_PROBE), jnp.result_type(float))
    t = jax.ShapeDtypeStruct((), x.dtype)
    return tuple(eqx.filter_eval_shape(lambda t, x: jnp.asarray(function(t, x, x)), t, x).shape)


def _refusal(found: Any) -> str:
    what = f"raised {type(found).__name__}: {found}" if isinstance(found, Exception) else f"returned shape {found}"
    return (
        f"`function` must map x and p of shape [d, 3, 5] to shape {_PROBE}; it {what}. Sum over the components with "
        "axis=0 (p[0], p[1], ... are whole arrays), or use Custom.pointwise(function) for a function of "
        "single points. If it is written for one d above 4, give `dimension`."
    )
