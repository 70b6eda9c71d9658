"""Solutions of `u_t + H(u_x) = 0` along characteristics, in one periodic dimension."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, concrete, require
from ...typing import Array, ArrayLike, Point, Scalar, Values
from .. import hamiltonians
from ..base import Problem
from ..domains import AbstractDomain, Torus
from ..initials import AbstractInitial, Cosine
from .base import AbstractExact, as_number, as_place

_SAMPLES = 2048
"""Per period, to find extreme speeds and the breaking time."""
_CELLS = 512
_BRANCHES = 4


class Characteristics(AbstractExact):
    """x = y + tH'(p), u = g(y) + t(pH'(p) − H(p)), p = g'(y): `u_t + H(u_x) = 0`, g periodic, d = 1.

    `hamiltonian` is an elementwise function H(p); `initial` a one-dimensional g of period `upper − lower`, both smooth.
    Until `breaking_time` one characteristic reaches each x. From there on, for `convex=True`, u is the minimum over
    those that do (as long as they start within a few periods of x); for a non-convex H the minimum is not the viscosity
    solution, so a known t beyond raises `ValueError` and a traced one gives NaN. Inviscid.
    Accurate to 1e-14 in float64 on the two standard cases, `osher_shu_convex` and `osher_shu_nonconvex`.
    Source: Evans, *PDE*, 3.2 and 3.3.
    """

    hamiltonian: Callable[[Scalar], Scalar]
    initial: AbstractInitial
    lower: Array
    upper: Array
    convex: bool = eqx.field(static=True)
    breaking_time: Array
    """The first time at which characteristics meet; infinite where they only spread."""

    def __init__(
        self,
        hamiltonian: Callable[[Scalar], Scalar],
        initial: AbstractInitial,
        lower: ArrayLike = -1.0,
        upper: ArrayLike = 1.0,
        *,
        convex: bool = False,
    ):
        if not callable(hamiltonian):
            raise TypeError(f"`hamiltonian` must be a function H(p) of one number; got {hamiltonian!r}.")
        if not isinstance(initial, AbstractInitial):
            raise TypeError(f"`initial` must be initial data such as hj.initials.Cosine(); got {initial!r}.")
        self.hamiltonian, self.initial, self.convex = hamiltonian, initial, convex
        self.lower = as_number("lower", lower, remedy="Give where a period begins.")
        self.upper = as_number("upper", upper, remedy="Give where the period ends.")
        check_range("upper - lower", self.upper - self.lower, above=0.0, remedy="They span one period of `initial`.")
        ends = concrete(jax.vmap(self._g)(jnp.stack([jnp.asarray(self.lower), jnp.asarray(self.upper)])))
        # 1e-4: the data may be evaluated in float32.
        require(
            ends is None or abs(ends[1] - ends[0]) <= 1e-4 * (1 + abs(ends[0])),
            f"`initial` must have period upper − lower; at the ends it is {None if ends is None else ends.tolist()}.",
        )
        if convex:
            self._check_convex()
        self.breaking_time = _breaking_time(hamiltonian, initial, self.lower, self.upper)

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x). Raises `ValueError` for a known t beyond the breaking time of a non-convex H."""
        now, breaking = concrete(t), concrete(self.breaking_time)
        t, x = as_place(t, x, 1)
        if not self.convex and now is not None and breaking is not None:
            require(
                now < breaking,
                f"`t` must be < the breaking time {breaking:.6g} of a non-convex Hamiltonian; got {now:.6g}. Use a "
                "converged monotone scheme as the reference beyond it (or convex=True if H is convex).",
            )
        branches = jax.vmap(lambda y: self._branch(t, self._polish(t, x[0], y)))(self._starts(t, x[0]))
        value = jnp.min(branches)
        return value if self.convex else jnp.where(t < self.breaking_time, value, jnp.nan)

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain the torus [lower, upper), default horizon half the breaking time (at most 1)."""
        domain = Torus(self.lower[None], self.upper[None]) if domain is None else domain
        horizon = jnp.minimum(self.breaking_time / 2, 1.0) if horizon is None else horizon
        return Problem(hamiltonians.Separable((self.hamiltonian,)), 0.0, self.initial, domain, horizon)

    def _g(self, y: Scalar) -> Scalar:
        return self.initial(y[None])

    def _speed(self, y: Scalar) -> Scalar:
        """H'(g'(y))."""
        return _speed(self.hamiltonian, self.initial, y)

    def _branch(self, t: Scalar, y: Scalar) -> Scalar:
        """U at time t on the characteristic that starts at y; an error δ in its end costs pδ only."""
        p = jax.grad(self._g)(y)
        value: Scalar = self._g(y) + t * (p * jax.grad(self.hamiltonian)(p) - self.hamiltonian(p))
        return value

    def _polish(self, t: Scalar, x: Scalar, y: Scalar) -> Scalar:
        """The start near y, a constant, of a characteristic through (t, x), with derivatives in t, x and parameters.

        A Newton step from the root gives first derivatives, a second one the second and third.
        """
        smallest = float(np.sqrt(np.finfo(x.dtype).eps))
        for _ in range(2):
            slope = 1 + t * jax.grad(self._speed)(y)
            excess = y + t * self._speed(y) - x
            sound = jnp.abs(slope) > smallest
            y = y - jnp.where(sound, excess / jnp.where(sound, slope, 1.0), 0.0)
        return y

    def _starts(self, t: Scalar, x: Scalar) -> Values:
        """The starting points of the characteristics that reach (t, x), the lowest branches first; constants.

        Only upward crossings of y + tH'(g'(y)) − x count: the downward ones are maxima of the Hopf-Lax functional.
        """
        arrays, rest = eqx.partition((t, x, self), eqx.is_array)
        t, x, solution = eqx.combine(jax.lax.stop_gradient(arrays), rest)
        highest = _maximum(solution._speed, solution.lower, solution.upper)
        lowest = -_maximum(lambda y: -solution._speed(y), solution.lower, solution.upper)
        margin = (solution.upper - solution.lower) / _CELLS
        first, last = x - t * highest - margin, x - t * lowest + margin
        y = first + (last - first) * np.linspace(0.0, 1.0, _CELLS + 1).astype(x.dtype)
        excess = y + t * jax.vmap(solution._speed)(y) - x
        upward = (excess[:-1] <= 0) & (excess[1:] > 0)
        fraction = excess[:-1] / jnp.where(upward, excess[:-1] - excess[1:], 1.0)
        guess = y[:-1] + fraction * (y[1:] - y[:-1])
        values = jax.vmap(lambda start: solution._branch(t, start))(jnp.where(upward, guess, y[:-1]))
        cells = jax.lax.top_k(jnp.where(upward, -values, -jnp.inf), _BRANCHES)[1]
        # Cells without a crossing repeat the best one.
        cells = jnp.where(upward[cells], cells, cells[0])
        starts: Values = jax.vmap(lambda a, b: solution._bisect(t, x, a, b))(y[cells], y[cells + 1])
        return starts

    def _bisect(self, t: Scalar, x: Scalar, a: Scalar, b: Scalar) -> Scalar:
        def halve(_: int, ends: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
            middle = (ends[0] + ends[1]) / 2
            below = middle + t * self._speed(middle) - x <= 0
            return jnp.where(below, middle, ends[0]), jnp.where(below, ends[1], middle)

        # 1/512 of a period halved 46 times is an ulp of the period in float64.
        a, b = jax.lax.fori_loop(0, 46, halve, (a, b))
        return (a + b) / 2

    def _check_convex(self) -> None:
        places = jnp.asarray(self.lower) + (self.upper - self.lower) * np.linspace(0.0, 1.0, _SAMPLES)
        p = jax.vmap(jax.grad(self._g))(places)
        p = jnp.min(p) + (jnp.max(p) - jnp.min(p)) * np.linspace(0.0, 1.0, _SAMPLES)
        bend = concrete(jax.vmap(jax.grad(jax.grad(self.hamiltonian)))(p))
        require(
            bend is None or bend.min() >= -1e-4 * np.abs(bend).max(),
            "`convex` must be False: H'' is negative on part of the range of g'. After breaking the viscosity solution "
            "of a non-convex H is not the lowest branch.",
        )


def osher_shu_convex() -> Characteristics:
    """H = ½(p + 1)², g = −cos πx on [−1, 1]; breaks at t = 1/π². Osher & Shu 1991, doi:10.1137/0728049."""
    return Characteristics(_shifted_square, Cosine(-1.0, np.pi), convex=True)


def osher_shu_nonconvex() -> Characteristics:
    """H = −cos(p + 1), g = −cos πx on [−1, 1]; breaks just after t = 1/π². Osher & Shu 1991, doi:10.1137/0728049."""
    return Characteristics(_shifted_cosine, Cosine(-1.0, np.pi))


def _shifted_square(p: Scalar) -> Scalar:
    return 0.5 * (p + 1) ** 2


def _shifted_cosine(p: Scalar) -> Scalar:
    return -jnp.cos(p + 1)


def _speed(hamiltonian: Callable[[Scalar], Scalar], initial: AbstractInitial, y: Scalar) -> Scalar:
    speed: Scalar = jax.grad(hamiltonian)(jax.grad(lambda y: initial(y[None]))(y))
    return speed


@eqx.filter_jit
def _breaking_time(
    hamiltonian: Callable[[Scalar], Scalar], initial: AbstractInitial, lower: Array, upper: Array
) -> Scalar:
    fastest = _maximum(lambda y: -jax.grad(_speed, argnums=2)(hamiltonian, initial, y), lower, upper)
    meet = fastest > 0
    return jnp.where(meet, 1 / jnp.where(meet, fastest, 1.0), jnp.inf)


def _maximum(function: Callable[[Scalar], Scalar], lower: Array, upper: Array) -> Scalar:
    """The maximum of a smooth periodic function: samples of the period, then of ever smaller surroundings."""
    width = (jnp.asarray(upper) - lower) / 2
    centre = jnp.asarray(lower) + width
    for samples in (_SAMPLES, 65, 65):
        places = centre + width * jnp.linspace(-1.0, 1.0, samples, dtype=centre.dtype)
        values = jax.vmap(function)(places)
        best = jnp.argmax(values)
        centre, width = places[best], width * 2 / (samples - 1)
    return values[best]
