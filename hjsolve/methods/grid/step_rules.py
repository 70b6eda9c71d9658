"""How long a time step is, given the stability limit."""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import as_array, check_range
from ...typing import Array, ArrayLike, Scalar

_HALVINGS = 40


class AbstractStepRule(eqx.Module):
    """A choice of Δt."""

    bounded: ClassVar[bool] = True
    """Whether it stays within the stability limit, so that a long step may be halved where slopes grow in it."""

    @abc.abstractmethod
    def __call__(self, limit: Scalar, spacing: Scalar) -> Scalar:
        """Δt from the stability limit and the finest Δx relative to the domain's extent."""


class CFL(AbstractStepRule):
    """Δt = number · limit: the usual choice. In time the error is then O(Δx³) with SSP-RK3."""

    number: Array

    def __init__(self, number: ArrayLike = 0.7):
        self.number = as_array("number", number)
        _check_number(self.number)

    def __call__(self, limit: Scalar, spacing: Scalar) -> Scalar:
        """Number · limit."""
        return self.number * limit


class PowerLaw(AbstractStepRule):
    """Δt = number · limit · (4Δx/extent)^{exponent−1}, at most number · limit: Δt ∝ Δx^exponent.

    exponent 5/3 balances SSP-RK3 against WENO5, so that refinement shows order 5.
    """

    number: Array
    exponent: Array

    def __init__(self, number: ArrayLike = 0.7, exponent: ArrayLike = 5 / 3):
        self.number = as_array("number", number)
        self.exponent = as_array("exponent", exponent)
        _check_number(self.number)
        check_range("exponent", self.exponent, least=1.0, remedy="1 is the CFL rule.")

    def __call__(self, limit: Scalar, spacing: Scalar) -> Scalar:
        """Number · limit · (4Δx/extent)^{exponent−1}."""
        return self.number * limit * jnp.minimum(4 * spacing, 1.0) ** (self.exponent - 1)


class Fixed(AbstractStepRule):
    """Δt = dt, whatever the stability limit; an unstable choice ends as a non-finite result."""

    dt: Array
    bounded = False

    def __init__(self, dt: ArrayLike):
        self.dt = as_array("dt", dt)
        check_range("dt", self.dt, above=0.0, remedy="The step is a positive time.")

    def __call__(self, limit: Scalar, spacing: Scalar) -> Scalar:
        """dt."""
        return self.dt


def _check_number(number: Array) -> None:
    check_range("number", number, above=0.0, most=1.0, remedy="A CFL number above 1 is unstable; use (0, 1].")


def halved(dt: Scalar, too_long: Callable[[Scalar], Array]) -> Scalar:
    """The longest Δt/2^k that is not `too_long`, k <= 40."""
    shortest = dt * 0.5**_HALVINGS
    return jax.lax.while_loop(lambda dt: (dt > shortest) & too_long(dt), lambda dt: dt / 2, dt)
