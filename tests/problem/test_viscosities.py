import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.problem.viscosities import Numerical

V = hj.viscosities
RNG = np.random.default_rng(0)


def symmetric(d: int, *places: int) -> np.ndarray:
    matrix = RNG.normal(size=(d, d, *places))
    return (matrix + np.swapaxes(matrix, 0, 1)) / 2


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("places", [(), (4,), (3, 5)])
def test_contract_is_epsilon_times_the_trace(d: int, places: tuple[int, ...]) -> None:
    x, hessian = RNG.normal(size=(d, *places)), symmetric(d, *places)
    trace = np.trace(hessian)
    constant = V.Constant(0.3).contract(0.5, x, x, jnp.asarray(hessian))
    np.testing.assert_allclose(constant, 0.3 * trace, rtol=1e-14, atol=1e-15)
    varying = V.Varying(lambda t, x: t + x[0] ** 2).contract(0.5, x, x, jnp.asarray(hessian))
    np.testing.assert_allclose(varying, (0.5 + x[0] ** 2) * trace, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("viscosity", [V.Constant(0.3), V.Varying(lambda t, x: 0.1 * t + 0.5 * jnp.sum(x**2, axis=0))])
def test_root_squares_to_twice_the_viscosity(viscosity) -> None:
    x = jnp.array([0.4, -0.2, 0.6])
    sigma = np.asarray(viscosity.root(1.0, x))
    epsilon = 0.3 if isinstance(viscosity, V.Constant) else 0.1 + 0.5 * 0.56
    np.testing.assert_allclose(sigma @ sigma.T, 2 * epsilon * np.eye(3), rtol=1e-14, atol=0)


def test_bound_is_epsilon_at_every_place() -> None:
    x = jnp.ones((2, 3, 4))
    np.testing.assert_array_equal(V.Constant(0.3).bound(0.0, x), np.full((3, 4), 0.3))
    np.testing.assert_array_equal(V.Varying(lambda t, x: 0.5).bound(0.0, x), np.full((3, 4), 0.5))
    np.testing.assert_allclose(V.Varying(lambda t, x: t * x[1]).bound(2.0, x), np.full((3, 4), 2.0))


def test_numerical_viscosity_by_hand() -> None:
    base, h = V.Constant(0.05), hj.hamiltonians.Quadratic(1.0)
    added = Numerical(base, h, lambda x: np.array([0.1, 0.2]))
    p, hessian = jnp.array([1.5, -2.0]), symmetric(2)
    # ε Δu + Σ |2p_i| Δx_i/2 ∂_ii u
    expected = 0.05 * np.trace(hessian) + 3.0 * 0.05 * hessian[0, 0] + 4.0 * 0.1 * hessian[1, 1]
    np.testing.assert_allclose(added.contract(0.0, p, p, jnp.asarray(hessian)), expected, rtol=1e-14)
    for call in (lambda: added.root(0.0, p), lambda: added.bound(0.0, p)):
        with pytest.raises(TypeError, match=r"depends on ∇u.*problem's own viscosity"):
            call()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: V.Constant(-0.1), r"`viscosity` must be >= 0; got -0\.1\. Use 0 for the inviscid equation"),
        (lambda: V.Constant([0.1, 0.2]), r"`viscosity` must be a number; got shape \(2,\)"),
        (lambda: V.Constant(np.inf), r"`viscosity` must be finite; got inf"),
        (lambda: V.Constant(np.nan), r"`viscosity` must not contain NaN"),
        (lambda: V.Varying(0.1), r"`function` must be callable.*0\.1.*Constant"),
        (
            lambda: V.Varying(lambda t, x: x).bound(0.0, jnp.ones((2, 3))),
            r"`function` must map x.*\(2, 3\) gave \(2, 3\), expected \(3,\).*axis=0",
        ),
    ],
)
def test_bad_viscosities_are_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()
