"""Traps that grid codes have fallen into: units, single precision, flat data, steps that stall."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

H = hj.hamiltonians
grid = hj.methods.grid
BOX = hj.Box([-1.0], [1.0])


def solved(g, hamiltonian=None, t=0.3, cells=100, domain=BOX, **options):
    problem = hj.Problem(hamiltonian or H.Eikonal(), 0.0, hj.initials.Custom(g), domain, t)
    return hj.solve(problem, grid.FiniteDifference(cells, **options), [t])


@pytest.mark.parametrize("name", ["ENO2", "ENO3", "WENO3", "WENO5", "WENOZ"])
def test_the_unit_of_u_does_not_matter(name: str) -> None:
    """u_t + |u_x| = 0 is homogeneous: in units of a power of two, even in float32, not a bit changes but near zero.

    Weights with an absolute ε = 1e-6 overshoot by a third at u = 1e-6 and are NaN at 1e10.
    """
    wave = lambda unit, x: unit * (jnp.abs(jnp.sin(4 * x[0])) - 0.3 * x[0])
    derivative = getattr(grid.derivatives, name)()
    for wide, units in ((True, (1e8, 1e-8)), (False, (2.0**27, 2.0**-27))):
        with jax.enable_x64(wide):
            one, *others = (solved(eqx.Partial(wave, np.float64(s)), derivative=derivative) for s in (1.0, *units))
            for unit, other in zip(units, others, strict=True):
                assert other.u.dtype == (jnp.float64 if wide else jnp.float32)
                np.testing.assert_allclose(other.u / unit, one.u, rtol=0, atol=1e-8)


def test_gradients_of_solutions_with_flat_parts_are_finite() -> None:
    """|x| cut off at both ends: where u is flat every smoothness is 0."""

    def mean(height):
        return jnp.mean(solved(lambda x: jnp.clip(jnp.abs(x[0]), 0.2, height), cells=40).u)

    slope, step = jax.grad(mean)(0.72), 1e-5
    difference = (mean(0.72 + step) - mean(0.72 - step)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=1e-4)
    assert slope > 0.01


def test_data_without_slopes_do_not_allow_any_step() -> None:
    """u_t + u_x² − V = 0 from u = 0: the first slopes come from V. One step over the whole horizon ends at −0.12."""
    potential = H.WithPotential(H.Quadratic(), lambda x: -jnp.cos(3 * x[0]))
    torus = hj.Torus([-np.pi / 3], [np.pi / 3])
    free = solved(lambda x: 0 * x[0], potential, 1.0, 100, torus)
    short = solved(lambda x: 0 * x[0], potential, 1.0, 100, torus, step_rule=grid.step_rules.Fixed(2e-3))
    np.testing.assert_allclose(free.u, short.u, rtol=0, atol=2e-5)  # the longer steps' own error
    assert free.stats["largest_dt"] < 0.1
    fixed = solved(lambda x: 0 * x[0], potential, 1.0, 100, torus, step_rule=grid.step_rules.Fixed(0.01))
    assert int(fixed.stats["steps"]) == 100  # long at first, where there are no slopes yet


def test_float32_does_not_pile_up_rounding_over_many_steps() -> None:
    """4000 steps on a moving wave, and 20,000 equal increments. Summed plainly these are 8e-4 and 3e-4 off."""
    wave = hj.initials.Custom(lambda x: jnp.cos(2 * np.pi * x[0]))
    moving = hj.Problem(H.Linear([1.0]), 0.0, wave, hj.Torus([0.0], [1.0]), 4.0)
    sinking = hj.Problem(H.Custom(lambda t, x, p: 1.0 + 0.0 * p[0]), 0.0, wave, hj.Torus([0.0], [1.0]), 2.0)
    results = []
    for wide in (True, False):
        with jax.enable_x64(wide):
            waves = hj.solve(moving, grid.FiniteDifference(50, step_rule=grid.step_rules.Fixed(1e-3)), [4.0])
            sunk = hj.solve(sinking, grid.FiniteDifference(10, step_rule=grid.step_rules.Fixed(1e-4)), [2.0])
            assert int(waves.stats["steps"]) == 4000 and int(sunk.stats["steps"]) == 20_000
            results.append((np.asarray(waves.u), np.asarray(sunk.u), np.cos(2 * np.pi * np.asarray(sunk.points[:, 0]))))
    (wide_waves, wide_sunk, start), (waves, sunk, _) = results
    np.testing.assert_allclose(wide_sunk[0], start - 2, rtol=0, atol=1e-13)
    np.testing.assert_allclose(sunk[0], start - 2, rtol=0, atol=3e-7)  # one rounding of 3, and that of dt
    np.testing.assert_allclose(waves, wide_waves, rtol=0, atol=3e-6)  # slopes of rounded values: 1e-7/Δx a unit time


def test_steps_below_the_rounding_of_time_still_add_up() -> None:
    """The steps at t = 1 are too short for float32 to tell 1 + Δt from 1; the clock keeps what rounding drops."""
    jump = H.Custom(lambda t, x, p: jnp.where(t < 1.0, 0.2, 3e5) * p[0])
    wave = hj.initials.Custom(lambda x: jnp.cos(2 * np.pi * x[0]))
    problem = hj.Problem(jump, 0.0, wave, hj.Torus([0.0], [1.0]), 2.0)
    euler = {"derivative": grid.derivatives.Upwind(), "stepper": grid.steppers.ForwardEuler()}
    results = []
    for wide in (True, False):
        with jax.enable_x64(wide):
            solution = hj.solve(problem, grid.FiniteDifference(200, **euler), [1.0, 1 + 2.0**-20])  # a third of a turn
        assert solution.stats["smallest_dt"] < 2.0**-25
        results.append(np.asarray(solution.u[1]))
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-5)
    assert np.ptp(results[0]) > 0.05
