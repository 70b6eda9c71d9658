import jax
import numpy as np
import pytest
from helpers import atoms_solution, central

from hjsolve.kernels.propagator import normaliser, propagate

RNG = np.random.default_rng(0)
Y, G, OMEGA, X = RNG.normal(size=(40, 2)), RNG.normal(size=40), RNG.uniform(0.5, 2.0, size=40), RNG.normal(size=(7, 2))


@pytest.mark.parametrize("c", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4, 0.3, 20.0])
def test_value_and_gradient(epsilon: float, c: float) -> None:
    u, gradient = propagate(X, Y, G, np.log(OMEGA), c, epsilon, 0.7)
    weights = OMEGA if epsilon > 0 else None
    expected = atoms_solution(X, 0.7, Y, G, epsilon, c, weights)
    np.testing.assert_allclose(u, expected, rtol=0, atol=1e-13 * max(1, epsilon))  # ulp of numbers ~10 (and of ε)
    for axis in range(2):
        step = np.eye(2)[axis]
        slopes = [
            central(
                lambda s, x=x, step=step: atoms_solution((x + s * step)[None], 0.7, Y, G, epsilon, c, weights)[0],
                0.0,
                1e-5,
            )
            for x in X
        ]
        # fourth-order differences of step 1e-5: round-off 1e-10, curvature scale √ε >> step
        np.testing.assert_allclose(gradient[:, axis], slopes, rtol=0, atol=1e-8)


def test_epsilon_zero_batches_and_differentiates_beside_positive_ones() -> None:
    epsilons = np.array([0.0, 0.2])
    f = lambda e: propagate(X, Y, G, np.zeros(40), 1.0, e, 0.7)[0].sum()
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(f)))(epsilons)
    for value, e in zip(values, epsilons, strict=True):
        np.testing.assert_allclose(value, atoms_solution(X, 0.7, Y, G, e).sum(), rtol=1e-13)
    assert np.isfinite(slopes).all()
    expected = central(lambda e: atoms_solution(X, 0.7, Y, G, e).sum(), 0.2)
    np.testing.assert_allclose(slopes[1], expected, rtol=1e-9)  # differences of step 1e-4, fourth order


def test_float32_gradient_does_not_lose_digits_far_from_the_origin() -> None:
    x, y = (X + 1000).astype(np.float32), (Y + 1000).astype(np.float32)
    g = G.astype(np.float32)
    exact = np.asarray(propagate(x.astype(float), y.astype(float), g.astype(float), np.zeros(40), 1.0, 0.3, 0.7)[1])
    with jax.enable_x64(False):
        gradient = np.asarray(propagate(x, y, g, np.zeros(40, np.float32), 1.0, 0.3, 0.7)[1])
    # a few ulp of |x − y|/(2ct) <= 4, where uncentred numbers would lose ulp(1000)/1.4 = 4e-5
    np.testing.assert_allclose(gradient, exact, rtol=0, atol=5e-6)


def test_normaliser() -> None:
    np.testing.assert_allclose(normaliser(3, 2.0, 0.1, 0.5), 3 * 0.1 / 4 * np.log(4 * np.pi * 0.05), rtol=1e-14)
    assert normaliser(3, 2.0, 0.0, 0.5) == 0.0
