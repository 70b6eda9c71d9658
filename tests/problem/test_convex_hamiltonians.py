"""Proximal maps and Lagrangians against SciPy's optimisers, which know nothing of the closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize

import hjsolve as hj
from hjsolve.problem.hamiltonians.base import Proximable
from hjsolve.problem.hamiltonians.convexity import is_convex
from hjsolve.problem.hamiltonians.polyhedral import project_simplex

H = hj.hamiltonians
RNG = np.random.default_rng(3)
W = np.array([0.5, 1.0, 2.0])
SLOPES, OFFSETS = RNG.normal(size=(7, 2)), RNG.normal(size=7)
INF = float("inf")
SETS = {
    "box": (H.Norm(1, 1.3, W), [lambda v, i=i, s=s: 1.3 * W[i] + s * v[i] for i in range(3) for s in (-1, 1)]),
    "ellipsoid": (H.Norm(2, 1.3, W), [lambda v: 1.3**2 - ((v / W) ** 2).sum()]),
    "cross-polytope": (
        H.Norm(INF, 1.3, W),
        [lambda v, s=s: 1.3 - (s * v / W).sum() for s in np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)],
    ),
    "ball": (H.Eikonal(0.8), [lambda v: 0.8**2 - (v**2).sum()]),
}


@pytest.mark.parametrize("name", sorted(SETS))
@pytest.mark.parametrize("size", [0.3, 1.5, 30.0])
def test_projections_onto_the_set_of_velocities(name: str, size: float) -> None:
    hamiltonian, constraints = SETS[name]
    for v in size * RNG.normal(size=(3, 3)):
        w, cost = hamiltonian.proximal(jnp.asarray(v), 0.37)
        best = minimize(
            lambda w, v=v: 0.5 * ((w - v) ** 2).sum(),
            np.zeros(3),
            jac=lambda w, v=v: w - v,
            constraints=[{"type": "ineq", "fun": c} for c in constraints],
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        assert cost == 0.0
        # SLSQP ends within about the root of its tolerance
        np.testing.assert_allclose(w, best.x, rtol=0, atol=2e-7 * (1 + size))
        assert min(c(np.asarray(w)) for c in constraints) > -1e-14  # inside, to round-off


@pytest.mark.parametrize(
    "hamiltonian",
    [
        H.Quadratic(0.7),
        H.Power(0.4, 1.5),
        H.Power(1.3, 3.0),
        H.Power(0.2, 8.0),
        H.ConvexSeparable(lambda q: 0.5 * (q + 1) ** 2),
        H.ConvexSeparable((jnp.cosh, lambda q: q**4 + q)),
    ],
    ids=["quadratic", "power 3/2", "power 3", "power 8", "shifted", "two terms"],
)
@pytest.mark.parametrize("step", [0.01, 1.0, 40.0])
def test_proximal_maps_of_smooth_lagrangians(hamiltonian: hj.hamiltonians.AbstractConvexHamiltonian, step: float):
    v = jnp.asarray(3 * RNG.normal(size=(2, 20)))
    w, cost = hamiltonian.proximal(v, step)
    np.testing.assert_allclose(cost, hamiltonian.lagrangian(0.0, w, w), rtol=1e-11, atol=1e-13)
    # stationary: q = (v − w)/step is the slope of L at w, so that ∂H/∂p(q) = w
    slopes = (v - w) / step
    # the difference v − w cancels where step is small: an ulp of 10 over 0.01
    np.testing.assert_allclose(hamiltonian.velocity(0.0, w, slopes), w, rtol=1e-9, atol=1e-9)


def test_lagrangian_of_a_convex_separable_hamiltonian() -> None:
    h = H.ConvexSeparable(lambda q: 0.5 * (q + 1) ** 2)
    v = jnp.asarray(RNG.normal(size=(3, 5)))
    np.testing.assert_allclose(h.lagrangian(0.0, v, v), (0.5 * v**2 - v).sum(0), rtol=0, atol=1e-13)
    bounded = H.ConvexSeparable(lambda q: jnp.sqrt(1 + q**2))  # speeds below 1: L(v) = −√(1 − v²)
    v = jnp.array([[0.6, 1.5]])
    np.testing.assert_allclose(bounded.lagrangian(0.0, v, v), [-0.8, np.inf], rtol=1e-12)
    lo, hi = jnp.array([-2.0]), jnp.array([0.5])
    np.testing.assert_allclose(bounded.speed_bound(0.0, lo, lo, hi), [2 / np.sqrt(5)], rtol=1e-14)


def test_polyhedral_lagrangian_against_linear_programming() -> None:
    h = H.Polyhedral(SLOPES, OFFSETS)
    shares = RNG.dirichlet(np.ones(7), size=20)
    inside, outside = SLOPES.T @ shares.T, 10 * SLOPES[:2].T
    found = h.lagrangian(0.0, inside, jnp.asarray(inside))
    for v, value in zip(inside.T, found, strict=True):
        best = linprog(-OFFSETS, A_eq=np.vstack([SLOPES.T, np.ones(7)]), b_eq=np.append(v, 1.0))
        np.testing.assert_allclose(value, best.fun, rtol=0, atol=1e-9)  # the solver's own tolerance
    np.testing.assert_array_equal(h.lagrangian(0.0, outside, jnp.asarray(outside)), np.inf)
    vertex = jnp.asarray(SLOPES[:1].T)
    assert np.isfinite(h.lagrangian(0.0, vertex, vertex)).all()


def test_polyhedral_norms_equal_the_norms() -> None:
    signs = np.stack(np.meshgrid([-1, 1], [-1, 1]), -1).reshape(-1, 2)
    p = jnp.asarray(RNG.normal(size=(2, 4, 5)))
    for polyhedral, norm in (
        (H.Polyhedral(1.5 * signs), H.Norm(1, 1.5)),
        (H.Polyhedral(np.concatenate([1.5 * np.eye(2), -1.5 * np.eye(2)])), H.Norm(INF, 1.5)),
    ):
        np.testing.assert_allclose(polyhedral(0.0, p, p), norm(0.0, p, p), rtol=1e-14)
        np.testing.assert_allclose(polyhedral.velocity(0.0, p, p), norm.velocity(0.0, p, p), rtol=1e-13)
        v = jnp.asarray([[0.3, 1.4, 1.6], [0.2, -0.05, 0.0]])
        np.testing.assert_array_equal(polyhedral.lagrangian(0.0, v, v) < 1, norm.lagrangian(0.0, v, v) < 1)


@pytest.mark.parametrize(
    "hamiltonian",
    [H.Norm(1, 1.3, W[:2]), H.Norm(2, 1.3, W[:2]), H.Norm(INF, 1.3, W[:2]), H.Polyhedral(SLOPES, OFFSETS)],
    ids=["1", "2", "inf", "polyhedral"],
)
def test_values_velocities_and_speed_bounds(hamiltonian) -> None:
    x, p = jnp.asarray(RNG.normal(size=(2, 60))), jnp.asarray(RNG.normal(size=(2, 60)))
    if isinstance(hamiltonian, H.Norm):
        weighted = W[:2, None] * np.asarray(p)
        expected = 1.3 * np.linalg.norm(weighted, hamiltonian.order, axis=0)
    else:
        expected = (SLOPES @ np.asarray(p) + OFFSETS[:, None]).max(0)
    np.testing.assert_allclose(hamiltonian(0.0, x, p), expected, rtol=1e-13)
    slope = jax.grad(lambda q: jnp.sum(hamiltonian(0.0, x, q)))(p)
    np.testing.assert_allclose(hamiltonian.velocity(0.0, x, p), slope, rtol=1e-12, atol=1e-14)
    assert np.isfinite(jax.grad(lambda q: jnp.sum(hamiltonian(0.0, x, q)))(0 * p)).all()
    lo, hi = np.array([-0.3, 0.15]), np.array([0.4, 0.6])
    inside = lo[:, None] + np.stack(np.meshgrid(np.linspace(0, 1, 81), np.linspace(0, 1, 81))).reshape(2, -1) * (
        hi - lo
    ).reshape(2, 1)
    speeds = np.abs(hamiltonian.velocity(0.0, inside, jnp.asarray(inside))).max(1)
    bound = np.asarray(hamiltonian.speed_bound(0.0, lo, jnp.asarray(lo), jnp.asarray(hi)))
    assert (bound >= speeds * (1 - 1e-12)).all()
    if not isinstance(hamiltonian, H.Polyhedral):
        assert (bound <= speeds * (1 + 1e-3)).all()  # attained, where the samples miss p_1 = 0 by 4e-3


def test_projection_onto_the_simplex() -> None:
    for weights in RNG.normal(size=(5, 6)):
        found = np.asarray(project_simplex(jnp.asarray(weights)))
        assert found.min() >= 0
        np.testing.assert_allclose(found.sum(), 1.0, rtol=1e-14)
        # optimal: the residual is constant on the support and no larger off it
        rest = weights - found
        assert rest[found > 0].max() - rest[found > 0].min() < 1e-14
        assert rest.max() <= rest[found > 0].min() + 1e-14


def test_what_is_known_to_be_convex() -> None:
    assert is_convex(H.WithPotential(H.WithDrift(H.Norm(1), lambda t, x: x), lambda x: x[0]))
    assert is_convex(H.Polyhedral(SLOPES))
    assert not is_convex(H.Separable(jnp.cos))
    assert not is_convex(H.WithSource(H.Custom(lambda t, x, p: p[0]), lambda t: t))
    assert isinstance(H.Norm(1), Proximable)
    assert not isinstance(H.Linear([1.0]), Proximable)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: H.Norm(3), r"`order` must be 1, 2 or inf; got 3\. Use Power"),
        (lambda: H.Norm(1, -1.0), r"`c` must be > 0; got -1\.0"),
        (lambda: H.Norm(1, 1.0, [1.0, 0.0]), r"`weights` must be > 0"),
        (lambda: H.Norm(1, 1.0, np.ones((2, 2))), r"`weights` must have shape \[\] or \[d\]"),
        (lambda: H.Norm(1, 1.0, W)(0.0, jnp.zeros(2), jnp.zeros(2)), r"`weights` has 3 components but p has 2"),
        (lambda: H.Polyhedral([1.0, 2.0]), r"`slopes` must have shape \[K, d\]; got \(2,\)"),
        (lambda: H.Polyhedral(SLOPES, [1.0]), r"`offsets` must have shape \[\] or \[K\] = \(7,\); got \(1,\)"),
        (lambda: H.Polyhedral(SLOPES)(0.0, jnp.zeros(3), jnp.zeros(3)), r"`slopes` has 2 components but p has 3"),
        (
            lambda: H.Polyhedral(np.ones((60, 4))).lagrangian(0.0, jnp.zeros(4), jnp.zeros(4)),
            r"compares 5461512 simplices of slopes, more than 20000",
        ),
        (lambda: H.ConvexSeparable(()), r"`terms` must hold at least one function"),
        (
            lambda: H.ConvexSeparable((jnp.cosh,))(0.0, jnp.zeros(2), jnp.zeros(2)),
            r"`terms` holds 1 functions but p has 2",
        ),
    ],
)
def test_bad_parameters_are_refused(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_float32_and_traced_parameters() -> None:
    with jax.enable_x64(False):
        v = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32)
        for hamiltonian in (H.Power(0.7, 3.0), H.Norm(2, 1.3, W), H.Norm(INF, 1.3, W)):
            moved, cost = eqx.tree_at(lambda h: h.c, hamiltonian, jnp.float32(0.3)).proximal(v, jnp.float32(0.5))
            assert moved.dtype == cost.dtype == jnp.float32
            assert np.isfinite(moved).all()
    slope = jax.grad(lambda c: jnp.sum(H.Power(c, 3.0).proximal(jnp.ones(3), 0.5)[0]))(0.7)
    assert np.isfinite(slope)
