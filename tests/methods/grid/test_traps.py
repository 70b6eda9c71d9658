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
