"""Control systems of the literature, ready to use; a new value of a parameter never recompiles."""

import equinox as eqx
import jax.numpy as jnp

from ...checks import check_range, number
from ...typing import Array, ArrayLike, Scalar, Vectors
from .affine import AbstractAffine, Column, Entry, Matrix
from .inputs import Box


class DoubleIntegrator(AbstractAffine):
    """ẋ₁ = x₂, ẋ₂ = a, |a| <= `acceleration`: H = −p₁x₂ + acceleration |p₂|. x = (position, velocity).

    `maximise`: the control maximises u (it avoids the set u < 0) instead of minimising it.
    """

    controls: Box
    disturbances: None = eqx.field(static=True)
    maximise: bool = eqx.field(static=True)

    def __init__(self, acceleration: ArrayLike = 1.0, *, maximise: bool = False):
        bound = _positive("acceleration", acceleration)
        self.controls, self.disturbances, self.maximise = Box(-bound, bound), None, maximise

    def drift(self, t: Scalar, x: Vectors) -> Column:
        """(x₂, 0)."""
        return x[1], 0.0

    def steering(self, t: Scalar, x: Vectors) -> Matrix:
        """(0, 1)ᵀ."""
        return (0.0,), (1.0,)

    def disturbing(self, t: Scalar, x: Vectors) -> Matrix:
        """Nothing."""
        return (), ()

    def cost(self, t: Scalar, x: Vectors) -> Entry:
        """0."""
        return 0.0


class Dubins(AbstractAffine):
    """ẋ₁ = v cos x₃, ẋ₂ = v sin x₃, ẋ₃ = a, |a| <= `turn_rate`: a car of constant `speed` v; x₃ is periodic in 2π.

    `maximise`: the control maximises u (it avoids the set u < 0) instead of minimising it.
    Source: Dubins 1957, doi:10.2307/2372560.
    """

    speed: Array
    controls: Box
    disturbances: None = eqx.field(static=True)
    maximise: bool = eqx.field(static=True)

    def __init__(self, speed: ArrayLike = 1.0, turn_rate: ArrayLike = 1.0, *, maximise: bool = False):
        self.speed = _positive("speed", speed)
        bound = _positive("turn_rate", turn_rate)
        self.controls, self.disturbances, self.maximise = Box(-bound, bound), None, maximise

    def drift(self, t: Scalar, x: Vectors) -> Column:
        """(v cos x₃, v sin x₃, 0)."""
        return self.speed * jnp.cos(x[2]), self.speed * jnp.sin(x[2]), 0.0

    def steering(self, t: Scalar, x: Vectors) -> Matrix:
        """(0, 0, 1)ᵀ."""
        return (0.0,), (0.0,), (1.0,)

    def disturbing(self, t: Scalar, x: Vectors) -> Matrix:
        """Nothing."""
        return (), (), ()

    def cost(self, t: Scalar, x: Vectors) -> Entry:
        """0."""
        return 0.0


class Air3D(AbstractAffine):
    """ẋ₁ = −v_a + v_b cos x₃ + a x₂, ẋ₂ = v_b sin x₃ − a x₁, ẋ₃ = b − a: the game of two identical vehicles.

    A pursuer of speed v_b and turn rate |b| <= `pursuer_turn_rate`, seen from an evader of speed v_a and turn rate
    |a| <= `evader_turn_rate`; x₃, the difference of their headings, is periodic in 2π. The evader a maximises u and the
    pursuer b minimises it: with data |(x₁, x₂)| − r the set u < 0 holds the states from which a collision cannot be
    avoided. Source: Mitchell, Bayen & Tomlin 2005, doi:10.1109/TAC.2005.851439.
    """

    evader_speed: Array
    pursuer_speed: Array
    controls: Box
    disturbances: Box
    maximise: bool = eqx.field(static=True)

    def __init__(
        self,
        evader_speed: ArrayLike = 5.0,
        pursuer_speed: ArrayLike = 5.0,
        evader_turn_rate: ArrayLike = 1.0,
        pursuer_turn_rate: ArrayLike = 1.0,
    ):
        self.evader_speed = _positive("evader_speed", evader_speed)
        self.pursuer_speed = _positive("pursuer_speed", pursuer_speed)
        evader = _positive("evader_turn_rate", evader_turn_rate)
        pursuer = _positive("pursuer_turn_rate", pursuer_turn_rate)
        self.controls, self.disturbances, self.maximise = Box(-evader, evader), Box(-pursuer, pursuer), True

    def drift(self, t: Scalar, x: Vectors) -> Column:
        """(−v_a + v_b cos x₃, v_b sin x₃, 0)."""
        return -self.evader_speed + self.pursuer_speed * jnp.cos(x[2]), self.pursuer_speed * jnp.sin(x[2]), 0.0

    def steering(self, t: Scalar, x: Vectors) -> Matrix:
        """(x₂, −x₁, −1)ᵀ."""
        return (x[1],), (-x[0],), (-1.0,)

    def disturbing(self, t: Scalar, x: Vectors) -> Matrix:
        """(0, 0, 1)ᵀ."""
        return (0.0,), (0.0,), (1.0,)

    def cost(self, t: Scalar, x: Vectors) -> Entry:
        """0."""
        return 0.0


def _positive(argument: str, value: ArrayLike) -> Array:
    given = number(argument, value)
    check_range(argument, given, least=0.0, remedy="It is a bound on a magnitude.")
    return given
