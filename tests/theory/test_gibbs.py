"""Each closed form against autodiff of the free energy, against NumPy, or against really doing what it predicts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from helpers import atoms_solution, central
from scipy.special import logsumexp

import hjsolve as hj

gibbs = hj.theory.gibbs
RNG = np.random.default_rng(0)
Y, G, OMEGA = RNG.normal(size=(15, 2)), RNG.normal(size=15), RNG.uniform(0.3, 3.0, size=15)
X, T = np.array([0.2, -0.4]), 0.7


def problem(epsilon=0.3, c=0.6, weights=OMEGA, g=G, y=Y) -> hj.Problem:
    atoms = hj.initials.Atoms(y, g, weights)
    box = hj.Box([-2.0] * y.shape[1], [2.0] * y.shape[1])
    return hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, atoms, box, 1.0)


def measure(epsilon: float, c: float, weights: np.ndarray) -> np.ndarray:
    """π in NumPy."""
    scores = np.log(weights) - c / epsilon * (G + ((X - Y) ** 2).sum(1) / (4 * c * T))
    return np.exp(scores - logsumexp(scores))


@pytest.fixture(scope="module")
def wave() -> hj.Problem:
    """Function data, whose atoms are the quadrature nodes and whose solution is normalised."""
    return hj.Problem(hj.hamiltonians.Quadratic(0.6), 0.3, hj.initials.Cosine(1.0, 2.0), hj.Box([-1.0], [1.0]), 1.0)


@pytest.mark.parametrize(("epsilon", "c", "weights"), [(0.3, 0.6, OMEGA), (0.05, 1.0, np.ones(15)), (5.0, 2.0, OMEGA)])
def test_measure_against_numpy(epsilon: float, c: float, weights: np.ndarray) -> None:
    p, pi = problem(epsilon, c, weights), measure(epsilon, c, weights)
    np.testing.assert_allclose(gibbs.weights(p, t=T, x=X), pi, rtol=1e-12, atol=1e-16)
    np.testing.assert_allclose(gibbs.log_weights(p, t=T, x=X), np.log(pi), rtol=0, atol=1e-12)
    np.testing.assert_allclose(gibbs.barycentre(p, t=T, x=X), pi @ Y, rtol=0, atol=1e-14)
    # absolute, because log π of a weight near 1 has an error of an ulp of the scores
    np.testing.assert_allclose(gibbs.entropy(p, t=T, x=X), -(pi * np.log(pi)).sum(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(
        gibbs.relative_entropy(p, t=T, x=X), -(pi * np.log(pi / weights)).sum(), rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(gibbs.free_energy(p, t=T, x=X), atoms_solution(X[None], T, Y, G, epsilon, c, weights)[0])


def test_the_two_entropies_differ_under_weights() -> None:
    difference = gibbs.relative_entropy(problem(), t=T, x=X) - gibbs.entropy(problem(), t=T, x=X)
    np.testing.assert_allclose(difference, measure(0.3, 0.6, OMEGA) @ np.log(OMEGA), rtol=1e-12)
    assert abs(difference) > 0.1
    plain = problem(weights=np.ones(15))
    np.testing.assert_allclose(gibbs.entropy(plain, t=T, x=X), gibbs.relative_entropy(plain, t=T, x=X), rtol=1e-13)


def energy(epsilon, t, x, g):
    return gibbs.free_energy(problem(epsilon, g=g), t=t, x=x)


def test_closed_derivatives_equal_autodiff_of_the_free_energy() -> None:
    e, t, x, g = (jnp.asarray(a) for a in (0.3, T, X, G))
    p = problem()
    de, dt, dx, dg = jax.jit(jax.grad(energy, argnums=(0, 1, 2, 3)))(e, t, x, g)
    np.testing.assert_allclose(gibbs.viscosity_derivative(p, t=T, x=X), de, rtol=0, atol=1e-13)
    np.testing.assert_allclose(gibbs.time_derivative(p, t=T, x=X), dt, rtol=0, atol=1e-13)
    np.testing.assert_allclose(gibbs.gradient(p, t=T, x=X), dx, rtol=0, atol=1e-13)
    np.testing.assert_allclose(gibbs.influence(p, t=T, x=X), dg, rtol=0, atol=1e-14)
    hessian = jax.jit(jax.hessian(energy, argnums=2))(e, t, x, g)
    np.testing.assert_allclose(gibbs.hessian(p, t=T, x=X), hessian, rtol=0, atol=1e-12)


def test_closed_derivatives_equal_differences_of_numpy() -> None:
    """Fourth-order differences of step 1e-4 are good to 1e-11 here."""
    p = problem()
    u = lambda e=0.3, t=T, x=X, g=G: atoms_solution(x[None], t, Y, g, e, 0.6, OMEGA)[0]
    np.testing.assert_allclose(gibbs.viscosity_derivative(p, t=T, x=X), central(lambda e: u(e=e), 0.3), atol=1e-10)
    np.testing.assert_allclose(gibbs.time_derivative(p, t=T, x=X), central(lambda t: u(t=t), T), atol=1e-10)
    one = np.eye(15)[3]
    np.testing.assert_allclose(
        gibbs.influence(p, t=T, x=X)[3], central(lambda s: u(g=G + s * one), 0.0), rtol=0, atol=1e-10
    )


@pytest.mark.slow
def test_derivatives_for_function_data(wave: hj.Problem) -> None:
    """At fixed nodes; they solve the equation: u_t + c|∇u|² = εΔu, which ties all of them together."""
    x = jnp.array([0.3])
    u_t, slope = gibbs.time_derivative(wave, t=0.8, x=x), gibbs.gradient(wave, t=0.8, x=x)
    laplacian = jnp.trace(gibbs.hessian(wave, t=0.8, x=x))
    np.testing.assert_allclose(u_t + 0.6 * slope @ slope, 0.3 * laplacian, rtol=0, atol=1e-10)
    f = jax.jit(lambda t, x: gibbs.free_energy(wave, t=t, x=x))
    np.testing.assert_allclose(u_t, jax.grad(f)(0.8, x), rtol=0, atol=1e-11)
    np.testing.assert_allclose(slope, jax.grad(f, argnums=1)(0.8, x), rtol=0, atol=1e-11)
    # in ε the nodes' box moves with ε too, but the quadrature is spectrally accurate on any
    at = lambda e: float(gibbs.free_energy(eqx.tree_at(lambda p: p.viscosity.epsilon, wave, np.asarray(e)), t=0.8, x=x))
    np.testing.assert_allclose(gibbs.viscosity_derivative(wave, t=0.8, x=x), central(at, 0.3, 1e-3), rtol=0, atol=1e-9)
    solved = hj.solve(wave, hj.methods.particle.HopfCole(), [0.8], points=x[None])
    np.testing.assert_allclose(f(0.8, x), solved.u[0, 0], rtol=0, atol=1e-12)
    pi = gibbs.weights(wave, t=0.8, x=x)
    np.testing.assert_allclose(pi.sum(), 1.0, rtol=1e-12)


@pytest.mark.parametrize("epsilon", [0.02, 0.3, 5.0])
def test_leave_one_out_equals_really_deleting_the_atom(epsilon: float) -> None:
    whole = atoms_solution(X[None], T, Y, G, epsilon, 0.6, OMEGA)[0]
    deleted = [
        atoms_solution(X[None], T, np.delete(Y, j, 0), np.delete(G, j), epsilon, 0.6, np.delete(OMEGA, j))[0]
        for j in range(15)
    ]
    computed = gibbs.leave_one_out(problem(epsilon), t=T, x=X)
    np.testing.assert_allclose(computed, np.array(deleted) - whole, rtol=0, atol=1e-13 * max(1, epsilon))
    assert (np.asarray(computed) >= 0).all()


def test_leave_one_out_where_one_weight_rounds_to_one() -> None:
    """π_0 = 1 − 2e-35: 1 − π_0 is 0 in float64, and the answer is the next atom's energy, in 60 digits."""
    y, g = np.array([[0.0], [1.0], [-1.0]]), np.array([0.0, 8.0, 8.5])
    computed = np.asarray(gibbs.leave_one_out(problem(0.1, 1.0, None, g, y), t=1.0, x=np.zeros(1)))
    with mpmath.workdps(60):
        w = [
            mpmath.exp(-(mpmath.mpf(a) + mpmath.mpf(b) ** 2 / 4) / mpmath.mpf("0.1"))
            for a, b in zip(g, y[:, 0], strict=True)
        ]
        exact = [float(-mpmath.mpf("0.1") * mpmath.log(1 - v / sum(w))) for v in w]
    np.testing.assert_allclose(computed, exact, rtol=1e-13)
    assert computed[0] > 8
    assert 0 < computed[1] < 1e-30  # and the tiny ones keep all their digits
    only = gibbs.leave_one_out(problem(0.1, 1.0, None, np.zeros(1), np.zeros((1, 1))), t=1.0, x=np.zeros(1))
    assert np.isposinf(only).all()


def test_nothing_is_lost_at_a_tiny_viscosity() -> None:
    p = problem(1e-6)
    assert np.isfinite(gibbs.log_weights(p, t=T, x=X)).all()
    assert gibbs.log_weights(p, t=T, x=X).min() < -1e5  # far below what exp can hold
    assert gibbs.entropy(p, t=T, x=X) >= 0
    assert np.isfinite(gibbs.leave_one_out(p, t=T, x=X)).all()


def test_batches_by_vmap() -> None:
    places = jnp.asarray(RNG.normal(size=(4, 2)))
    batch = jax.vmap(lambda x: gibbs.barycentre(problem(), t=T, x=x))(places)
    np.testing.assert_allclose(batch[2], gibbs.barycentre(problem(), t=T, x=places[2]), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gibbs.weights(problem(), t=0.0, x=X), r"`t` must be > 0; got 0\.0.*Dirac"),
        (lambda: gibbs.weights(problem(), t=T, x=X[:1]), r"`x` must have shape \[2\]; got \(1,\)"),
        (lambda: gibbs.weights(problem(), t=T, x=X[None]), r"`x` must have shape \[d\]; got \(1, 2\).*vmap"),
        (lambda: gibbs.weights(problem(0.0), t=T, x=X), r"`viscosity` must be > 0; got 0\.0"),
        (lambda: gibbs.weights(eikonal(), t=T, x=X), r"needs `hamiltonian` = Quadratic\(c\); got Eikonal"),
    ],
)
def test_bad_questions_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def eikonal() -> hj.Problem:
    return hj.Problem(hj.hamiltonians.Eikonal(), 0.1, hj.initials.Norm(), hj.Box([-1.0] * 2, [1.0] * 2), 1.0)
