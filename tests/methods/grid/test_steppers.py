"""Time steppers: their orders, their limits, and how many steps they take where viscosity is stiff."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.integrate import solve_ivp

import hjsolve as hj

grid = hj.methods.grid
steppers = grid.steppers
FD = grid.FiniteDifference
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


def smooth(viscosity: float = 0.5) -> hj.exact.Periodic:
    """Two slow waves: steps of 1/120 are stable on 192 cells."""
    return hj.exact.Periodic(1.0, [0.2, 0.05], [[np.pi], [2 * np.pi]], viscosity, phases=[0.3, 1.0])


@eqx.filter_jit
def on_all(exact, t, x):
    return jax.vmap(lambda z: exact(t, z))(x)


def worst(solution: hj.Solution, exact) -> float:
    return float(jnp.abs(solution.u[-1] - on_all(exact, solution.ts[-1], solution.points)).max())


@pytest.mark.parametrize("stepper", [steppers.Strang(), steppers.IMEX()], ids=lambda s: type(s).__name__)
def test_order_in_time_with_viscosity_split_off(stepper) -> None:
    """On 192 cells the error in space is below 2e-10; the explicit limit there is a step of 1/11000."""
    exact, found = smooth(), []
    problem = exact.problem(horizon=0.5)
    for steps in (60, 120):
        rule = grid.step_rules.Fixed(0.5 / steps)
        solution = hj.solve(problem, FD(192, stepper=stepper, step_rule=rule), [0.5])
        assert solution.stats["steps"] == steps
        found.append(worst(solution, exact))
    print(found, orders(found))
    assert abs(orders(found)[-1] - stepper.order) < 0.12


FACES = [
    pytest.param(hj.boundaries.Neumann(), 1.9, 2.8, id="slope"),
    pytest.param(hj.boundaries.Extrapolation(), 1.9, 2.7, id="line", marks=pytest.mark.slow),
    pytest.param(hj.boundaries.Dirichlet(lambda t, x: jnp.sin(2 * t) - 1 + 0 * x[0]), 1.9, 2.8, id="value"),
]


@pytest.mark.parametrize(("face", "strang", "imex"), FACES)
def test_order_in_time_with_faces_and_a_hamiltonian_that_moves(face, strang: float, imex: float) -> None:
    """Against the same scheme in steps of 1/25600. These are not stiff: εΔt is below Δx²."""
    hamiltonian = hj.hamiltonians.Custom(lambda t, x, p: p[0] ** 2 * (1 + jnp.sin(3 * t) / 2) - jnp.cos(2 * x[0] + t))
    domain = hj.Box([-1.0], [1.0], boundary=face)
    problem = hj.Problem(hamiltonian, 0.3, hj.initials.Cosine(1.0, np.pi), domain, 0.25)

    def end(stepper, steps: int) -> jax.Array:
        rule = grid.step_rules.Fixed(0.25 / steps)
        return hj.solve(problem, FD(40, stepper=stepper, step_rule=rule), [0.25]).u

    for stepper, least in ((steppers.Strang(), strang), (steppers.IMEX(), imex)):
        limit = end(stepper, 6400)
        found = [float(jnp.abs(end(stepper, n) - limit).max()) for n in (400, 800)]
        print(type(stepper).__name__, found, orders(found))
        assert orders(found)[0] > least


class Diagonal(eqx.Module):
    """What takes the place of a Diffusion for single waves."""

    rates: jax.Array

    def rate(self, u: jax.Array) -> jax.Array:
        return self.rates * u

    def implicit_rate(self, u: jax.Array, gamma: jax.Array) -> jax.Array:
        return self.rates * u / (1 - gamma * self.rates)


def test_upwind_differences_stay_stable_up_to_the_limit_of_imex_whatever_the_diffusion() -> None:
    """The amplification of every wave by one step, of first- and fifth-order upwind differences with central ones."""
    angle = jnp.linspace(0, 2 * np.pi, 181)
    waves = lambda weights, first: sum(w * jnp.exp(1j * (first + k) * angle) for k, w in enumerate(weights))
    upwind = jnp.stack([waves([1, -1], -1), waves([2, -15, 60, -20, -30, 3], -3) / 60])
    s = jnp.sin(angle / 2) ** 2
    central = jnp.broadcast_to(-4 * s * (1 + s / 3 + 8 * s**2 / 45), upwind.shape)

    @jax.jit
    def largest(courant: jax.Array, number: jax.Array) -> jax.Array:
        parts = (lambda t, u: courant * upwind * u), Diagonal(number * central)
        right = steppers.RightHandSide(lambda t, u: u, parts, lambda stepper: jnp.zeros(()))
        one = jnp.ones(upwind.shape, complex)
        return jnp.abs(one + steppers.IMEX().increment(right, jnp.zeros(()), jnp.ones(()), one)).max()

    for number in (0.0, 0.1, 1.0, 10.0, 1e4):
        assert largest(steppers.IMEX.advective_limit, number) <= 1 + 1e-12
    assert largest(2.0, 0.0) > 1


BENT = hj.initials.Custom(lambda x: jnp.cos(np.pi * x[0]) + 0.5 * jnp.sin(2 * np.pi * x[0]))


def steep(viscosity: float, half: float = 1.0) -> hj.Problem:
    return hj.Problem(hj.hamiltonians.Quadratic(0.5), viscosity, BENT, hj.Torus([-half], [half]), 0.3)


@pytest.mark.slow
@pytest.mark.parametrize("stepper", [steppers.Strang(), steppers.IMEX(), steppers.Auto()])
def test_where_diffusion_dominates_its_shape_is_followed(stepper) -> None:
    """sin πx between walls fades like e^{−π²t}, nearly without transport: to 1 % after ten e-foldings."""
    box = hj.Box([0.0], [1.0], boundary=hj.boundaries.Dirichlet(0.0))
    data = hj.initials.Custom(lambda x: jnp.sin(jnp.pi * x[0]))
    problem = hj.Problem(hj.hamiltonians.Linear([1e-3]), 1.0, data, box, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = hj.solve(problem, hj.methods.grid.FiniteDifference(40, stepper=stepper), [0.1, 0.5, 1.0])
    top = np.exp(-(np.pi**2) * np.array([0.1, 0.5, 1.0]))
    np.testing.assert_allclose(solution.u.max(axis=1), top, rtol=0.01)
    assert solution.stats["steps"] < 150


def test_steps_that_viscosity_costs_and_splitting_saves() -> None:
    """On 160 cells at ε = 0.1; a finer grid saves more."""
    problem, counts, errors = steep(0.1), {}, {}
    exact = hj.solve(problem, grid.Spectral(160), [0.3])  # on the same nodes, with layers of nine cells: to 1e-7
    for stepper in (steppers.SSPRK3(), steppers.Strang(), steppers.IMEX(), steppers.Auto()):
        solution, name = hj.solve(problem, FD(160, stepper=stepper), [0.3]), type(stepper).__name__
        counts[name] = int(solution.stats["steps"])
        errors[name] = float(jnp.abs(solution.u - exact.u).max())
    print(counts, errors)
    assert counts["SSPRK3"] > 5 * counts["Strang"]
    assert counts["Auto"] == counts["IMEX"] <= counts["Strang"]
    assert errors["IMEX"] < errors["Strang"] < 1e-3  # Δt² times rates of the steepest part, (0.3/100)² · 100


def test_auto_is_explicit_where_speeds_bind_and_new_numbers_do_not_recompile() -> None:
    """On 53 cells a period: the grid of 160 on three of them."""
    auto, explicit = FD(160, stepper=steppers.Auto()), FD(160, stepper=steppers.SSPRK3())
    for viscosity in (0.0, 0.005):
        found, expected = (hj.solve(steep(viscosity, 3.0), method, [0.3]) for method in (auto, explicit))
        assert found.stats["steps"] == expected.stats["steps"]
        np.testing.assert_allclose(found.u, expected.u, rtol=0, atol=1e-13)  # one program against another
    split = hj.solve(steep(1.0, 3.0), auto, [0.3])
    assert split.stats["compile_seconds"] == 0
    assert split.stats["steps"] < 60


def test_a_run_that_viscosity_makes_20_times_as_long_is_announced() -> None:
    problem = hj.Problem(hj.hamiltonians.Quadratic(0.05), 1.0, BENT, hj.Torus([-1.0], [1.0]), 0.5)
    with pytest.raises(hj.HJWarning, match=r"SSPRK3 needs about \d{4,5} steps.*needs about \d+\. Use .*Auto"):
        hj.solve(problem, FD(160), [0.5])
    assert hj.solve(problem, FD(160, stepper=steppers.Auto()), [0.5]).stats["steps"] < 100


@pytest.mark.slow
def test_gradients_and_batches_through_split_steps() -> None:
    data, rule, upwind = smooth().problem().initial, grid.step_rules.Fixed(0.02), grid.derivatives.Upwind()
    method = FD(32, stepper=steppers.Auto(), derivative=upwind, step_rule=rule)

    def mean_square(viscosity: jax.Array) -> jax.Array:
        problem = hj.Problem(hj.hamiltonians.Quadratic(), viscosity, data, hj.Torus([-1.0], [1.0]), 0.2)
        return jnp.mean(hj.solve(problem, method, [0.2], max_steps=16).u ** 2)

    alone = jax.jit(jax.value_and_grad(mean_square))
    # a central difference: 1e-8 of the third derivative, and rounding over 1e-4
    difference = (alone(0.3001)[0] - alone(0.2999)[0]) / 2e-4
    np.testing.assert_allclose(alone(0.3)[1], difference, rtol=1e-6)
    both = jax.jit(jax.vmap(mean_square))(jnp.array([0.3, 0.5]))
    np.testing.assert_allclose(both, [alone(0.3)[0], alone(0.5)[0]], rtol=1e-12)  # another program


def test_what_is_no_stepper_is_refused() -> None:
    with pytest.raises(TypeError, match="`inner` must be an instance"):
        steppers.Strang(steppers.IMEX())
    with pytest.raises(TypeError, match="`split` must be an instance"):
        steppers.Auto(split=steppers.SSPRK3())
