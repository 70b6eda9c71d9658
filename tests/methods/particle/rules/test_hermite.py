"""Two to five dimensions: Laplace-centred Gauss-Hermite and its fallback, against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

HopfCole = hj.methods.particle.HopfCole
RNG = np.random.default_rng(0)  # drawn from here at import alone
SLOPES = {d: RNG.normal(size=(6, d)) for d in (2, 3)}
OFFSETS = 0.2 * RNG.normal(size=6)
X = {d: RNG.uniform(-1, 1, size=(12, d)) for d in (2, 3)}
TIMES = np.array([0.05, 1.0])


@eqx.filter_jit
def _on_all(exact, times, x):
    return jax.vmap(jax.vmap(jax.value_and_grad(exact, argnums=1), (None, 0)), (0, None))(times, x)


def on_all(exact, times, x):
    return _on_all(exact, jnp.asarray(times), jnp.asarray(x))


def blend(shares, planes, x):
    return shares[0] * planes(x) + shares[1] * jnp.sum(jnp.abs(x))


def in_the_plane(smooth: float, kinked: float, epsilon: float) -> hj.Solution:
    """From a smooth minimum of planes and |x|_1 by their shares: data of one type, compiled once."""
    planes = hj.exact.MultiShock(SLOPES[2], OFFSETS, epsilon or 0.1).problem().initial
    initial = hj.initials.Custom(eqx.Partial(blend, np.array([smooth, kinked]), planes))
    p = hj.Problem(hj.hamiltonians.Quadratic(), epsilon, initial, hj.Box([-1.0] * 2, [1.0] * 2), 1.0)
    return hj.solve(p, HopfCole(), TIMES, points=X[2])


@pytest.mark.parametrize(("d", "epsilon"), [(2, 1.0), (2, 0.1), (2, 1e-2), (2, 1e-3), (2, 1e-6), (3, 0.1), (3, 1e-3)])
def test_travelling_shocks(d: int, epsilon: float) -> None:
    """Several narrow modes at once for small ε, one wide one for large ε."""
    exact = hj.exact.MultiShock(SLOPES[d], OFFSETS, epsilon)
    solution = in_the_plane(1.0, 0.0, epsilon) if d == 2 else hj.solve(exact.problem(), HopfCole(), TIMES, points=X[d])
    u, slope = on_all(exact, TIMES, X[d])
    # the check between orders is 1e-8 or better, and the rule taken is the better of the two
    np.testing.assert_allclose(solution.u, u, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(solution.gradient, slope, rtol=0, atol=1e-6)
    assert solution.result == hj.RESULTS.successful


@pytest.mark.filterwarnings("ignore::hjsolve.HJWarning")
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 1e-3, 1e-6])
def test_kinks_along_the_axes(epsilon: float) -> None:
    """|x|_1 is a sum over the axes, and so is its solution."""
    one = hj.exact.AbsoluteValue(epsilon)
    solution = in_the_plane(0.0, 1.0, epsilon)
    parts = [on_all(one, TIMES, X[2][:, k : k + 1])[0] for k in (0, 1)]
    # where the minimiser is a corner the panels are split at the kinks; else a kink may cross them: O(h²) times ε
    np.testing.assert_allclose(solution.u, parts[0] + parts[1], rtol=0, atol=2e-3 * epsilon + 1e-12)
    change = np.asarray(solution.stats["order_change"])
    # a kink 4 or 5 widths off the minimiser is seen by neither order: e^{−4.8²/2} = 1e-5
    assert (np.abs(solution.u - parts[0] - parts[1]).max(1) <= epsilon * (2 * change + 1e-5) + 1e-12).all()
    assert (solution.result == hj.RESULTS.successful) == (change.max() <= 1e-3)


def waves(y):
    return jnp.sum(jnp.cos(2 * jnp.pi * y))


@pytest.mark.filterwarnings("ignore::hjsolve.HJWarning")
@pytest.mark.parametrize("domain", [hj.Torus, hj.Box])
def test_many_modes(domain) -> None:
    """Up to 150 modes matter, thirteen to a side; in one dimension adaptive panels see them all."""
    x = 0.5 * X[2]
    for epsilon, t in [(0.05, 0.5), (0.05, 5.0), (0.1, 5.0), (1.0, 1.0)]:
        p, line = (
            hj.Problem(
                hj.hamiltonians.Quadratic(), epsilon, hj.initials.Custom(waves), domain([-0.5] * d, [0.5] * d), t
            )
            for d in (2, 1)
        )
        solution = hj.solve(p, HopfCole(), [t], points=x)
        parts = [hj.solve(line, HopfCole(), [t], points=x[:, k : k + 1]) for k in (0, 1)]
        error = np.abs(np.asarray(solution.u - parts[0].u - parts[1].u)).max()
        # the error in u is ε times that of the mass, and far less than the change between two orders
        assert error <= epsilon * float(jnp.max(solution.stats["order_change"])) + 1e-9
        if domain is hj.Torus or t < 1:
            assert error < 1e-9
            assert solution.result == hj.RESULTS.successful


def test_without_viscosity() -> None:
    """A kinked datum by its closed form, a concave one by a search over a fine grid."""
    solution = in_the_plane(0.0, 1.0, 0.0)
    u, slope = zip(*(on_all(hj.exact.AbsoluteValue(0.0), TIMES, X[2][:, k : k + 1]) for k in (0, 1)), strict=True)
    np.testing.assert_allclose(solution.u, u[0] + u[1], rtol=0, atol=1e-13)
    np.testing.assert_allclose(solution.gradient, np.concatenate(slope, axis=2), rtol=0, atol=1e-6)  # √ulp along kinks
    solution = in_the_plane(1.0, 0.0, 0.0)
    g = jax.jit(jax.vmap(jax.value_and_grad(hj.exact.MultiShock(SLOPES[2], OFFSETS, 0.1).problem().initial)))
    feet = X[2] - 2 * np.asarray(solution.gradient[1])
    value, slope = g(feet)
    np.testing.assert_allclose(slope, solution.gradient[1], rtol=0, atol=1e-13)  # the minimum is stationary
    np.testing.assert_allclose(value + ((X[2] - feet) ** 2).sum(1) / 4, solution.u[1], rtol=0, atol=1e-14)
    axis = np.linspace(-8, 8, 801)
    nodes = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    values = np.asarray(g(nodes)[0])
    lowest = [(values + ((x - nodes) ** 2).sum(1) / 4).min() for x in X[2]]
    # and it is the global one: the grid's is higher by at most curvature times (0.01)²/2 an axis
    assert (np.asarray(solution.u[1]) <= lowest).all()
    np.testing.assert_allclose(solution.u[1], lowest, rtol=0, atol=1e-4)


def test_derivatives_in_the_data_viscosity_c_time_and_place() -> None:
    def mine(k, epsilon, c, t, x):
        exact = hj.exact.MultiShock(k, OFFSETS, epsilon, c)
        p = hj.Problem(
            hj.hamiltonians.Quadratic(c), epsilon, exact.problem().initial, hj.Box([-1.0] * 2, [1.0] * 2), 1.0
        )
        return hj.solve(p, HopfCole(), t[None], points=x[None]).u[0, 0]

    theirs = lambda k, epsilon, c, t, x: hj.exact.MultiShock(k, OFFSETS, epsilon, c)(t, x)
    arguments = (jnp.asarray(SLOPES[2]), *map(jnp.asarray, (0.05, 0.8, 0.6)), jnp.asarray(X[2][0]))
    got = jax.jit(jax.grad(mine, argnums=(0, 1, 2, 3, 4)))(*arguments)
    expected = jax.grad(theirs, argnums=(0, 1, 2, 3, 4))(*arguments)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)


def test_float32() -> None:
    exact = hj.exact.MultiShock(SLOPES[2], OFFSETS, 0.1)
    with jax.enable_x64(False):
        solution = hj.solve(exact.problem(), HopfCole(), TIMES, points=X[2])
    assert solution.u.dtype == np.float32
    # a few ulp of energies up to 3, summed over thousands of nodes
    np.testing.assert_allclose(solution.u, on_all(exact, TIMES, X[2])[0], rtol=0, atol=1e-5)
