import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders
from scipy.special import logsumexp

import hjsolve as hj

I = hj.initials  # noqa: E741
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 2))
A = np.array([[2.0, 0.3], [0.3, -1.0]])
K, OFFSETS = RNG.normal(size=(4, 2)), RNG.normal(size=4)


@pytest.mark.parametrize(
    ("initial", "formula"),
    [
        (I.Quadratic(0.5), lambda x: 0.25 * x @ x),
        (I.Quadratic(A), lambda x: 0.5 * x @ A @ x),
        (I.Norm(), np.linalg.norm),
        (I.Norm(1), lambda x: np.abs(x).sum()),
        (I.Norm(float("inf")), lambda x: np.abs(x).max()),
        (I.Cosine(-2.0, np.pi, 0.3), lambda x: -2 * np.cos(np.pi * x.sum() + 0.3)),
        (I.Cosine(1.0, [1.0, -2.0]), lambda x: np.cos(x[0] - 2 * x[1])),
        (I.LogSumExp(K, OFFSETS, 0.3), lambda x: 0.3 * logsumexp((K @ x + OFFSETS) / 0.3)),
        (I.LogSumExp(K, OFFSETS, 1e-6, sign=-1), lambda x: -1e-6 * logsumexp((K @ x + OFFSETS) / 1e-6)),
        (I.Custom(lambda x: x[0] * jnp.exp(x[1])), lambda x: x[0] * np.exp(x[1])),
    ],
)
def test_values(initial, formula) -> None:
    computed = jax.vmap(initial)(jnp.asarray(X))
    assert computed.shape == (6,)
    np.testing.assert_allclose(computed, [formula(x) for x in X], rtol=1e-13, atol=1e-14)  # round-off


def test_gradient_of_the_norm_is_zero_at_its_kink_and_the_unit_vector_elsewhere() -> None:
    gradient = jax.grad(I.Norm())
    np.testing.assert_array_equal(gradient(jnp.zeros(3)), 0.0)
    np.testing.assert_allclose(gradient(jnp.array([3.0, 4.0])), [0.6, 0.8], rtol=1e-15)
    assert np.isfinite(jax.hessian(I.Norm())(jnp.zeros(3))).all()


@pytest.mark.parametrize("order", [1, 3, 5])
def test_gridded_has_the_order_of_its_degree(order: int) -> None:
    places, errors = np.random.default_rng(1).uniform(-1, 1, size=(200, 2)), []
    f = lambda x, y: np.sin(2 * x) * np.exp(y)
    for n in (24, 48):
        axes = np.meshgrid(np.linspace(-1, 1, n + 1), np.linspace(-1, 1, n + 1), indexing="ij")
        gridded = I.Gridded(f(*axes), [-1.0, -1.0], [1.0, 1.0], order=order)
        errors.append(np.abs(jax.vmap(gridded)(jnp.asarray(places)) - f(*places.T)).max())
    # at least the degree's; more while the one-sided, least accurate cells at the faces shrink with the grid
    assert order + 0.7 < orders(errors)[0] < order + 2


def test_gridded_is_exact_for_quintics_and_continues_linearly() -> None:
    f = lambda x: x**5 - 2 * x**3 + x
    gridded = I.Gridded(f(np.linspace(-1, 2, 10)), -1.0, 2.0)
    for x in (-1.0, 0.1234, 1.9, 2.0):
        np.testing.assert_allclose(gridded(jnp.array([x])), f(x), rtol=0, atol=1e-13)  # values <= 18
    slope = 5 * 2.0**4 - 6 * 2.0**2 + 1
    np.testing.assert_allclose(gridded(jnp.array([3.5])), f(2.0) + 1.5 * slope, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(gridded)(jnp.array([-4.0])), [5 - 6 + 1], rtol=0, atol=1e-11)


def test_gridded_periodic_leaves_the_repeated_end_out() -> None:
    n = 40
    x = 2 * np.pi * np.arange(n) / n
    gridded = I.Gridded(np.cos(x), 0.0, 2 * np.pi, periodic=True)
    places = np.array([-7.0, -0.01, 2 * np.pi - 0.01, 2 * np.pi, 20.0])
    # (2π/40)^6 = 1.5e-5, times 1/46 in the middle of a cell
    np.testing.assert_allclose(jax.vmap(gridded)(jnp.asarray(places)[:, None]), np.cos(places), rtol=0, atol=1e-6)


def test_atoms_hold_what_was_given() -> None:
    atoms = I.Atoms([[0.0, 1.0], [2.0, 3.0]], [0.5, -0.5], weights=[1.0, 2.0])
    assert atoms.dimension == 2
    np.testing.assert_allclose(atoms.log_weights, np.log([1.0, 2.0]))
    np.testing.assert_array_equal(I.Atoms([[0.0]], [1.0]).log_weights, [0.0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: I.Atoms(np.zeros((0, 2)), np.zeros(0)), r"`y` must hold at least one atom.*N >= 1"),
        (lambda: I.Atoms(np.zeros((3, 0)), np.zeros(3)), r"`y` must have d >= 1 columns"),
        (lambda: I.Atoms(np.zeros(3), np.zeros(3)), r"`y` must have shape \[N, d\]; got \(3,\).*y\[:, None\]"),
        (lambda: I.Atoms(np.zeros((3, 1)), np.zeros(2)), r"`g` must have shape \[N\] = \(3,\); got \(2,\)"),
        (lambda: I.Atoms([[np.nan], [0.0]], [0.0, 0.0]), r"`y` must not contain NaN; 1 of 2 entries"),
        (lambda: I.Atoms([[1.0]], [np.nan]), r"`g` must not contain NaN"),
        (lambda: I.Atoms([[1.0]], [np.inf]), r"`g` must be finite; got \[inf\].*Leave out"),
        (lambda: I.Atoms([[1.0]], [1.0], [0.0]), r"`weights` must be > 0; got \[0\.0\].*Leave out"),
        (lambda: I.Atoms([[1.0]], [1.0], [1.0, 2.0]), r"`weights` must have shape"),
        (lambda: I.Gridded([0.0, np.nan, 1.0, 1.0, 1.0, 1.0], 0.0, 1.0), r"`values` must not contain NaN; 1 of 6"),
        (lambda: I.Gridded(np.zeros(5), 0.0, 1.0), r"`values` must have more than `order` = 5 nodes.*\(5,\)"),
        (lambda: I.Gridded(np.zeros(9), 1.0, 0.0), r"`upper - lower` must be > 0; got \[-1\.0\].*Swap"),
        (lambda: I.Gridded(np.zeros((9, 9)), 0.0, 1.0), r"`lower` must have shape \[2\].*got \(1,\)"),
        (lambda: I.Gridded(np.zeros(9), 0.0, 1.0, order=4), r"`order` must be 1, 3 or 5; got 4"),
        (lambda: I.Gridded(np.zeros(9), 0.0, 1.0, periodic=(True, False)), r"`periodic` must have 1 entries; got 2"),
        (lambda: I.Norm(3), r"`order` must be 1, 2 or inf; got 3.*Custom"),
        (lambda: I.Quadratic(np.zeros((2, 3))), r"`A` must be a number or a square matrix.*\(2, 3\)"),
        (lambda: I.LogSumExp(np.zeros((0, 2)), []), r"`slopes` must hold at least one plane"),
        (lambda: I.LogSumExp(K, OFFSETS, 0.0), r"`temperature` must be > 0; got 0\.0"),
        (lambda: I.LogSumExp(K, OFFSETS, sign=2), r"`sign` must be 1 or -1; got 2"),
        (lambda: I.LogSumExp(K, OFFSETS[:2]), r"`offsets` must have shape \[N\] = \(4,\)"),
        (lambda: I.Cosine(np.nan), r"`amplitude` must not contain NaN"),
        (lambda: I.Custom(1.0), r"`function` must be callable.*1\.0"),
    ],
)
def test_bad_data_are_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()
