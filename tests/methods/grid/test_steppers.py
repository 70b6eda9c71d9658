import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.integrate import solve_ivp

import hjsolve as hj

steppers = hj.methods.grid.steppers
ALL = [steppers.ForwardEuler(), steppers.SSPRK2(), steppers.SSPRK3(), steppers.SSPRK4()]


def marched(stepper, rate, u: float, end: float, steps: int) -> float:
    dt = end / steps
    at = lambda k, u: stepper(rate, k * dt, jnp.asarray(dt), u)
    return float(jax.jit(lambda u: jax.lax.fori_loop(0, steps, at, u))(jnp.array([u]))[0])


@pytest.mark.parametrize("stepper", ALL, ids=lambda s: type(s).__name__)
def test_order_on_an_equation_that_depends_on_time(stepper) -> None:
    rate = lambda t, u: jnp.cos(3 * t) * u - u**2
    exact = solve_ivp(lambda t, u: np.cos(3 * t) * u - u**2, (0, 2), [1.3], rtol=1e-13, atol=1e-14).y[0, -1]
    found = orders([abs(marched(stepper, rate, 1.3, 2.0, n) - exact) for n in (40, 80, 160)])
    assert abs(found[-1] - stepper.order) < 0.1, found


@pytest.mark.parametrize("stepper", ALL, ids=lambda s: type(s).__name__)
def test_the_stability_limit_on_the_negative_axis(stepper) -> None:
    """|R(−z)| <= 1 up to the limit named, and not much beyond."""
    amplification = lambda z: abs(float(stepper(lambda t, u: u, 0.0, jnp.asarray(-z), jnp.ones(1))[0]))
    assert amplification(0.999 * stepper.diffusive_limit) <= 1
    assert amplification(1.02 * stepper.diffusive_limit) > 1


@pytest.mark.parametrize("stepper", ALL, ids=lambda s: type(s).__name__)
def test_upwind_differences_keep_their_bounds_up_to_the_advective_limit(stepper) -> None:
    """A step function carried round a circle stays between 0 and 1, for strong stability; at twice the limit not."""
    u = jnp.asarray((np.arange(50) < 20).astype(float))
    rate = lambda t, u: -(u - jnp.roll(u, 1))
    for share, kept in ((1.0, True), (2.2, False)):
        step = lambda k, u, share=share: stepper(rate, 0.0, jnp.asarray(share * stepper.advective_limit), u)
        end = np.asarray(jax.lax.fori_loop(0, 30, step, u))
        assert (end.min() >= -1e-12 and end.max() <= 1 + 1e-12) == kept


def test_float32_adds_increments_once_a_step() -> None:
    """4000 steps of u' = −u/100 from 1: u is rounded once a step, so that the error is a random walk of ulps."""
    with jax.enable_x64(False):
        end = marched(steppers.SSPRK3(), lambda t, u: -u / 100, 1.0, 40.0, 4000)
    assert abs(end - np.exp(-0.4)) < 2e-6
