"""The time loop: saving, step control, failure, differentiation, batching, compilation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hjsolve as hj

FD = hj.methods.grid.FiniteDifference
rules = hj.methods.grid.step_rules
HopfCole = hj.methods.particle.HopfCole
TORUS = hj.Torus([-1.0], [1.0])
METHOD = FD(24)


def problem(epsilon=0.05, c=0.5, amplitude=-1.0, horizon=0.2) -> hj.Problem:
    return hj.Problem(hj.hamiltonians.Quadratic(c), epsilon, hj.initials.Cosine(amplitude, np.pi), TORUS, horizon)


@pytest.fixture(scope="module")
def plain() -> hj.Solution:
    return hj.solve(problem(), METHOD, [0.0, 0.1, 0.2])


def test_time_zero_saves_the_data(plain: hj.Solution) -> None:
    x = np.asarray(plain.points)[:, 0]
    np.testing.assert_allclose(x, -1 + np.arange(24) / 12, rtol=0, atol=1e-15)
    np.testing.assert_allclose(plain.u[0], -np.cos(np.pi * x), rtol=0, atol=1e-15)
    np.testing.assert_allclose(plain.gradient[0, :, 0], np.pi * np.sin(np.pi * x), rtol=0, atol=2e-3)  # (π/12)^5
    assert plain.result == hj.RESULTS.successful
    assert set(plain.stats) >= {"steps", "start", "cfl", "smallest_dt", "largest_dt", "seconds", "compile_seconds"}
    assert 0 < plain.stats["smallest_dt"] <= plain.stats["largest_dt"]


def test_saving_more_often_changes_nothing_beyond_the_steps_own_error(plain: hj.Solution) -> None:
    often = hj.solve(problem(), METHOD, np.linspace(0.01, 0.2, 20))
    # other steps, so another time error, O(Δt³) with Δt ~ 0.01 and derivatives of order π³ on 24 nodes
    np.testing.assert_allclose(often.u[-1], plain.u[-1], rtol=0, atol=2e-4)
    np.testing.assert_allclose(often.u[9], plain.u[1], rtol=0, atol=2e-4)


def test_new_values_never_recompile(plain: hj.Solution) -> None:
    for p in (
        problem(epsilon=0.11),
        problem(c=0.8),
        problem(horizon=0.3),
        problem(amplitude=0.7),
        problem(epsilon=0.0),
    ):
        again = hj.solve(p, METHOD, [0.0, 0.05, 0.15])
        assert again.stats["compile_seconds"] == 0.0
        assert not np.array_equal(again.u[-1], plain.u[-1])
    points = np.array([[0.3]])
    hj.solve(problem(), HopfCole(nodes=64), [0.1], points=points)
    assert hj.solve(problem(0.2, 0.7), HopfCole(nodes=64), [0.2], points=points).stats["compile_seconds"] == 0.0


@eqx.filter_jit
def final(epsilon, c, amplitude, horizon):
    return hj.solve(problem(epsilon, c, amplitude, horizon), METHOD, [0.1], max_steps=64, checkpoints=16).u[-1]


def test_reverse_mode_gradients_against_differences() -> None:
    weights = jnp.asarray(np.random.default_rng(0).normal(size=24))
    f = eqx.filter_jit(lambda *a: final(*a) @ weights)
    args = (0.05, 0.5, -1.0, 0.2)
    gradients = jax.jit(jax.grad(f, argnums=(0, 1, 2)))(*args)
    for k in range(3):
        step = 1e-5 * np.eye(4)[k]
        difference = (f(*(args + step)) - f(*(args - step))) / 2e-5
        # differences: 1e-10 of curvature, 1e-11 of round-off; the step size itself is differentiated too
        np.testing.assert_allclose(gradients[k], difference, rtol=1e-5, atol=1e-8)


def test_vmap_over_viscosity_equals_a_loop() -> None:
    epsilons = np.array([0.0, 0.02, 0.2])
    batch = eqx.filter_vmap(lambda e: final(e, 0.5, -1.0, 0.2))(epsilons)
    for row, epsilon in zip(batch, epsilons, strict=True):
        np.testing.assert_allclose(row, final(epsilon, 0.5, -1.0, 0.2), rtol=0, atol=1e-12)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31), epsilon=st.sampled_from([0.0, 1e-3, 0.1, 3.0]), size=st.sampled_from([1e-3, 1.0, 30.0])
)
def test_stable_from_random_smooth_data(seed: int, epsilon: float, size: float) -> None:
    """Never NaN, and the maximum principle up to the small overshoot that WENO5 allows."""
    rng = np.random.default_rng(seed)
    modes = size * rng.normal(size=(2, 4)) / np.arange(1, 5) ** 2
    solution = hj.solve(random_problem(modes, epsilon), FD(32), [1e-3, 0.1])
    assert solution.result == hj.RESULTS.successful
    start = np.asarray(jax.vmap(solution.problem.initial)(solution.points))
    # H = |p|² >= 0 is 0 at extrema: u falls below the maximum and stays above the minimum
    overshoot = 0.02 * np.ptp(start)
    assert (solution.u <= start.max() + overshoot).all()
    assert (solution.u >= start.min() - overshoot).all()


def waves(modes, x):
    k = jnp.pi * jnp.arange(1, 5)
    return modes[0] @ jnp.cos(k * x[0]) + modes[1] @ jnp.sin(k * x[0])


def random_problem(modes: np.ndarray, epsilon: float) -> hj.Problem:
    initial = hj.initials.Custom(eqx.Partial(waves, modes))
    return hj.Problem(hj.hamiltonians.Quadratic(), epsilon, initial, TORUS, 0.1)


def test_an_unstable_step_ends_as_nonfinite_with_advice() -> None:
    unstable = FD(64, step_rule=rules.Fixed(0.05))
    p = problem(epsilon=1.0, horizon=20.0)
    solution = hj.solve(p, unstable, [20.0], throw=False)
    assert solution.result == hj.RESULTS.nonfinite
    assert solution.stats["steps"] < 400  # it stopped where it broke
    assert 0 < solution.stats["reached"] < 20
    assert np.isfinite(solution.u).all() and np.abs(solution.u).max() > 1e30  # the last good state
    said = r"FiniteDifference did not finish: .*NaN or infinite.*CFL.* step \d+, at t = .*steepest, .* at x = \("
    with pytest.raises(RuntimeError, match=said):
        hj.solve(p, unstable, [20.0])


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        (r"step 1, at t = 0: `initial` is nan at x = \(-1\)", {"initial": hj.initials.Custom(lambda x: jnp.log(x[0]))}),
        (
            r"at t = 0\.\d+: `hamiltonian` is nan for \|∇u\| = .* at x = \(0\.5\)",
            {
                "hamiltonian": hj.hamiltonians.Custom(
                    lambda t, x, p: jnp.where((t > 0.2) & (x[0] > 0.49), jnp.nan, p[0])
                )
            },
        ),
        (
            r"at t = 0: `viscosity` is inf at x = \(0\.75\)",
            {"viscosity": hj.viscosities.Varying(lambda t, x: jnp.where(x[0] > 0.74, jnp.inf, 0.01))},
        ),
    ],
    ids=["data", "Hamiltonian", "viscosity"],
)
def test_functions_that_are_not_finite_are_named_with_the_place(said: str, parts: dict[str, object]) -> None:
    defaults = {"hamiltonian": hj.hamiltonians.Quadratic(), "viscosity": 0.0, "initial": hj.initials.Cosine(1.0, np.pi)}
    p = hj.Problem(**(defaults | parts), domain=TORUS, horizon=1.0)
    with pytest.raises(RuntimeError, match=said):
        hj.solve(p, METHOD, [0.5])


def test_the_step_limit_ends_with_advice() -> None:
    solution = hj.solve(problem(), METHOD, [0.1, 0.2], max_steps=3, throw=False)
    assert solution.result == hj.RESULTS.max_steps_reached
    assert solution.stats["steps"] == 3
    with pytest.raises(RuntimeError, match=r"step limit was reached.*Raise `max_steps`"):
        hj.solve(problem(), METHOD, [0.1, 0.2], max_steps=3)


def test_a_vanishing_step_ends_with_advice() -> None:
    fast = hj.hamiltonians.Custom(lambda t, x, p: 1e18 * p[0], bound=lambda t, x, lo, hi: jnp.full_like(lo, 1e18))
    p = hj.Problem(fast, 0.0, hj.initials.Cosine(1.0, np.pi), TORUS, 1.0)
    solution = hj.solve(p, METHOD, [1.0], throw=False)
    assert solution.result == hj.RESULTS.step_underflow
    assert solution.stats["steps"] == 1


def test_data_that_are_not_finite_are_seen() -> None:
    p = hj.Problem(hj.hamiltonians.Quadratic(), 0.1, hj.initials.Custom(lambda x: jnp.log(x[0])), TORUS, 1.0)
    assert hj.solve(p, METHOD, [0.0], throw=False).result == hj.RESULTS.nonfinite


def test_fixed_and_power_law_steps() -> None:
    solution = hj.solve(problem(), FD(24, step_rule=rules.Fixed(0.004)), [0.2])
    assert solution.stats["steps"] == 50
    np.testing.assert_allclose(solution.stats["largest_dt"], 0.004, rtol=1e-10)
    often = hj.solve(problem(), FD(24, step_rule=rules.Fixed(0.004)), np.linspace(0.02, 0.2, 10))
    np.testing.assert_allclose(often.u[-1], solution.u[0], rtol=0, atol=1e-12)  # the same steps, saved on the way
    rule = rules.PowerLaw(0.5, 5 / 3)
    np.testing.assert_allclose(rule(0.1, 1 / 64) / rule(0.05, 1 / 128), 2 ** (5 / 3), rtol=1e-13)
    np.testing.assert_allclose(rule(0.1, 0.25), 0.05, rtol=1e-14)
    np.testing.assert_allclose(rules.CFL(0.3)(0.1, 0.01), 0.03, rtol=1e-14)


def test_steps_obey_the_courant_number() -> None:
    """Advection at speed 2 on Δx = 1/16 with number 0.4: Δt <= 0.4/32, in equal steps to the target."""
    p = hj.Problem(hj.hamiltonians.Linear([2.0]), 0.0, hj.initials.Cosine(1.0, np.pi), TORUS, 1.0)
    stats = hj.solve(p, FD(32, step_rule=rules.CFL(0.4)), [0.5]).stats
    assert stats["steps"] == 40
    np.testing.assert_allclose([stats["smallest_dt"], stats["largest_dt"]], 0.0125, rtol=1e-9)
    uneven = hj.solve(p, FD(32, step_rule=rules.CFL(0.4)), [0.51]).stats
    assert uneven["steps"] == 41
    np.testing.assert_allclose(uneven["smallest_dt"], uneven["largest_dt"], rtol=1e-9)  # no sliver at the end


def test_progress_is_reported() -> None:
    seen: list[float] = []
    hj.solve(problem(epsilon=1.0), FD(64), [0.2], progress=seen.append)
    jax.effects_barrier()
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] <= 1.0


def test_float32_runs_in_float32(plain: hj.Solution) -> None:
    with jax.enable_x64(False):
        solution = hj.solve(problem(), METHOD, [0.0, 0.1, 0.2])
    assert solution.u.dtype == solution.gradient.dtype == np.float32
    # 30 steps of round-off 1e-7 in slopes of size π over Δx = 1/12
    np.testing.assert_allclose(solution.u, plain.u, rtol=0, atol=2e-5)


ATOMS = hj.Problem(
    hj.hamiltonians.Quadratic(), 0.1, hj.initials.Atoms([[0.0], [0.5]], [0.0, 0.1]), hj.Box([-2.0], [2.0]), 1.0
)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: hj.solve(problem(), METHOD, []), r"`ts` must be a list of at least one time; got shape \(0,\)"),
        (lambda: hj.solve(problem(), METHOD, 0.1), r"`ts` must be a list.*got shape \(\)\. Write \[0\.5\]"),
        (lambda: hj.solve("problem", METHOD, [0.1]), r"`problem` must be an hj\.Problem; got 'problem'\. Build one"),
        (lambda: hj.solve(problem(), METHOD, [-0.1, 0.1]), r"`ts` must be >= 0; got \[-0\.1, 0\.1\]"),
        (lambda: hj.solve(problem(), METHOD, [0.1, 0.1]), r"`ts` must increase strictly; got \[0\.1, 0\.1\].*Sort"),
        (lambda: hj.solve(problem(), METHOD, [0.2, 0.1]), r"`ts` must increase strictly"),
        (lambda: hj.solve(problem(), METHOD, [0.1, 0.21]), r"`ts` must end within the horizon 0\.2; got 0\.21.*Raise"),
        (lambda: hj.solve(problem(), METHOD, [np.nan]), r"`ts` must not contain NaN"),
        (
            lambda: hj.solve(problem(), METHOD, [0.1], points=[0.0, 0.1]),
            r"`points` must have shape \[m, 1\].*\(2,\).*None",
        ),
        (
            lambda: hj.solve(problem(), METHOD, [0.1], points=np.zeros((3, 2))),
            r"`points` must have shape \[m, 1\].*\(3, 2\)",
        ),
        (lambda: hj.solve(problem(), METHOD, [0.1], points=np.zeros((0, 1))), r"`points` must have shape.*m >= 1"),
        (lambda: hj.solve(problem(), METHOD, [0.1], points=[[np.nan]]), r"`points` must not contain NaN"),
        (lambda: hj.solve(problem(), METHOD, [0.1], points=[[np.inf]]), r"`points` must be finite.*Remove"),
        (lambda: hj.solve(problem(), METHOD, [0.1], max_steps=0), r"`max_steps` must be a whole number >= 1; got 0"),
        (
            lambda: hj.solve(problem(), METHOD, [0.1], max_steps="a"),
            r"`max_steps` must be a whole number >= 1; got 'a'",
        ),
        (lambda: hj.solve(problem(), METHOD, [0.1], key=3), r"`key` must be a random key of JAX; got 3.*random.key"),
        (lambda: FD(5), r"`cells` must be >= 6 for WENO5; got 5"),
        (lambda: FD(20.5), r"`cells` must be a whole number, or a list of one per axis; got 20\.5"),
        (
            lambda: hj.solve(problem(), FD((24, 24)), [0.1]),
            r"`cells` must have one entry per axis \(1\); got \(24, 24\)",
        ),
        (lambda: rules.CFL(1.2), r"`number` must be <= 1; got 1.2.*unstable"),
        (lambda: rules.CFL(0.0), r"`number` must be > 0; got 0\.0"),
        (lambda: rules.PowerLaw(0.5, 0.5), r"`exponent` must be >= 1; got 0\.5"),
        (lambda: rules.Fixed(-0.1), r"`dt` must be > 0; got -0\.1"),
        (lambda: FD(24, start=0.0), r"`start` must be > 0; got 0\.0"),
        (lambda: hj.solve(problem(), FD(24, start=0.1), [0.2]), r"`start` is for Atoms alone"),
        (lambda: hj.solve(ATOMS, FD(24, start=1.5), [1.0]), r"`start` must be below the horizon 1\.0; got 1\.5"),
        (lambda: hj.solve(ATOMS, FD(24), [0.05, 1.0]), r"`ts` must not begin before the start time 0\.1.*got 0\.05"),
        (
            lambda: hj.solve(ATOMS, FD(24), [1.0], points=[[3.0]]),
            r"`points` must lie in the domain.*1 of 1 are outside",
        ),
        (lambda: FD(24, step_rule={}), r"`step_rule` must be an instance of a class in hj.methods.grid.step_rules"),
        (lambda: hj.solve(problem(), "euler", [0.1]), r"`method` must be"),
        (lambda: hj.solve(problem(), FD, [0.1]), r"`method` must be.*write FiniteDifference\(\.\.\.\)"),
    ],
)
def test_bad_input_is_refused_before_any_work(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()
