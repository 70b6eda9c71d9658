"""Bounds on speeds by interval arithmetic: sound, sharp where they can be, and honest where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.problem.hamiltonians.intervals import largest_magnitude_over

grid = hj.methods.grid
WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0]])

SHARP = {
    "wave": lambda p: -jnp.cos(3 * p[0] + p[1]),
    "quadratic form": lambda p: jnp.einsum("i...,ij,j...->...", p, WEIGHTS, p),
    "ramp": lambda p: jax.nn.relu(p[0]) ** 2 + jnp.abs(p[1]) / 2,
    "broken": lambda p: jnp.clip(p[0], -1, 1) + jnp.where(p[1] > 0.3, p[1], 2 * p[1]),
    "powers": lambda p: jnp.abs(p[0]) ** 1.5 + p[1] ** 3 / 3,
    "exponential": lambda p: jnp.exp(-p[0]) + jnp.cosh(p[1]) + jnp.tanh(p[1]),
    "logarithm": lambda p: jnp.log1p(jnp.exp(p[1])) + 0.0 * p[0],
    "product": lambda p: p[0] * jnp.sin(p[1]),
    "vmapped": lambda p: jax.vmap(lambda q: q[0] ** 2 - q[1] ** 2, in_axes=1)(p),
}
LOOSE = {
    "length": lambda p: jnp.sqrt(jnp.sum(p**2, axis=0)),
    "norm": lambda p: jnp.linalg.norm(p, axis=0),
    "relativistic": lambda p: jnp.sqrt(1 + jnp.sum(p**2, axis=0)),
    "log-sum-exp": lambda p: jax.nn.logsumexp(p, axis=0),
    "hypot": lambda p: jnp.hypot(p[0], p[1]),
    "rational": lambda p: p[0] / (2 + jnp.cos(p[1])),
    "root": lambda p: jax.lax.rsqrt(1 + p[0] ** 2) + jnp.logaddexp(p[0], p[1]),
}


def speeds(function, p):
    return jnp.abs(jax.grad(lambda q: jnp.sum(function(q)))(p))


@pytest.mark.parametrize("name", [*SHARP, *LOOSE])
def test_no_slope_in_the_box_is_faster_than_the_bound(name: str) -> None:
    function = (SHARP | LOOSE)[name]
    draw = np.random.default_rng(1)
    low = draw.uniform(-3, 2, (2, 40))
    high = low + draw.uniform(0, 0.5, (2, 40)) * (np.arange(40) > 3)  # and boxes that are single points
    found = largest_magnitude_over(lambda p: jax.grad(lambda q: jnp.sum(function(q)))(p), jnp.asarray(low), high)
    assert found is not None
    bound, finite = found
    inside = low[..., None] + draw.uniform(0, 1, (2, 40, 500)) * (high - low)[..., None]
    corners = np.stack([np.stack([a, b]) for a in (low[0], high[0]) for b in (low[1], high[1])], axis=-1)
    fastest = np.max(speeds(function, jnp.asarray(np.concatenate([inside, corners], axis=-1))), axis=-1)
    assert np.all(bound >= fastest * (1 - 1e-12) - 1e-12)  # rounding
    assert np.isfinite(bound).all() or not finite
    if name in SHARP:
        assert np.median(bound / np.maximum(fastest, 1e-9)) < 1.1
        np.testing.assert_allclose(bound[:, :4], fastest[:, :4], rtol=1e-9, atol=1e-9)  # single points


def test_samples_miss_what_the_bound_sees() -> None:
    """H = −cos(πp)/π is as fast as 1 between p = −1 and 1, where its speed at the ends and in the middle is 0."""
    hamiltonian = hj.hamiltonians.Custom(lambda t, x, p: -jnp.cos(np.pi * p[0]) / np.pi)
    box = jnp.asarray([-1.0]), jnp.asarray([1.0])
    np.testing.assert_allclose(hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros(1), *box), [1.0], rtol=1e-12)

    tent = lambda x: jnp.abs(jnp.mod(x[0] + 1, 2) - 1)
    problem = hj.Problem(hamiltonian, 0.0, hj.initials.Custom(tent), hj.Torus([-1.0], [1.0]), 0.4)
    method = grid.FiniteDifference(
        400, derivative=grid.derivatives.Upwind(), flux=grid.fluxes.GlobalLaxFriedrichs(),
        stepper=grid.steppers.ForwardEuler(),
    )  # fmt: skip
    found = hj.solve(problem, method, [0.4])
    godunov = _godunov(400, 0.4)
    assert np.abs(np.asarray(found.u[0]) - godunov).max() < 0.02  # both of first order with kinks


def _godunov(n: int, t: float) -> np.ndarray:
    """Godunov's monotone scheme in NumPy: H is extreme over slopes at the ends and where H' = 0, at −1, 0 and 1."""
    energy = lambda p: -np.cos(np.pi * p) / np.pi
    u, steps = np.abs(np.mod(2 / n * np.arange(n), 2) - 1), round(t * n)
    for _ in range(steps):
        minus = (u - np.roll(u, 1)) * n / 2
        plus = np.roll(minus, -1)
        low, high = np.minimum(minus, plus), np.maximum(minus, plus)
        values = [energy(low), energy(high)]
        values += [np.where((low < p) & (p < high), energy(p), values[0]) for p in (-1.0, 0.0, 1.0)]
        u = u - t / steps * np.where(minus <= plus, np.min(values, axis=0), np.max(values, axis=0))
    return u


def test_a_function_with_a_loop_is_sampled_with_a_warning() -> None:
    def looped(t, x, p):
        return jax.lax.fori_loop(0, 3, lambda k, a: a * p[0], jnp.ones_like(p[0]))

    hamiltonian = hj.hamiltonians.Custom(lambda t, x, p: looped(t, x, p))
    with pytest.warns(hj.HJWarning, match="give `bound"):
        bound = hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros(1), jnp.asarray([-1.0]), jnp.asarray([2.0]))
    np.testing.assert_allclose(bound, [1.1 * 12.0])
    given = hj.hamiltonians.Custom(looped, bound=lambda t, x, low, high: 3 * jnp.maximum(low**2, high**2))
    np.testing.assert_allclose(given.speed_bound(0.0, jnp.zeros(1), jnp.asarray([-1.0]), jnp.asarray([2.0])), [12.0])


def test_where_the_bound_is_infinite_samples_take_its_place() -> None:
    """The direction p/|p| on a box around 0."""
    hamiltonian = hj.hamiltonians.Custom(lambda t, x, p: jnp.linalg.norm(p, axis=0))
    box = jnp.asarray([[-1.0, 1.0], [-1.0, 0.5]]), jnp.asarray([[1.0, 2.0], [2.0, 0.7]])
    bound = np.asarray(hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros((2, 2)), *box))
    fastest = np.array([[1.0, 2 / np.hypot(2, 0.5)], [1.0, 0.7 / np.hypot(1, 0.7)]])
    assert np.all(bound > 0.95 * fastest) and np.all(bound < 1.5 * fastest)  # the samples' estimates


def test_a_divisor_that_comes_near_zero_in_a_coarse_box() -> None:
    """Buckley and Leverett's flux: p²/(p² + (1 − p)²/4), 2.3 times as fast as p at most, 0 at the ends of [−3, 3]."""
    hamiltonian = hj.hamiltonians.Custom(lambda t, x, p: p[0] ** 2 / (p[0] ** 2 + 0.25 * (1 - p[0]) ** 2))
    p = jnp.linspace(-3, 3, 2001)[None]
    fastest = np.abs(hamiltonian.velocity(jnp.zeros(()), jnp.zeros_like(p), p)).max()
    box = jnp.asarray([-3.0]), jnp.asarray([3.0])
    single = float(hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros(1), *box)[0])
    assert fastest <= single < 4 * fastest
    low = jnp.asarray([[-3.0, -0.2, 0.2]])
    many = hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros((1, 3)), low, jnp.asarray([[3.0, 0.3, 0.25]]))
    assert many[0, 0] == pytest.approx(single) and np.all(many <= single * (1 + 1e-12))


def test_one_of_several_branches() -> None:
    """`jnp.select` on places, nested `jnp.where` on slopes."""
    by_place = lambda t, x, p: jnp.select([x[0] < 0.3, x[0] < 0.6], [p[0] ** 2, jnp.abs(p[0])], 5 * p[0])
    x, low, high = jnp.asarray([[0.1, 0.5, 0.9]]), jnp.full((1, 3), -1.0), jnp.full((1, 3), 2.0)
    found = hj.hamiltonians.Custom(by_place).speed_bound(jnp.zeros(()), x, low, high)
    np.testing.assert_allclose(found, [[4.0, 1.0, 5.0]], rtol=1e-12)
    by_slope = lambda t, x, p: jnp.where(p[0] < -2, 9 * p[0], jnp.where(p[0] < 0.5, jnp.abs(p[0]), p[0] ** 2))
    found = hj.hamiltonians.Custom(by_slope).speed_bound(jnp.zeros(()), x, low, jnp.asarray([[0.2, 1.0, 2.0]]))
    np.testing.assert_allclose(found, [[1.0, 2.0, 4.0]], rtol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda t, x, p: jnp.maximum(p[0], 5 * (p[1] - 1.16)),
        lambda t, x, p: jnp.maximum(p[1], p[2]) ** 2,
        lambda t, x, p: jnp.minimum(p[0], p[1]) * p[2],
    ],
)
def test_the_larger_of_two_slopes_is_bounded_without_sampling(function) -> None:
    """Its derivative divides by 1 or 2, which is no zero: in each of 100 boxes no speed of 400 slopes is beyond it."""
    hamiltonian, rng = hj.hamiltonians.Custom(function, dimension=3), np.random.default_rng(0)
    t, x = jnp.zeros(()), jnp.zeros((3, 400))
    speeds = jax.jit(lambda p: jnp.max(jnp.abs(hamiltonian.velocity(t, x, p)), axis=1))
    bound = jax.jit(lambda low, high: hamiltonian.speed_bound(t, x[:, 0], low, high))
    for _ in range(100):
        low, high = np.sort(rng.uniform(-2, 2, size=(2, 3)), axis=0)
        assert (speeds(rng.uniform(low, high, size=(400, 3)).T) <= bound(low, high) + 1e-12).all()
    np.testing.assert_allclose(bound(-np.ones(3), np.ones(3)) > 0, speeds(rng.uniform(-1, 1, (400, 3)).T) > 0)


def test_a_bound_in_a_direction_that_no_sample_moves_in_is_kept() -> None:
    """1/(2 + p₀ sin p₀) divides by an interval; what max adds along p₁ is seen by no corner of the box."""
    function = lambda t, x, p: p[0] / (2 + p[0] * jnp.sin(p[0])) + 5 * jnp.maximum(0.05 - jnp.abs(p[1] - 0.51), 0.0)
    hamiltonian = hj.hamiltonians.Custom(function, dimension=2)
    bound = hamiltonian.speed_bound(jnp.zeros(()), jnp.zeros(2), jnp.zeros(2), jnp.array([1.0, 1.0]))
    assert bound[1] >= 5
