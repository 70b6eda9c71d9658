"""Equations measured from one step: schemes whose modified equation is known, and exact evolutions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

H, grid = hj.hamiltonians, hj.methods.grid
LINE, PLANE = hj.Torus([0.0], [2 * np.pi]), hj.Torus([0.0, 0.0], [2 * np.pi, 2 * np.pi])
RNG = np.random.default_rng(0)


def waves(numbers, x):
    k = jnp.arange(1, numbers.shape[1] + 1)
    phases = k * jnp.sum(x) + numbers[1]
    return jnp.sum(numbers[0] * jnp.cos(phases)) + (0.3 * jnp.sin(x[-1] + numbers[1, 0]) if len(x) > 1 else 0.0)


def fields(hamiltonian, epsilon, domain=LINE, count=24, size=0.5) -> list[hj.Problem]:
    made = []
    for _ in range(count):
        numbers = np.stack([size * RNG.normal(size=3) / np.arange(1, 4) ** 2, RNG.uniform(0, 6, size=3)])
        made.append(hj.Problem(hamiltonian, epsilon, hj.initials.Custom(eqx.Partial(waves, numbers)), domain, 1.0))
    return made


def scheme(cells: int, dt: float) -> grid.FiniteDifference:
    return grid.FiniteDifference(
        cells,
        derivative=grid.derivatives.Upwind(),
        flux=grid.fluxes.GlobalLaxFriedrichs(),
        stepper=grid.steppers.ForwardEuler(),
        step_rule=grid.step_rules.Fixed(dt),
    )


def test_the_viscosity_of_lax_friedrichs() -> None:
    """ε + αΔx/2 − (Δt/2)H'² with α = |H'| = 0.8: within 2 %, for each part of it by itself."""
    dx = 2 * np.pi / 256
    for epsilon, dt in ((0.02, 0.2 * dx), (0.0, 0.2 * dx), (0.0, 0.9 * dx)):
        found = hj.theory.measure_equation(scheme(256, dt), fields(H.Norm(1, 0.8), epsilon))
        expected = epsilon + 0.8 * dx / 2 - dt / 2 * 0.8**2
        np.testing.assert_allclose(found.viscosity, expected, rtol=0.02)
        p = jnp.array([[-0.6, -0.3, 0.25, 0.7]])
        np.testing.assert_allclose(found.hamiltonian(p), 0.8 * np.abs(p[0]), atol=0.01)


@pytest.mark.slow
def test_a_viscosity_that_depends_on_the_slope() -> None:
    """H = cp²: ε̂(p) = ε + αΔx/2 − (Δt/2)(2c)² p², with the one α of a network that is the scheme."""
    problems = fields(H.Quadratic(0.5), 0.03)
    network = hj.theory.as_network(problems[0], family="residual", cells=256, layers=400)
    found = hj.theory.measure_equation(network, problems, viscosity_terms=2)
    stencil = network.equation(problems[0]).viscosity.matrix(jnp.zeros(()), jnp.zeros((1, 1)), jnp.zeros((1, 1)))[
        0, 0, 0
    ]
    np.testing.assert_allclose(found.viscosity_terms[0], stencil, rtol=0.02)
    np.testing.assert_allclose(found.viscosity_terms[1], -1 / 400 / 2, rtol=0.1)
    p = jnp.linspace(-0.6, 0.6, 7)[None]
    np.testing.assert_allclose(found.hamiltonian(p), 0.5 * p[0] ** 2, atol=5e-3)


def test_a_scheme_of_high_order_shows_the_equation_itself() -> None:
    found = hj.theory.measure_equation(grid.FiniteDifference(128), fields(H.Quadratic(0.5), 0.05))
    np.testing.assert_allclose(found.viscosity, 0.05, rtol=3e-3)
    low, high = found.viscosity_interval
    assert low < found.viscosity < high
    assert high - low < 2e-3
    assert found.residual < 0.01
    np.testing.assert_allclose(found.hamiltonian(jnp.array([[0.4]])), 0.08, atol=2e-3)


def test_a_potential_is_a_feature() -> None:
    potential = lambda x: 0.4 * jnp.cos(x[0])
    problems = fields(H.WithPotential(H.Quadratic(0.5), potential), 0.1)
    found = hj.theory.measure_equation(grid.FiniteDifference(96), problems, potential=potential)
    np.testing.assert_allclose(found.potential, 1.0, rtol=5e-3)
    np.testing.assert_allclose(found.viscosity, 0.1, rtol=5e-3)
    with pytest.warns(hj.HJWarning, match="unexplained"):
        blind = hj.theory.measure_equation(grid.FiniteDifference(96), problems)
    assert blind.potential == 0
    assert blind.residual > 10 * found.residual


@pytest.mark.slow
def test_in_the_plane() -> None:
    problems = fields(H.Quadratic(0.5), 0.05, PLANE, count=12)
    found = hj.theory.measure_equation(grid.FiniteDifference(32), problems)
    np.testing.assert_allclose(found.viscosity, 0.05, rtol=0.03)
    p = jnp.array([[0.1, -0.2], [0.2, -0.1]])
    np.testing.assert_allclose(found.hamiltonian(p), 0.5 * (p**2).sum(0), atol=0.02)


def test_a_propagator_is_measured_between_two_times() -> None:
    problems = fields(H.Quadratic(1.0), 0.1)
    network = hj.theory.as_network(problems[0], family="attention", cells=64, time=0.1)
    found = hj.theory.measure_equation(network, problems, time=0.1, dt=1e-3, cells=64)
    np.testing.assert_allclose(found.viscosity, 0.1, rtol=5e-3)
    np.testing.assert_allclose(found.hamiltonian(jnp.array([[0.3]])), 0.09, atol=5e-3)


def test_a_stepper_is_measured_from_a_later_time_too() -> None:
    """Of an SSM whose waves beyond 4 are wrong, the equation shows once they are gone."""
    problems = fields(H.Quadratic(1.0), 0.3, size=0.1)
    network = hj.theory.as_network(problems[0], family="ssm", cells=64)
    decay = np.exp(network.log_decay) * np.where(np.arange(33) > 2, 1.5, 1.0)
    wrong = eqx.tree_at(lambda n: n.log_decay, network, np.log(decay))
    late = hj.theory.measure_equation(wrong, problems, time=4.0, dt=0.05)
    with pytest.warns(hj.HJWarning, match="unexplained"):
        early = hj.theory.measure_equation(wrong, problems, dt=0.05)
    np.testing.assert_allclose(late.viscosity, 0.3, rtol=2e-3)
    assert early.viscosity > 0.32


def test_a_step_too_long_for_its_fields_is_warned_of() -> None:
    """The longest stable step of an SSM is the horizon."""
    problems = fields(H.Quadratic(1.0), 0.2)
    network = hj.theory.as_network(problems[0], family="ssm", cells=64)
    with pytest.warns(hj.HJWarning, match="Give a smaller `dt` than 1,"):
        hj.theory.measure_equation(network, problems)
    np.testing.assert_allclose(hj.theory.measure_equation(network, problems, dt=1e-3).viscosity, 0.2, rtol=1e-3)


@pytest.mark.parametrize(
    ("others", "name"),
    [
        (lambda: fields(H.Quadratic(1.0), 0.4, count=2), "viscosity"),
        (lambda: fields(H.Quadratic(2.0), 0.1, count=2), "hamiltonian"),
        (lambda: fields(H.Quadratic(1.0), 0.1, hj.Torus([0.0], [4 * np.pi]), count=2), "domain"),
    ],
)
def test_samples_of_several_equations_are_refused(others, name: str) -> None:
    with pytest.raises(ValueError, match=f"of one `{name}`"):
        hj.theory.measure_equation(grid.FiniteDifference(32), fields(H.Quadratic(1.0), 0.1, count=2) + others())


@pytest.mark.slow
def test_the_interval_is_as_wide_as_the_samples_differ() -> None:
    """Of 20 measurements of Lax-Friedrichs for H = p²/2, whose α differs by sample, most intervals hold the mean."""
    method = scheme(64, 0.02)
    found = [hj.theory.measure_equation(method, fields(H.Quadratic(0.5), 0.05, count=12)) for _ in range(20)]
    mean = np.mean([f.viscosity for f in found])
    inside = sum(f.viscosity_interval[0] <= mean <= f.viscosity_interval[1] for f in found)
    assert inside >= 15
    width = np.mean([f.viscosity_interval[1] - f.viscosity_interval[0] for f in found])
    spread = np.std([f.viscosity for f in found])
    assert 1.5 * spread < width < 12 * spread


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: hj.theory.measure_equation(grid.FiniteDifference(32), p[:1]), "at least 2 problems"),
        (lambda p: hj.theory.measure_equation(hj.methods.particle.HopfCole(), p), "`dt` and `cells` are needed"),
        (lambda p: hj.theory.measure_equation(grid.FiniteDifference(32), p, cells=32), "`cells` belongs to"),
        (lambda p: hj.theory.measure_equation(grid.FiniteDifference(32), p, time=-1.0), "`time` must be >= 0"),
        (lambda p: hj.theory.measure_equation(grid.FiniteDifference(32), p, dt=-1.0), "`dt` must be > 0"),
        (lambda p: hj.theory.measure_equation(grid.FiniteDifference(32), p, knots=2), "`knots` must be"),
        (
            lambda p: hj.theory.measure_equation(
                grid.FiniteDifference(32),
                [
                    hj.Problem(H.Quadratic(), 0.1, hj.initials.Custom(lambda x, k=k: jnp.cos(k * x[0])), LINE, 1.0)
                    for k in (1, 2)
                ],
            ),
            "differ in numbers alone",
        ),
        (
            lambda p: hj.theory.measure_equation(
                grid.FiniteDifference(32),
                [hj.Problem(H.Quadratic(), 0.1, hj.initials.Norm(), hj.Box([-1.0], [1.0]), 1.0)] * 2,
            ),
            "torus",
        ),
    ],
)
def test_bad_input_is_refused_with_a_remedy(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(fields(H.Quadratic(), 0.1, count=2))


def test_what_is_no_method() -> None:
    with pytest.raises(TypeError, match="a method of hj\\.methods"):
        hj.theory.measure_equation(jax.numpy.sin, fields(H.Quadratic(), 0.1, count=2))
