"""Coordinate maps: where the nodes of an axis are, closer together where the solution needs it."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, concrete, number, require
from ...typing import Array, ArrayLike, Values

_PROBES = np.linspace(0.0, 1.0, 101)


class AbstractStretching(eqx.Module):
    """An increasing map x = X(ξ) of [0, 1] onto itself, as smooth as the scheme's order: n cells end at X(k/n).

    u_x = u_ξ/X' with X' by autodiff, so that differences on the uniform grid in ξ keep their order; but at Neumann
    faces, where u is mirrored in ξ, it is 2 unless X'' = 0 there.
    """

    periodic: eqx.AbstractClassVar[bool]
    """Whether X(ξ) − ξ has period 1, as a periodic axis needs."""

    @abc.abstractmethod
    def __call__(self, xi: Values) -> Values:
        """X(ξ), elementwise."""

    @abc.abstractmethod
    def inverse(self, x: Values) -> Values:
        """ξ with X(ξ) = x, elementwise."""


class Clustered(AbstractStretching):
    """x = c(1 + sinh(β(ξ − a))/sinh(βa)): nodes drawn to `centre` c in (0, 1); `strength` β > 0.

    a = log[(1 + (e^β − 1)c)/(1 + (e^{−β} − 1)c)]/(2β) makes X(1) = 1. For c = 1/2 the spacing at the centre is
    (β/2)/sinh(β/2) of the uniform one: .85 for β = 2, .30 for 6.
    Source: Vinokur 1983, doi:10.1016/0021-9991(83)90065-7.
    """

    centre: Array
    strength: Array
    periodic = False

    def __init__(self, centre: ArrayLike = 0.5, strength: ArrayLike = 4.0):
        self.centre, self.strength = number("centre", centre), number("strength", strength)
        check_range("centre", self.centre, above=0.0, below=1.0, remedy="It is a fraction of the axis.")
        check_range("strength", self.strength, above=0.0, remedy="Leave the stretching out for equal cells.")

    def _origin(self) -> Array:
        b, c = self.strength, self.centre
        return (jnp.log1p(jnp.expm1(b) * c) - jnp.log1p(jnp.expm1(-b) * c)) / (2 * b)

    def __call__(self, xi: Values) -> Values:
        """X(ξ)."""
        a = self._origin()
        return self.centre * (1 + jnp.sinh(self.strength * (xi - a)) / jnp.sinh(self.strength * a))

    def inverse(self, x: Values) -> Values:
        """ξ(x)."""
        a = self._origin()
        return a + jnp.arcsinh((x / self.centre - 1) * jnp.sinh(self.strength * a)) / self.strength


class BoundaryLayers(AbstractStretching):
    """x = (1 + tanh(β(2ξ − 1))/tanh β)/2: nodes drawn to both faces; `strength` β > 0.

    The spacing at the faces is 2β/sinh 2β of the uniform one: .55 for β = 1, .15 for 2.
    Source: Vinokur 1983, doi:10.1016/0021-9991(83)90065-7.
    """

    strength: Array
    periodic = False

    def __init__(self, strength: ArrayLike = 1.5):
        self.strength = number("strength", strength)
        check_range("strength", self.strength, above=0.0, remedy="Leave the stretching out for equal cells.")

    def __call__(self, xi: Values) -> Values:
        """X(ξ)."""
        return (1 + jnp.tanh(self.strength * (2 * xi - 1)) / jnp.tanh(self.strength)) / 2

    def inverse(self, x: Values) -> Values:
        """ξ(x)."""
        return (1 + jnp.arctanh((2 * x - 1) * jnp.tanh(self.strength)) / self.strength) / 2


class Wave(AbstractStretching):
    """x = ξ − s (sin 2π(ξ − c) + sin 2πc)/2π: for periodic axes, nodes drawn to ξ = c.

    `strength` s in [0, 1): the spacing there is 1 − s of the uniform one, and half a period away 1 + s.
    """

    centre: Array
    strength: Array
    periodic = True

    def __init__(self, centre: ArrayLike = 0.5, strength: ArrayLike = 0.6):
        self.centre, self.strength = number("centre", centre), number("strength", strength)
        check_range("centre", self.centre, least=0.0, below=1.0, remedy="It is a fraction of the axis.")
        check_range("strength", self.strength, least=0.0, below=1.0, remedy="At 1 the spacing at the centre is 0.")

    def __call__(self, xi: Values) -> Values:
        """X(ξ)."""
        turn = 2 * jnp.pi
        return xi - self.strength / turn * (jnp.sin(turn * (xi - self.centre)) + jnp.sin(turn * self.centre))

    def inverse(self, x: Values) -> Values:
        """ξ(x), by root finding."""
        return _inverse(self, x)


class Custom(AbstractStretching):
    """x = `function`(ξ), elementwise: increasing, smooth, with function(0) = 0 and function(1) = 1.

    `periodic` says that function(ξ) − ξ has period 1. Refused where it does not increase on a sample of [0, 1].
    """

    function: Callable[[Values], Values]
    periodic: bool = eqx.field(static=True, default=False)  # type: ignore[misc]

    def __check_init__(self) -> None:
        sample = concrete(self.function(jnp.asarray(_PROBES)))
        if sample is None:
            return
        slack = 1e3 * float(jnp.finfo(jnp.result_type(float)).eps)
        require(
            sample.shape == _PROBES.shape and abs(sample[0]) <= slack and abs(sample[-1] - 1) <= slack,
            f"`function` must map 0 to 0 and 1 to 1, elementwise; got {sample.ravel()[0]:g} and "
            f"{sample.ravel()[-1]:g}. Scale it to the unit interval.",
        )
        falls = np.diff(sample) <= 0
        require(
            not falls.any(),
            f"`function` must increase on [0, 1]; it does not between {_PROBES[np.argmax(falls)]:g} and "
            f"{_PROBES[np.argmax(falls) + 1]:g}. Nodes would fold over.",
        )

    def __call__(self, xi: Values) -> Values:
        """function(ξ)."""
        return self.function(xi)

    def inverse(self, x: Values) -> Values:
        """ξ(x), by root finding."""
        return _inverse(self, x)


def derivative(stretching: AbstractStretching, xi: Values) -> Values:
    """X'(ξ), elementwise."""
    return jax.jvp(stretching, (xi,), (jnp.ones_like(xi),))[1]


def _inverse(stretching: AbstractStretching, x: Values) -> Values:
    """ξ by bisection; differentiable in x and in the map, by the implicit rule."""
    import optimistix as optx  # slow to import, and rarely needed

    def one(x: Array) -> Array:
        eps = float(jnp.finfo(x.dtype).eps)
        bisection: Any = optx.Bisection(  # type: ignore[call-arg]  # its norm has a default
            rtol=4 * eps, atol=4 * eps, expand_if_necessary=True
        )
        options = {"lower": jnp.zeros_like(x), "upper": jnp.ones_like(x)}
        found: Any = optx.root_find(
            lambda xi, x: stretching(xi) - x, bisection, jnp.clip(x, 0.0, 1.0), args=x, options=options, throw=False
        )
        return found.value

    flat = jax.vmap(one)(jnp.ravel(x))
    return flat.reshape(jnp.shape(x))
