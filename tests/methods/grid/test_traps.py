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


@pytest.mark.parametrize(
    "name", ["ENO2", "WENO5", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ENO3", "WENO3", "WENOZ"))]
)
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


@pytest.mark.slow
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
    # float32 reads the time of the jump to 6e-8, in which the wave turns by 0.018
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=2 * np.pi * 0.018)


SINE = hj.initials.Custom(lambda x: jnp.sin(2 * np.pi * x[0]))
CIRCLE = hj.Torus([0.0], [1.0])


def test_speeds_that_come_later_are_seen_before_a_step_is_taken() -> None:
    """A wave that rests until t = 1/2, one that turns round, and a pulse of 1% of the time."""
    late = H.Linear(lambda t, x: 8 * jnp.maximum(t - 0.5, 0.0) + 0 * x)
    solution = hj.solve(hj.Problem(late, 0.0, SINE, CIRCLE, 1.0), grid.FiniteDifference(100), [1.0])
    exact = jnp.sin(2 * np.pi * (solution.points[:, 0] - 1))
    np.testing.assert_allclose(solution.u[0], exact, rtol=0, atol=2e-5)  # WENO5 at 100 cells a wave
    pulse = H.Custom(lambda t, x, p: 50 * jnp.exp(-(((t - 0.15) / 0.003) ** 2)) * jnp.abs(p[0]))
    for method in (grid.FiniteDifference(100), grid.FiniteDifference(100, stepper=grid.steppers.Strang())):
        found = hj.solve(hj.Problem(pulse, 0.0, SINE, CIRCLE, 0.3), method, [0.3]).u
        # |p| moves the least value 50·√π·0.003 = 0.266 to both sides: the top falls to sin 2π(1/4 + 0.266) < 0
        np.testing.assert_allclose([found.min(), found.max()], [-1.0, np.sin(2 * np.pi * 0.5159)], atol=0.03)


@pytest.mark.slow
def test_a_source_a_viscosity_and_a_floor_that_change_in_time() -> None:
    flat = hj.initials.Custom(lambda x: 0 * x[0])
    source = H.WithSource(H.Quadratic(1.0), lambda t: 40 * jnp.cos(20 * t))
    for method in (grid.FiniteDifference(20), grid.SemiLagrangian(20)):
        found = hj.solve(hj.Problem(source, 0.0, flat, CIRCLE, 1.0), method, [1.0]).u
        np.testing.assert_allclose(found, -2 * np.sin(20.0), rtol=0, atol=2e-3)  # 256 steps
    still, late = H.Linear([0.0]), hj.viscosities.Varying(lambda t, x: 2 * jnp.maximum(t - 0.3, 0.0) + 0 * x[0])
    solution = hj.solve(hj.Problem(still, late, SINE, CIRCLE, 0.4), grid.FiniteDifference(32), [0.4])
    exact = np.exp(-0.01 * (2 * np.pi) ** 2) * np.sin(2 * np.pi * np.asarray(solution.points[:, 0]))
    np.testing.assert_allclose(solution.u[0], exact, rtol=0, atol=1e-5)
    rising = {"floor": lambda t, x: jnp.exp(-(((t - 0.1) / 0.01) ** 2)) - 1 + 0 * x[0]}
    raised = hj.solve(hj.Problem(still, 0.0, SINE, CIRCLE, 0.3, **rising), grid.FiniteDifference(32), [0.3]).u
    np.testing.assert_allclose(raised.min(), 0.0, atol=0.01)  # the floor's peak, missed by half of 1/256 at most


@pytest.mark.slow
def test_data_without_slopes_under_a_potential_do_not_end_in_one_step() -> None:
    problem = hj.Problem(
        H.WithPotential(H.Quadratic(1.0), lambda x: 5 * jnp.cos(x[0])), 0.3, hj.initials.Custom(lambda x: 0 * x[0]),
        hj.Torus([-np.pi], [np.pi]), 0.5,
    )  # fmt: skip
    exact = hj.solve(problem, grid.Propagator(64, order=4), [0.5]).u
    found = hj.solve(problem, grid.Spectral(64), [0.5]).u
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-3)
    np.testing.assert_allclose(hj.solve(problem, grid.SemiLagrangian(64), [0.5]).u, exact, rtol=0, atol=0.1)


@pytest.mark.slow
def test_the_derivative_in_viscosity_does_not_vanish_at_zero() -> None:
    """Where ε = 0 nothing is computed of εΔu, but ∂/∂ε of it is Δu: against a difference in ε."""

    def u(epsilon):
        problem = hj.Problem(
            H.Quadratic(0.5), epsilon, hj.initials.Custom(lambda x: jnp.sin(x[0])), hj.Torus([0.0], [2 * np.pi]), 0.3
        )
        return jnp.mean(hj.solve(problem, grid.FiniteDifference(32), [0.3]).u[0] ** 2)

    step = 1e-5
    np.testing.assert_allclose(jax.grad(u)(0.0), (u(step) - u(0.0)) / step, rtol=1e-3)  # a one-sided difference
