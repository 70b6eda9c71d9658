import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

fluxes = hj.methods.grid.fluxes
H = hj.hamiltonians
SlopeRange = fluxes.SlopeRange
RNG = np.random.default_rng(0)
X, MINUS, PLUS = RNG.normal(size=(3, 2, 200))
FAMILY = [fluxes.GlobalLaxFriedrichs(), fluxes.LocalLaxFriedrichs(), fluxes.LocalLocalLaxFriedrichs()]
SHARP = [fluxes.Godunov(), fluxes.EngquistOsher(), fluxes.Roe()]
UNIMODAL = {
    "quadratic": H.Quadratic(0.7),
    "eikonal": H.Eikonal(1.3),
    "norm 1": H.Norm(1, 1.2, [1.0, 2.0]),
    "norm 2": H.Norm(2, 1.0, [1.0, 2.0]),
    "norm inf": H.Norm(np.inf),
    "power 1.5": H.Power(1.0, 1.5),
    "linear": H.Linear([1.0, -2.0]),
    "separable": H.ConvexSeparable([lambda p: jnp.cosh(p - 0.3), lambda p: 0.5 * p**2 + p]),
    "drift": H.WithDrift(H.Quadratic(0.5), lambda t, x: jnp.stack([jnp.sin(x[0]), -jnp.ones_like(x[1])])),
    "potential": H.WithPotential(H.Eikonal(), lambda x: jnp.sum(x**2, axis=0)),
    "source": H.WithSource(H.Quadratic(), lambda t: 1.0 + t),
}


def numerical(flux, hamiltonian, t, x, p_minus, p_plus):
    """Ĥ with the range of all the slopes given."""
    both = np.concatenate([p_minus, p_plus], axis=1)
    slopes = SlopeRange(jnp.asarray(both.min(axis=1)), jnp.asarray(both.max(axis=1)))
    sides = fluxes.Slopes(jnp.asarray(p_minus), jnp.asarray(p_plus), slopes)
    return np.asarray(flux(hamiltonian, t, jnp.asarray(x), sides))


def knows(flux, hamiltonian) -> bool:
    try:
        flux.check(hamiltonian)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("flux", [*FAMILY, *SHARP], ids=lambda f: type(f).__name__)
def test_consistent(flux) -> None:
    for hamiltonian in UNIMODAL.values():
        if not knows(flux, hamiltonian):
            continue
        expected = hamiltonian(0.2, X, jnp.asarray(MINUS))
        found = numerical(flux, hamiltonian, 0.2, X, MINUS, MINUS)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


def extremes(hamiltonian, count: int = 301) -> np.ndarray:
    """ext_{p_1} ext_{p_2} H by sampling both intervals."""
    share = np.linspace(0, 1, count)
    p1, p2 = (MINUS[k][:, None] + share * (PLUS[k] - MINUS[k])[:, None] for k in (0, 1))
    shape = (len(p1), count, count)
    p = jnp.stack([jnp.broadcast_to(p1[:, :, None], shape), jnp.broadcast_to(p2[:, None, :], shape)])
    values = np.asarray(hamiltonian(0.2, jnp.broadcast_to(jnp.asarray(X)[:, :, None, None], p.shape), p))
    inner = np.where((MINUS[1] <= PLUS[1])[:, None], values.min(2), values.max(2))
    return np.where(MINUS[0] <= PLUS[0], inner.min(1), inner.max(1))


@pytest.mark.parametrize(
    "name", [name if k < 4 else pytest.param(name, marks=pytest.mark.slow) for k, name in enumerate(UNIMODAL)]
)
def test_godunov_takes_the_extremes_of_the_riemann_problem(name: str) -> None:
    hamiltonian = UNIMODAL[name]
    fluxes.Godunov().check(hamiltonian)
    found, sampled = numerical(fluxes.Godunov(), hamiltonian, 0.2, X, MINUS, PLUS), extremes(hamiltonian)
    # a sample misses the place of an extreme by up to 3/300, the slope there is at most 2 (kinks) or 0
    np.testing.assert_allclose(found, sampled, rtol=0, atol=2e-2)
    np.testing.assert_allclose(np.median(found - sampled), 0.0, atol=1e-4)


@pytest.mark.parametrize("flux", [*FAMILY[:2], *SHARP[:2]], ids=lambda f: type(f).__name__)
def test_monotone(flux) -> None:
    """Ĥ does not fall as one p_i⁻ rises, nor rise as one p_i⁺ does: with room in the range for the global maximum."""
    far = np.concatenate([MINUS, [[4.0, -4.0], [4.0, -4.0]]], axis=1)
    plus, x = np.concatenate([PLUS, far[:, -2:]], axis=1), np.concatenate([X, X[:, :2]], axis=1)
    for hamiltonian in (H.Quadratic(0.7), H.Eikonal(1.3), H.Power(1.0, 3.0)):
        at = lambda a, b, hamiltonian=hamiltonian: numerical(flux, hamiltonian, 0.0, x, a, b)[:-2]
        before = at(far, plus)
        for k in (0, 1):
            step = np.zeros_like(far)
            step[k, :-2] = 1e-3
            assert (at(far + step, plus) - before).min() > -1e-12
            assert (at(far, plus + step) - before).max() < 1e-12


def test_the_family_is_ordered_by_dissipation() -> None:
    """Where p⁺ > p⁻ in both components, less dissipation means a higher Ĥ."""
    low, high = np.minimum(MINUS, PLUS), np.maximum(MINUS, PLUS)
    values = [numerical(f, H.Power(1.0, 3.0), 0.0, X, low, high) for f in FAMILY]
    assert (values[0] <= values[1] + 1e-12).all()
    assert (values[1] <= values[2] + 1e-12).all()


@pytest.mark.parametrize("name", UNIMODAL)
def test_engquist_osher_is_godunov_but_for_shocks_through_the_least_value(name: str) -> None:
    """And there, one axis at a time, it is H(p⁻) + H(p⁺) − H(m), which is larger; integrals of max(±H', 0) agree."""
    hamiltonian, flux = UNIMODAL[name], fluxes.EngquistOsher()
    if not knows(flux, hamiltonian):
        assert name == "norm inf"
        return
    found, sharp = (numerical(f, hamiltonian, 0.2, X, MINUS, PLUS) for f in (flux, fluxes.Godunov()))
    calm = (MINUS <= PLUS).all(axis=0)
    np.testing.assert_allclose(found[calm], sharp[calm], rtol=1e-12, atol=1e-12)
    assert (found >= sharp - 1e-12).all()
    if name in ("eikonal", "norm 2", "power 1.5", "potential"):
        return  # H(|p|): Osher and Sethian's √ in place of the sum
    minus, plus = MINUS.copy(), PLUS.copy()
    minus[1] = plus[1] = 0.0
    share = np.linspace(0, 1, 4001)
    ends = [at[0][:, None] * share for at in (minus, plus)]
    slope = lambda p: np.asarray(
        hamiltonian.velocity(
            0.2, jnp.broadcast_to(jnp.asarray(X)[:, :, None], (2, *p.shape)), jnp.stack([jnp.asarray(p), 0 * p])
        )[0]
    )
    still = np.asarray(hamiltonian(0.2, jnp.asarray(X), jnp.zeros_like(jnp.asarray(X))))
    rises = np.trapezoid(np.maximum(slope(ends[0]), 0), ends[0], axis=1)
    falls = np.trapezoid(np.minimum(slope(ends[1]), 0), ends[1], axis=1)
    expected = still + rises + falls
    # the trapezoid rule crosses kinks of max(H', 0): 1/4000 of the slope there
    np.testing.assert_allclose(numerical(flux, hamiltonian, 0.2, X, minus, plus), expected, rtol=0, atol=3e-3)


def test_roe_is_upwind_in_one_way_and_dissipative_at_sonic_points() -> None:
    one_way = H.Quadratic(0.7)
    positive = 0.1 + np.abs(MINUS), 0.1 + np.abs(PLUS)
    roe, sharp = (numerical(f, one_way, 0.0, X, *positive) for f in (fluxes.Roe(), fluxes.Godunov()))
    np.testing.assert_allclose(roe, sharp, rtol=1e-13)
    waves = H.Custom(lambda t, x, p: -jnp.cos(p[0]), bound=lambda t, x, lo, hi: jnp.ones_like(lo), dimension=1)
    minus, plus = np.array([[-0.5, 0.2]]), np.array([[0.5, 3.5]])
    found = numerical(fluxes.Roe(), waves, 0.0, np.zeros((1, 2)), minus, plus)
    # p through a sonic point: −cos((p⁻ + p⁺)/2) − |H'|(p⁺ − p⁻)/2 with |H'| <= 1
    np.testing.assert_allclose(found, -np.cos((minus + plus) / 2)[0] - (plus - minus)[0] / 2, rtol=1e-13)


def test_sharp_fluxes_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValueError, match=r"`flux` EngquistOsher needs H = .*Custom.*LocalLaxFriedrichs"):
        fluxes.EngquistOsher().check(H.Custom(lambda t, x, p: jnp.sin(p[0])))


def test_godunov_refuses_what_it_does_not_know() -> None:
    problem = hj.Problem(
        H.Custom(lambda t, x, p: jnp.sin(p[0])), 0.0, hj.initials.Cosine(1.0, np.pi), hj.Torus([-1.0], [1.0]), 1.0
    )
    method = hj.methods.grid.FiniteDifference(20, flux=fluxes.Godunov())
    with pytest.raises(ValueError, match=r"`flux` Godunov does not know.*Custom.*Use .*LocalLaxFriedrichs"):
        hj.solve(problem, method, [0.1])
