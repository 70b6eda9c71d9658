"""The semigroup and the resolvent of the viscous term, against matrices, and what they do to known functions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import hjsolve as hj
from hjsolve.methods.grid.diffusion import Diffusion
from hjsolve.methods.grid.hessian import GridHessian

B = hj.boundaries
FD = hj.methods.grid.FiniteDifference
steppers = hj.methods.grid.steppers
SLOPE, LINE, HELD = B.Neumann(0.3), B.Extrapolation(), B.Dirichlet(0.7)
FACES = [
    [(SLOPE, SLOPE)],
    [(LINE, LINE)],
    [(HELD, SLOPE)],
    [(SLOPE, LINE)],
    ["periodic", "periodic"],
    [(SLOPE, SLOPE), "periodic"],
    [(SLOPE, LINE), (HELD, HELD)],
    ["periodic", (LINE, SLOPE), (HELD, LINE)],
]

heat = eqx.filter_jit(lambda diffusion, u, tau: diffusion.heat(jnp.asarray(u), tau))


def box(faces: list, half_width: float = 1.0) -> hj.Box:
    d = len(faces)
    pairs = [(LINE, LINE) if pair == "periodic" else pair for pair in faces]
    periodic = [pair == "periodic" for pair in faces]
    return hj.Box([-half_width] * d, [half_width] * d, periodic=periodic, boundary=pairs)


def diffusion(faces: list, cells, order: int, epsilon: float = 0.3) -> Diffusion:
    domain = box(faces)
    data = hj.initials.Cosine(1.0, [np.pi] * len(faces))
    problem = hj.Problem(hj.hamiltonians.Quadratic(), epsilon, data, domain, 1.0)
    return Diffusion(problem, FD(cells).mesh(problem), order)


@pytest.mark.parametrize(("faces", "order"), [*((faces, 6) for faces in FACES), (FACES[3], 2), (FACES[5], 2)], ids=str)
def test_heat_and_resolvent_are_those_of_the_matrix(faces: list, order: int) -> None:
    """A(u) = Lu + b is read off as a matrix; SciPy exponentiates and inverts that."""
    d = diffusion(faces, (9, 8, 7)[: len(faces)], order)  # odd and even numbers of waves
    shape, n, tau = d.mesh.shape, int(np.prod(d.mesh.shape)), 0.04
    rate = jax.jit(jax.vmap(d.rate))
    b = np.asarray(rate(jnp.zeros((1, *shape)))[0]).ravel()
    matrix = np.asarray(rate(jnp.eye(n).reshape(n, *shape))).reshape(n, n).T - b[:, None]
    u = np.random.default_rng(0).normal(size=shape)
    heated, k = jax.jit(lambda u: (d.heat(u, tau), d.implicit_rate(u, tau)))(u)

    affine = np.block([[matrix, b[:, None]], [np.zeros((1, n + 1))]])
    # modes of n <= 500 nodes, |u| ~ 3: some ten roundings
    np.testing.assert_allclose(np.ravel(heated), (expm(tau * affine) @ np.append(u, 1.0))[:-1], rtol=0, atol=2e-14)
    expected = np.linalg.solve(np.eye(n) - tau * matrix, u.ravel() + tau * b)
    np.testing.assert_allclose(np.ravel(u + tau * k), expected, rtol=0, atol=2e-14)
    assert np.linalg.eigvals(matrix).real.max() < 1e-10  # nothing grows


def test_it_is_the_viscous_term_of_the_scheme_where_faces_do_not_differ() -> None:
    d = diffusion([(SLOPE, SLOPE), "periodic"], (12, 10), 6)
    u = jnp.asarray(np.random.default_rng(1).normal(size=d.mesh.shape))
    domain = box([(SLOPE, SLOPE), "periodic"])
    problem = hj.Problem(hj.hamiltonians.Quadratic(), 0.3, hj.initials.Cosine(1.0, [np.pi] * 2), domain, 1.0)
    hessian = GridHessian(FD((12, 10)).mesh(problem), u, 6)
    np.testing.assert_allclose(d.rate(u), 0.3 * (hessian[0, 0] + hessian[1, 1]), rtol=0, atol=1e-11)


def test_known_solutions_of_the_heat_equation() -> None:
    x, tau, epsilon = np.linspace(-1, 1, 65), 0.7, 0.3
    decay = np.exp(-epsilon * np.pi**2 * tau)
    # sines, and lines through the faces; the sixth-order difference of sin πx is too small by its (πΔx)^6/560
    tolerance = 1.01 * (np.pi / 32) ** 6 / 560 * epsilon * np.pi**2 * tau * decay  # 4e-10
    d = diffusion([(LINE, LINE)], 64, 6)
    u = np.sin(np.pi * x) + 2 * x + 1
    np.testing.assert_allclose(heat(d, u, tau), decay * np.sin(np.pi * x) + 2 * x + 1, rtol=0, atol=tolerance)
    # slopes of 0.3 outwards on both sides feed the parabola 0.15x², which rises by 0.3ετ
    d = diffusion([(SLOPE, SLOPE)], 64, 6)
    u = np.cos(np.pi * x) + 0.15 * x**2
    np.testing.assert_allclose(
        heat(d, u, tau), decay * np.cos(np.pi * x) + 0.15 * x**2 + 0.3 * epsilon * tau, rtol=0, atol=tolerance
    )
    # a square whose faces are held: x² − y² is harmonic, and stays
    d = diffusion([(HELD, HELD), (HELD, HELD)], 16, 2)
    y = np.linspace(-1, 1, 17)
    saddle = y[:, None] ** 2 - y**2
    np.testing.assert_allclose(heat(d, saddle, tau), saddle, rtol=0, atol=1e-13)


def test_float32_and_no_diffusion() -> None:
    exact = diffusion([(SLOPE, LINE), "periodic"], 32, 6)
    u = np.random.default_rng(2).normal(size=exact.mesh.shape)
    expected = heat(exact, u, 0.01)
    with jax.enable_x64(False):
        d = diffusion([(SLOPE, LINE), "periodic"], 32, 6)
        heated = heat(d, jnp.asarray(u, jnp.float32), jnp.float32(0.01))
        assert heated.dtype == jnp.float32
        # A(u) ~ 1e3 in float32, of which 1/λ ~ 1e-3 stays: ten roundings of u ~ 3
        np.testing.assert_allclose(heated, expected, rtol=0, atol=3e-6)
    still = diffusion([(SLOPE, LINE), "periodic"], 32, 6, epsilon=0.0)
    np.testing.assert_array_equal(heat(still, u, 0.01), u)
    np.testing.assert_array_equal(still.implicit_rate(u, 0.01), 0.0)


@pytest.mark.parametrize(
    ("face", "viscosity", "words"),
    [
        (B.Extrapolation(4), 0.1, r"must be Neumann.*SSPRK3"),
        pytest.param(
            B.StateConstraint(), 0.1, r"`boundary` on axis 0 must be.*StateConstraint", marks=pytest.mark.slow
        ),
        (
            B.Neumann(),
            hj.viscosities.Varying(lambda t, x: 0.1 + x[0] ** 2),
            "must be Constant; got Varying",
        ),
    ],
)
def test_what_cannot_be_split_is_refused_and_taken_explicitly_by_auto(face, viscosity, words: str) -> None:
    domain = hj.Box([-1.0], [1.0], boundary=face)
    problem = hj.Problem(hj.hamiltonians.Quadratic(), viscosity, hj.initials.Cosine(1.0, np.pi), domain, 0.1)
    for stepper in (steppers.Strang(), steppers.IMEX()):
        with pytest.raises(ValueError, match=words):
            hj.solve(problem, FD(20, stepper=stepper), [0.1])
    explicit, auto = (hj.solve(problem, FD(20, stepper=s), [0.1]) for s in (steppers.SSPRK3(), steppers.Auto()))
    np.testing.assert_array_equal(explicit.u, auto.u)


def test_a_held_face_that_moves() -> None:
    """u = x² + 2εt under H = 0 has u_nn ≠ 0; on faces held to it the sixth-order reflection costs O(Δx²)."""
    epsilon, errors = 0.4, []
    exact = lambda t, x: x[0] ** 2 + 2 * epsilon * t
    none = hj.hamiltonians.Linear([0.0])
    domain = hj.Box([-1.0], [1.0], boundary=B.Dirichlet(exact))
    problem = hj.Problem(none, epsilon, hj.initials.Custom(lambda x: x[0] ** 2), domain, 0.5)
    rule = hj.methods.grid.step_rules.Fixed(0.02)
    for cells in (20, 40):
        solution = hj.solve(problem, FD(cells, stepper=steppers.IMEX(), step_rule=rule), [0.5])
        errors.append(float(np.abs(solution.u[0] - np.asarray(exact(0.5, solution.points.T))).max()))
    print(errors)
    assert np.log2(errors[0] / errors[1]) > 1.8
    assert errors[1] < 1e-3
