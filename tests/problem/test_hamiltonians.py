import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import central
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import hjsolve as hj

H = hj.hamiltonians
RNG = np.random.default_rng(0)
B = np.array([0.7, -1.2])
SHEAR = H.Linear(lambda t, x: jnp.stack([x[1], -t * x[0]]))
QUARTIC = H.Custom(lambda t, x, p: jnp.sum(p**4, axis=0) / 4 + jnp.sin(x[0]) * p[0])

# Each with the same formula written for one point in NumPy.
CASES = {
    "Quadratic": (H.Quadratic(0.7), lambda t, x, p: 0.7 * (p @ p)),
    "Eikonal": (H.Eikonal(1.5), lambda t, x, p: 1.5 * np.sqrt(p @ p)),
    "Linear": (H.Linear(B), lambda t, x, p: B @ p),
    "Linear field": (SHEAR, lambda t, x, p: x[1] * p[0] - t * x[0] * p[1]),
    "Power 1.5": (H.Power(2.0, 1.5), lambda t, x, p: 2.0 * (p @ p) ** 0.75),
    "Power 4": (H.Power(0.3, 4.0), lambda t, x, p: 0.3 * (p @ p) ** 2),
    "Separable": (H.Separable((jnp.cos, lambda q: q**3)), lambda t, x, p: np.cos(p[0]) + p[1] ** 3),
    "Separable, one": (H.Separable(lambda q: -jnp.cos(q + 1)), lambda t, x, p: -np.cos(p + 1).sum()),
    "WithPotential": (
        H.WithPotential(H.Quadratic(0.7), lambda x: jnp.sum(x**2, axis=0)),
        lambda t, x, p: 0.7 * (p @ p) - x @ x,
    ),
    "WithSource": (H.WithSource(H.Eikonal(), lambda t: 1 / t), lambda t, x, p: np.sqrt(p @ p) + 1 / t),
    "Custom": (QUARTIC, lambda t, x, p: (p**4).sum() / 4 + np.sin(x[0]) * p[0]),
    "pointwise": (
        H.Custom.pointwise(lambda t, x, p: jnp.dot(p, p) * jnp.dot(x, x) + t),
        lambda t, x, p: (p @ p) * (x @ x) + t,
    ),
}
NAMES = sorted(CASES)
T = 0.8


@pytest.mark.parametrize("name", NAMES)
def test_values_and_velocity_on_points_and_grids(name: str) -> None:
    hamiltonian, formula = CASES[name]
    x, p = RNG.normal(size=(2, 3, 4)), RNG.normal(size=(2, 3, 4))
    values, velocities = hamiltonian(T, x, p), hamiltonian.velocity(T, x, p)
    assert values.shape == (3, 4)
    assert velocities.shape == (2, 3, 4)
    for i, j in ((0, 0), (1, 2), (2, 3)):
        at, slope = x[:, i, j], p[:, i, j]
        np.testing.assert_allclose(values[i, j], formula(T, at, slope), rtol=1e-13, atol=1e-14)  # round-off
        point = hamiltonian(T, jnp.asarray(at), jnp.asarray(slope))
        assert point.shape == ()
        np.testing.assert_allclose(point, values[i, j], rtol=1e-14)
        for k in range(2):
            difference = central(
                lambda q, a=at, s=slope, k=k: formula(T, a, np.where(np.arange(2) == k, q, s)), slope[k]
            )
            # fourth-order differences at step 1e-4 of formulas with derivatives <= 100
            np.testing.assert_allclose(velocities[k, i, j], difference, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_the_closed_velocity_is_the_derivative(name: str) -> None:
    hamiltonian, _ = CASES[name]
    x, p = jnp.asarray(RNG.normal(size=(2, 50))), jnp.asarray(RNG.normal(size=(2, 50)))
    differentiated = jax.grad(lambda q: jnp.sum(hamiltonian(T, x, q)))(p)
    np.testing.assert_allclose(hamiltonian.velocity(T, x, p), differentiated, rtol=1e-12, atol=1e-13)


@eqx.filter_jit
def bound_and_speeds(hamiltonian, x, lo, hi, fractions):
    inside = lo[:, None] + fractions * (hi - lo)[:, None]
    places = jnp.broadcast_to(x[:, None], inside.shape)
    return hamiltonian.speed_bound(T, x, lo, hi), jnp.max(jnp.abs(hamiltonian.velocity(T, places, inside)), axis=1)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.0, 0.1, 1.0, 5.0]), at_zero=st.booleans())
def test_speed_bound_bounds_every_speed_in_the_box(name: str, seed: int, size: float, at_zero: bool) -> None:
    hamiltonian, _ = CASES[name]
    rng = np.random.default_rng(seed)
    x, centre = rng.normal(size=2), (0.0 if at_zero else 1.0) * rng.normal(size=2)
    lo, hi = centre - size * rng.uniform(size=2), centre + size * rng.uniform(size=2)
    fractions = rng.uniform(size=(2, 300))
    fractions[:, :4] = [[0, 0, 1, 1], [0, 1, 0, 1]]
    bound, speed = bound_and_speeds(hamiltonian, x, lo, hi, fractions)
    assert (np.asarray(bound) >= speed * (1 - 1e-12) - 1e-12).all()


@pytest.mark.parametrize("name", ["Quadratic", "Eikonal", "Linear", "Power 1.5", "Power 4"])
def test_closed_speed_bounds_are_attained(name: str) -> None:
    """A bound that is far too large would pass the test above and cost steps and dissipation."""
    hamiltonian, _ = CASES[name]
    lo, hi = np.array([-0.5, 0.2]), np.array([1.5, 0.9])
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 201), np.linspace(0, 1, 201))).reshape(2, -1)
    bound, speed = bound_and_speeds(hamiltonian, np.zeros(2), lo, hi, grid)
    slack = 1.3 if name == "Power 1.5" else 1 + 1e-9  # for q < 2 the bound leaves the other components out
    assert (np.asarray(bound) <= slack * np.asarray(speed) + 1e-3).all()  # 1e-3: the samples miss the maximum


@pytest.mark.parametrize("name", ["Quadratic", "Power 1.5", "Power 4"])
def test_lagrangian_is_the_legendre_transform(name: str) -> None:
    hamiltonian, formula = CASES[name]
    for v in (np.array([0.3, -0.4]), np.array([2.0, 1.0]), np.array([1e-3, 0.0])):
        # H depends on |p| alone, so that the supremum lies along v
        unit = v / np.linalg.norm(v)
        best = minimize_scalar(
            lambda r, u=unit, v=v: formula(T, np.zeros(2), r * u) - r * (u @ v),
            bounds=(0, 50),
            method="bounded",
            options={"xatol": 1e-12},
        )
        lagrangian = hamiltonian.lagrangian(T, jnp.zeros(2), jnp.asarray(v))
        # the optimiser stops at √ulp of r, where the value is off by an ulp of the terms, or at its xatol near 0
        np.testing.assert_allclose(lagrangian, -best.fun, rtol=1e-7, atol=1e-10)


def test_degenerate_lagrangians() -> None:
    eikonal, linear = CASES["Eikonal"][0], CASES["Linear"][0]
    v = jnp.array([[1.0, 1.2, 1.5], [1.0, 1.2, 0.0]])
    np.testing.assert_array_equal(eikonal.lagrangian(T, v, v), [0.0, np.inf, 0.0])
    v = jnp.stack([jnp.asarray(B), jnp.asarray(B) + 1e-9], axis=1)
    np.testing.assert_array_equal(linear.lagrangian(T, v, v), [0.0, np.inf])


@pytest.mark.parametrize("name", ["Eikonal", "Power 1.5", "Power 4", "Quadratic"])
def test_derivatives_at_the_kink_are_zero_and_finite(name: str) -> None:
    hamiltonian, _ = CASES[name]
    zero = jnp.zeros((2, 3))
    value, slope = jax.value_and_grad(lambda p: jnp.sum(hamiltonian(T, zero, p)))(zero)
    assert value == 0.0
    np.testing.assert_array_equal(slope, 0.0)
    np.testing.assert_array_equal(hamiltonian.velocity(T, zero, zero), 0.0)
    parameters = eqx.filter_grad(lambda h: jnp.sum(h(T, zero, zero)))(hamiltonian)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(parameters))
    assert np.isfinite(hamiltonian.speed_bound(T, zero, zero, zero)).all()


def test_custom_pointwise_equals_custom_on_whole_arrays() -> None:
    whole = H.Custom(lambda t, x, p: t * x[0] * jnp.sum(p**2, axis=0))
    single = H.Custom.pointwise(lambda t, x, p: t * x[0] * jnp.sum(p**2))
    x, p = jnp.asarray(RNG.normal(size=(3, 4, 5))), jnp.asarray(RNG.normal(size=(3, 4, 5)))
    np.testing.assert_allclose(single(T, x, p), whole(T, x, p), rtol=1e-14)
    np.testing.assert_allclose(single.velocity(T, x, p), whole.velocity(T, x, p), rtol=1e-14)
    np.testing.assert_allclose(single(T, x[:, 0, 0], p[:, 0, 0]), whole(T, x, p)[0, 0], rtol=1e-14)


@pytest.mark.parametrize(
    "function",
    [
        lambda t, x, p: jnp.sum(p**2),  # a number for the whole grid
        lambda t, x, p: p**2,  # one too many axes
        lambda t, x, p: jnp.sum(p**2, axis=-1),  # the wrong axis
        lambda t, x, p: p @ p,  # fit for single points only
        lambda t, x: x[0],  # the wrong number of arguments
    ],
)
def test_custom_refuses_what_does_not_map_arrays_and_names_the_remedies(function) -> None:
    with pytest.raises(ValueError, match=r"`function` must map x and p.*\(3, 5\).*axis=0.*Custom\.pointwise"):
        H.Custom(function)


def test_custom_refuses_what_is_not_callable() -> None:
    with pytest.raises(TypeError, match=r"`function` must be callable.*3.0"):
        H.Custom(3.0)


def test_custom_takes_a_bound_of_its_own() -> None:
    custom = H.Custom(lambda t, x, p: jnp.sin(40 * p[0]), bound=lambda t, x, lo, hi: jnp.full_like(lo, 40.0))
    lo, hi = jnp.array([0.0]), jnp.array([np.pi / 20])
    np.testing.assert_array_equal(custom.speed_bound(0.0, lo, lo, hi), [40.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: H.Quadratic(-1.0), r"`c` must be > 0; got -1\.0\..*solve for -u"),
        (lambda: H.Quadratic(np.nan), r"`c` must not contain NaN"),
        (lambda: H.Quadratic("fast"), r"`c` must be a number.*'fast'"),
        (lambda: H.Eikonal(0.0), r"`speed` must be > 0; got 0\.0"),
        (lambda: H.Power(1.0, 1.0), r"`exponent` must be > 1; got 1\.0.*Eikonal"),
        (lambda: H.Power(np.inf, 2.0), r"`c` must be finite; got inf"),
        (lambda: H.Linear(2.0), r"`velocity` must have shape \[d\]; got \(\)"),
        (lambda: H.Separable(()), r"`terms` must hold at least one function"),
        (lambda: H.Separable((jnp.cos,))(T, jnp.zeros(2), jnp.zeros(2)), r"`terms` holds 1 functions but p has 2"),
        (lambda: H.Linear([1.0, 2.0])(T, jnp.zeros(3), jnp.zeros(3)), r"`velocity` has 2 components but p has 3"),
        (
            lambda: H.WithPotential(H.Quadratic(), lambda x: jnp.sum(x))(T, jnp.zeros((2, 3)), jnp.zeros((2, 3))),
            r"`potential` must map x.*\(2, 3\) gave \(\), expected \(3,\).*axis=0",
        ),
    ],
)
def test_bad_parameters_are_refused_with_argument_value_and_remedy(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_a_drift_adds_its_transport() -> None:
    field = lambda t, x: jnp.stack([-x[1], x[0] + t])
    h = H.WithDrift(H.Quadratic(0.5), field)
    x, p = jnp.array([1.0, 2.0]), jnp.array([3.0, -1.0])
    assert float(h(0.5, x, p)) == 0.5 * 10 + (-2.0 * 3.0 + 1.5 * -1.0)
    np.testing.assert_allclose(h.velocity(0.5, x, p), [3.0 - 2.0, -1.0 + 1.5])
    np.testing.assert_allclose(h.speed_bound(0.5, x, p, p), [3.0 + 2.0, 1.0 + 1.5])
    with pytest.raises(ValueError, match="`drift` must map"):
        H.WithDrift(H.Quadratic(0.5), lambda t, x: jnp.ones(2))(0.0, jnp.zeros((2, 3)), jnp.zeros((2, 3)))
