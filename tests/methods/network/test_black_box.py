"""Any map of node values: measured, solved with, and refused where it is no step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

BlackBox = hj.methods.network.BlackBox
LINE, PLANE = hj.Torus([0.0], [2 * np.pi]), hj.Torus([0.0, 0.0], [2 * np.pi, 2 * np.pi])
DRIFT, EPSILON, DT, CELLS = 0.6, 0.2, 0.01, 48


def carried(u):
    """One step of u_t + b u_x = ε u_xx, exact for its waves."""
    k = jnp.fft.rfftfreq(CELLS, 1 / CELLS)
    return jnp.fft.irfft(jnp.exp((-1j * k * DRIFT - EPSILON * k**2) * DT) * jnp.fft.rfft(u), CELLS)


def waves(numbers, x):
    return jnp.sum(numbers * jnp.cos(jnp.arange(1, 4) * x[0] + numbers))


def samples() -> list[hj.Problem]:
    rng = np.random.default_rng(0)
    data = (hj.initials.Custom(jax.tree_util.Partial(waves, rng.normal(size=3))) for _ in range(8))
    return [hj.Problem(hj.hamiltonians.Quadratic(), 1.0, initial, LINE, 1.0) for initial in data]


def test_its_equation_is_measured() -> None:
    """Of transport and diffusion, whatever the problems claim; a step of another length is of the same rate."""
    found = hj.theory.measure_equation(BlackBox(carried, CELLS, dt=DT), samples())
    np.testing.assert_allclose(found.viscosity, EPSILON, rtol=1e-3)
    p = jnp.array([[-2.0, 0.3, 1.0]])
    np.testing.assert_allclose(found.hamiltonian(p), DRIFT * p[0], atol=1e-3)
    short = hj.theory.measure_equation(BlackBox(carried, CELLS, dt=DT), samples(), dt=DT / 2)
    np.testing.assert_allclose(short.viscosity, EPSILON + DT / 4 * DRIFT**2, rtol=1e-2)


def test_it_is_solved_with() -> None:
    """Whole steps are the map, and a time within one is met by a part of it."""
    method, problem = BlackBox(carried, CELLS, dt=DT), samples()[0]
    g = jax.vmap(problem.initial)(method.nodes(problem))
    u = hj.solve(problem, method, [DT / 2, 5 * DT / 2]).u
    half = g + (carried(g) - g) / 2
    np.testing.assert_allclose(u, [half, carried(carried(half))], rtol=0, atol=1e-14)
    first = carried(g)
    np.testing.assert_allclose(method(first), carried(first), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: BlackBox(3, 8, dt=0.1), TypeError, "`step` must be a function of node values"),
        (lambda: BlackBox(lambda u: u[1:], 8, dt=0.1), ValueError, r"\(8,\) to the same shape; got \(7,\)"),
        (lambda: BlackBox(lambda u: u, 8, dt=0.0), ValueError, "`dt` must be > 0"),
        (lambda: hj.solve(samples()[0], BlackBox(lambda u: u, (8, 8), dt=0.1), [1.0]), ValueError, "of dimension 2"),
        (lambda: hj.theory.measure_equation(carried, samples()), TypeError, r"network\.BlackBox\(map, cells, dt="),
    ],
)
def test_what_is_no_step_is_refused(call, kind, message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
