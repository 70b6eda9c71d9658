"""One dimension: adaptive panels and the closed integral, against closed forms, mpmath and each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import hjsolve as hj
from hjsolve.methods.particle.rules.kinks import find_kinks

HopfCole = hj.methods.particle.HopfCole
rules = hj.methods.particle.rules
BOX = hj.Box([-2.0], [2.0])
TIMES = np.array([0.01, 0.3, 3.0])
X = np.concatenate([np.linspace(-2, 2, 19), [0.02]])[:, None]


def problem(initial, epsilon, c=1.0, domain=BOX, horizon=3.0) -> hj.Problem:
    return hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, initial, domain, horizon)


def shifted(a, x):
    return jnp.abs(x[0] - a)


def rough(x):
    """Slope jumps at −0.71 and 0.316, a curvature jump at 0.83, a smooth wave elsewhere."""
    y = x[0]
    lines = jnp.maximum(-2 * y - 2.2, jnp.minimum(0.7 * y - 0.283, -y + 0.2542396))
    return lines + 0.1 * jnp.sin(3 * y) + jnp.where(y > 0.83, 2 * (y - 0.83) ** 2, 0.0)


def blend(shares, frequency, planes, x):
    return shares @ jnp.stack([shifted(0.3172, x), rough(x), jnp.cos(frequency * x[0]), planes(x)])


def planes(epsilon: float, c: float) -> hj.exact.MultiShock:
    return hj.exact.MultiShock([[-2.0], [-0.5], [0.1], [1.0], [2.5]], [0.0, 0.3, 0.2, 0.3, -0.4], epsilon, c)


def blended(shares, epsilon: float, c: float = 1.0, times=TIMES, places=X, frequency: float = 2000.0) -> hj.Solution:
    """From a kink, rough data, fast waves or a minimum of planes: data of one type, compiled once."""
    smooth = planes(epsilon or 1.0, c).problem(BOX, 3.0).initial
    initial = hj.initials.Custom(eqx.Partial(blend, shares, np.asarray(frequency), smooth))
    return hj.solve(problem(initial, epsilon, c), HopfCole(), times, points=np.resize(places, (20, 1)))


KINK, ROUGH, WAVES, PLANES = np.eye(4)


@eqx.filter_jit
def on_all(exact, times, x):
    return jax.vmap(jax.vmap(jax.value_and_grad(exact, argnums=1), (None, 0)), (0, None))(times, x)


@pytest.mark.parametrize("c", [1.0, 0.4])
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 1e-2, 1e-3, 1e-5, 1e-8, 0.0])
def test_a_kink_off_the_nodes_uniformly_in_viscosity(epsilon: float, c: float) -> None:
    exact, a = hj.exact.AbsoluteValue(epsilon, c), 0.3172
    solution = blended(KINK, epsilon, c)
    u, slope = on_all(exact, jnp.asarray(TIMES), jnp.asarray(X - a))
    # the kink is found to 1e-13: nothing, until ε ~ 1e-8 makes the integrand as narrow as 1e-8 there
    np.testing.assert_allclose(solution.u, u, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(solution.gradient, slope, rtol=0, atol=1e-7 if epsilon < 1e-6 else 1e-9)
    assert solution.result == hj.RESULTS.successful


rough_all = jax.jit(jax.vmap(rough))


def rough_mp(y):
    lines = max(-2 * y - mpmath.mpf("2.2"), min(0.7 * y - 0.283, -y + mpmath.mpf("0.2542396")))
    return lines + mpmath.sin(3 * y) / 10 + (2 * (y - 0.83) ** 2 if y > 0.83 else 0)


KINKS = [-1.917 / 2.7, 0.5372396 / 1.7, 0.83]


@pytest.mark.parametrize("epsilon", [1.0, 1e-1, 1e-2, 1e-3])
def test_jumps_in_slope_and_curvature_against_mpmath(epsilon: float) -> None:
    c, places = 0.7, [-0.9, 0.1, 0.6, 1.4]
    solution = blended(ROUGH, epsilon, c, [0.05, 1.0, 3.0], places)
    for k, t in enumerate((0.05, 1.0)):
        for j, x in enumerate(places):
            # rtol in u; the reference is good to its 1e-12
            u, slope = by_mpmath(t, x, epsilon, c)
            np.testing.assert_allclose(solution.u[k, j], u, rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(solution.gradient[k, j, 0], slope, rtol=1e-7, atol=1e-8)


def by_mpmath(t, x, epsilon, c) -> tuple[float, float]:
    """−(ε/c) log of the integral and its slope, by Gauss-Legendre in mpmath between kinks and steps of a width."""
    samples = x + np.arange(-4000, 4001) / 500
    values = np.asarray(rough_all(samples[:, None])) + (x - samples) ** 2 / (4 * c * t)
    low = float(values.min())
    inside = [mpmath.mpf(y) for y in samples[values < low + 45 * epsilon / c][[0, -1]]]
    with mpmath.workdps(20):
        E = lambda y: rough_mp(y) + (x - y) ** 2 / (4 * mpmath.mpf(c) * t)
        step = mpmath.sqrt(2 * epsilon * t)
        count = int((inside[-1] - inside[0]) / step) + 2
        edges = [inside[0] - 0.002 + (inside[-1] - inside[0] + 0.004) * k / count for k in range(count + 1)]
        edges = sorted([*edges, *(b for b in KINKS if edges[0] < b < edges[-1])])
        w = lambda y: mpmath.exp(-c / mpmath.mpf(epsilon) * (E(y) - low))
        mass = mpmath.quad(w, edges, method="gauss-legendre", maxdegree=4)
        first = mpmath.quad(lambda y: w(y) * (x - y), edges, method="gauss-legendre", maxdegree=4)
        u = low - mpmath.mpf(epsilon) / c * mpmath.log(mass / mpmath.sqrt(4 * mpmath.pi * epsilon * t))
        return float(u), float(first / mass / (2 * c * t))


VALUES = np.random.default_rng(0).normal(size=12)


@pytest.mark.parametrize(
    "epsilon", [pytest.param(1.0, marks=pytest.mark.slow), 1e-2, pytest.param(1e-5, marks=pytest.mark.slow), 0.0]
)
def test_piecewise_linear_data_two_ways(epsilon: float) -> None:
    """The closed integral (the default) and the panels, which know nothing of each other."""
    initial = hj.initials.Gridded(VALUES, [-2.0], [2.0], order=1)
    p = problem(initial, epsilon, 0.7, horizon=1.0)
    closed = hj.solve(p, HopfCole(), [0.01, 1.0], points=X)
    panels = hj.solve(p, HopfCole(rule=rules.GaussPanels()), [0.01, 1.0], points=X)
    assert isinstance(HopfCole().rule_for(p), rules.PiecewiseLinear)
    np.testing.assert_allclose(panels.u, closed.u, rtol=0, atol=1e-11)
    np.testing.assert_allclose(panels.gradient, closed.gradient, rtol=0, atol=1e-8)


@pytest.mark.parametrize("epsilon", [1.0, 1e-2, 1e-4, 1e-7])
def test_smooth_minima_of_planes(epsilon: float) -> None:
    solution = blended(PLANES, epsilon, 0.6)
    u = on_all(planes(epsilon, 0.6), jnp.asarray(TIMES), jnp.asarray(X))[0]
    np.testing.assert_allclose(solution.u, u, rtol=1e-12, atol=1e-13)  # round-off of energies up to 20


def value(epsilon, c, a, t, x):
    p = problem(hj.initials.Custom(eqx.Partial(shifted, a)), epsilon, c)
    return hj.solve(p, HopfCole(), t[None], points=x[None, None]).u[0, 0]


@pytest.mark.slow
def test_derivatives_in_every_number_batched() -> None:
    """grad of vmap, ε = 0 in the same batch, against the derivatives of the closed form."""
    epsilons, (c, a, t, x) = jnp.array([0.0, 1e-3, 0.1]), map(jnp.asarray, (0.7, 0.3172, 0.4, 0.55))
    exact = lambda e, c, a, t, x: hj.exact.AbsoluteValue(e, c)(t, (x - a)[None])
    batch = jax.vmap(jax.value_and_grad(value, argnums=(0, 1, 2, 3, 4)), (0, None, None, None, None))
    u, slopes = jax.jit(batch)(epsilons, c, a, t, x)
    closed = jax.jit(jax.value_and_grad(exact, argnums=(0, 1, 2, 3, 4)))
    for k, epsilon in enumerate(epsilons):
        v, expected = closed(epsilon, c, a, t, x)
        np.testing.assert_allclose(u[k], v, rtol=1e-12)
        for name, mine, theirs in zip("ecatx", slopes, expected, strict=True):
            # at 0 the derivative in ε is one-sided, and a moves the kink that the minimiser sits on
            if epsilon > 0 or name not in "ea":
                np.testing.assert_allclose(mine[k], theirs, rtol=1e-7, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_float32() -> None:
    exact = hj.exact.AbsoluteValue(1e-3)
    with jax.enable_x64(False):
        solution = hj.solve(problem(hj.initials.Norm(), 1e-3), HopfCole(), TIMES, points=X)
        tiny = hj.solve(problem(hj.initials.Norm(), 1e-8), HopfCole(), TIMES, points=X)
    u, sharp = (on_all(e, jnp.asarray(TIMES), jnp.asarray(X))[0] for e in (exact, hj.exact.AbsoluteValue(0.0)))
    assert solution.u.dtype == np.float32
    np.testing.assert_allclose(solution.u, u, rtol=0, atol=3e-6)  # a few ulp of energies up to 2
    np.testing.assert_allclose(tiny.u, sharp, rtol=0, atol=3e-6)  # ε far below an ulp of the energies


def test_what_is_too_fine_is_flagged() -> None:
    with pytest.warns(hj.HJWarning, match="too coarse"):
        solution = blended(WAVES, 0.1)
    assert solution.stats["unresolved"][-1] > 1e-4


def test_kinks_are_found() -> None:
    @jax.jit
    def find(rough, smooth):
        steps = lambda y: jnp.abs(y - 0.3172) + jnp.maximum(y, 0.0) ** 2 + jnp.where(y > 1.234, 1e-3, 0.0)
        g = lambda y: rough * steps(y) + jnp.sin(3 * y) + smooth * y**3
        return find_kinks(g, jnp.asarray(-2.0), jnp.asarray(2.0), 16)

    place, real = find(1.0, 0.0)
    found = np.sort(np.asarray(place)[np.asarray(real)])
    assert len(found) == 3
    # a curvature jump is seen down to the cube root of round-off, a slope jump nearly to round-off
    np.testing.assert_allclose(found, [0.0, 0.3172, 1.234], rtol=0, atol=1e-5)
    np.testing.assert_allclose(found[1:], [0.3172, 1.234], rtol=0, atol=1e-12)
    assert not np.asarray(find(0.0, 1.0)[1]).any()


def test_more_waves_than_panels_may_be_bisected() -> None:
    """Every one of the shared panels holds waves: they are summed as they are, not dropped."""
    x, t = np.array([[-1.9], [0.0123], [1.3]]), 0.5
    y = np.linspace(-14, 14, 40001)
    weights = np.exp(-0.3 * np.cos(40 * y) - (x - y) ** 2 / (4 * t)) * (y[1] - y[0]) / np.sqrt(4 * np.pi * t)
    u = blended(0.3 * WAVES, 1.0, times=[0.1, 0.3, t], places=x, frequency=40.0).u[2, :3]
    np.testing.assert_allclose(u, -np.log(weights.sum(1)), rtol=0, atol=1e-12)
