"""Conditions on the faces of a box, each against a solution that it alone gives."""

import jax.numpy as jnp
import numpy as np
import pytest

import hjsolve as hj

B = hj.boundaries
H = hj.hamiltonians
grid = hj.methods.grid
ONE = lambda x: jnp.ones_like(x[0])
FLAT = hj.initials.Custom(lambda x: 0 * x[0])
HELD = hj.Box([0.0], [1.0], boundary=B.Dirichlet(-1.0))


def solved(hamiltonian, viscosity, g, box, t, cells, **options):
    problem = hj.Problem(hamiltonian, viscosity, hj.initials.Custom(g), box, t)
    return hj.solve(problem, grid.FiniteDifference(cells, **options), [t])


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_extrapolation_continues_polynomials(degree: int) -> None:
    places = np.arange(-3.0, 8.0)
    coefficients = np.random.default_rng(0).normal(size=degree + 1)
    values = np.polyval(coefficients, places)[:, None] * [1.0, -2.0]
    ghosts = B.Extrapolation(degree).ghosts(jnp.asarray(values[3:]), 0.1, 3)
    np.testing.assert_allclose(ghosts, values[2::-1], rtol=0, atol=1e-11 * np.abs(values).max())
    assert B.Extrapolation(degree).reads(3) == degree + 1


def test_away_from_zero_never_falls_towards_zero() -> None:
    inner = jnp.array([[2.0, -2.0, 1.0], [3.0, -3.0, 0.5]])
    np.testing.assert_array_equal(B.AwayFromZero().ghosts(inner, 0.1, 2), [[3.0, -3.0, 1.5], [4.0, -4.0, 2.0]])


def test_state_constraint_never_pays_for_leaving() -> None:
    inner = jnp.array([[2.0, 2.0], [3.0, 1.5]])
    np.testing.assert_array_equal(B.StateConstraint().ghosts(inner, 0.1, 2), [[2.0, 2.5], [2.0, 3.0]])


@pytest.mark.parametrize("degree", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_order_up_to_the_faces_is_that_of_the_ghosts(degree: int) -> None:
    """u_t + u_x = 0, u = sin 2(x − t): data enter on the left, prescribed, and leave on the right."""
    exact = lambda t, x: jnp.sin(2 * (x - t))
    errors = []
    for cells in (20, 40, 80):
        face = B.Dirichlet(lambda t, x: exact(t, x[0]), degree=degree), B.Extrapolation(degree)
        solution = solved(
            H.Linear([1.0]), 0.0, lambda x: exact(0.0, x[0]), hj.Box([-1.0], [1.0], boundary=[face]), 0.5, cells,
            step_rule=grid.step_rules.Fixed(0.1 / cells),
        )  # fmt: skip
        errors.append(np.abs(solution.u[0] - exact(0.5, solution.points[:, 0])).max())
    order = np.log2(errors[1] / errors[2])
    if degree == 1:
        assert 1.5 < order < 2.6  # a line: second order at the face, whatever the scheme inside
    else:
        assert order > 3.8  # of the scheme's 5, one less in the largest error next to a face
        assert errors[2] < 2e-6


def test_dirichlet_is_the_cost_of_leaving() -> None:
    """u_t + |u_x| = 1, u <= 10 and 0 at the faces: after the time to the middle, u is the distance to the faces."""
    box = hj.Box([-1.0], [2.0], boundary=B.Dirichlet(0.0))
    hamiltonian = H.WithPotential(H.Eikonal(), ONE)
    for flux in (grid.fluxes.Godunov(), grid.fluxes.LocalLaxFriedrichs()):
        solution = solved(hamiltonian, 0.0, lambda x: 10.0 + 0 * x[0], box, 14.0, 60, flux=flux)
        x = solution.points[:, 0]
        exact = np.minimum(x + 1, 2 - x)
        error = np.abs(solution.u[0] - exact)
        assert error.max() < 0.05  # h = .05: the kink in the middle, the only error
        assert np.median(error) < 1e-6


def test_dirichlet_is_not_attained_where_staying_is_cheaper() -> None:
    """u_t + |u_x| = 1, u(0) = 0: nobody pays 5 for leaving while waiting has cost t < 5."""
    box = hj.Box([-1.0], [1.0], boundary=B.Dirichlet(5.0))
    solution = solved(H.WithPotential(H.Eikonal(), ONE), 0.0, lambda x: 0 * x[0], box, 2.0, 20)
    np.testing.assert_allclose(solution.u[0], 2.0, rtol=1e-12)


def test_dirichlet_of_a_control_that_maximises_is_mirrored() -> None:
    box, mirrored = (hj.Box([-1.0], [2.0], boundary=B.Dirichlet(value)) for value in (0.2, -0.2))
    still, ball = lambda t, x: (0.0,), H.inputs.Box(-1.0, 1.0)
    least = H.ControlAffine(still, [[1.0]], ball, cost=lambda t, x: 1.0)
    most = H.ControlAffine(still, [[1.0]], ball, cost=lambda t, x: -1.0, maximise=True)
    one = solved(least, 0.0, lambda x: jnp.cos(x[0]), box, 1.0, 40)
    other = solved(most, 0.0, lambda x: -jnp.cos(x[0]), mirrored, 1.0, 40)
    np.testing.assert_allclose(one.u, -other.u, rtol=0, atol=1e-13)
    assert np.ptp(one.u) > 0.5


@pytest.mark.parametrize("degree", [1, 3])
def test_viscous_dirichlet_holds_the_value(degree: int) -> None:
    """u_t = ε u_xx on [0, 1], u = sin πx e^{−επ²t} + x."""
    epsilon, t = 0.1, 0.5
    exact = lambda x: np.sin(np.pi * x) * np.exp(-epsilon * np.pi**2 * t) + x
    box = hj.Box([0.0], [1.0], boundary=[(B.Dirichlet(0.0, degree=degree), B.Dirichlet(1.0, degree=degree))])
    errors = []
    for cells in (20, 40):
        solution = solved(H.Linear([0.0]), epsilon, lambda x: jnp.sin(jnp.pi * x[0]) + x[0], box, t, cells)
        errors.append(np.abs(solution.u[0] - exact(solution.points[:, 0])).max())
        np.testing.assert_array_equal(solution.u[0, np.array([0, -1])], [0.0, 1.0])
    assert np.log2(errors[0] / errors[1]) > 1.8  # curvature is not continued by a line: second order is left
    assert errors[1] < (1e-3 if degree == 1 else 1e-4)


def test_state_constraint_keeps_the_state_inside() -> None:
    """u_t + |u_x| = 0, g = −x: the control moves right, up to the wall at 1. A line would let it through."""
    g, t = (lambda x: -x[0]), 0.7
    for flux in (grid.fluxes.Godunov(), grid.fluxes.LocalLaxFriedrichs()):
        boundary = [(B.Extrapolation(), B.StateConstraint())]
        solution = solved(H.Eikonal(), 0.0, g, hj.Box([-1.0], [1.0], boundary=boundary), t, 100, flux=flux)
        x = solution.points[:, 0]
        inner = x > -0.2  # beyond the reach of the other face
        error = np.abs(solution.u[0] - np.maximum(-x - t, -1.0))[inner]
        assert error.max() < 0.02  # h, at the moving kink
        assert error.mean() < 1e-3
    free = solved(H.Eikonal(), 0.0, g, hj.Box([-1.0], [1.0]), t, 100)
    assert free.u[0, -1] < -1.5


def test_conditions_are_refused_where_they_have_no_meaning() -> None:
    few = hj.Box([-1.0], [1.0], boundary=B.Extrapolation(5))
    with pytest.raises(ValueError, match=r"`cells` must be >= 5 on axis 0 for Extrapolation; got 3"):
        solved(H.Eikonal(), 0.0, lambda x: x[0], few, 0.1, 3, derivative=grid.derivatives.Upwind())
    with pytest.raises(ValueError, match=r"`degree` must be <= 5; got 6"):
        B.Extrapolation(6)
    with pytest.raises(ValueError, match=r"`value` must map x \[d, \.\.\.\] to \[\.\.\.\]"):
        wrong = hj.Box([-1.0], [1.0], boundary=B.Dirichlet(lambda t, x: x[:, None] + jnp.zeros(3)))
        solved(H.Eikonal(), 0.0, lambda x: x[0], wrong, 0.1, 10)


def leaving(x: np.ndarray, t: float) -> np.ndarray:
    """u_t + |u_x|² = 0 from u = 0 with −1 paid at either end: the cheapest exit, min(0, −1 + r²/4t)."""
    return np.minimum(0.0, -1 + np.minimum(x, 1 - x) ** 2 / (4 * t))


@pytest.mark.parametrize("ts", [pytest.param([0.25], marks=pytest.mark.slow), [0.05, 0.15, 0.25]])
def test_what_a_face_holds_enters_flat_data_whatever_times_are_saved(ts: list[float]) -> None:
    """The jump at the face is the steepest slope there is: without it the first step would be the last."""
    problem = hj.Problem(H.Quadratic(1.0), 0.0, FLAT, HELD, 1.0)
    errors = []
    for method in (grid.FiniteDifference(50), grid.FiniteDifference(100), grid.SemiLagrangian(50)):
        solution = hj.solve(problem, method, ts)
        errors.append(np.abs(solution.u[-1] - leaving(np.asarray(solution.points[:, 0]), 0.25)).max())
    # a jump at the start costs the time in which it crosses a cell: first order
    assert errors[0] < 0.025 and errors[1] < 0.6 * errors[0] and errors[2] < 0.025, errors


@pytest.mark.parametrize(
    "stepper",
    [grid.steppers.SSPRK3(), pytest.param(grid.steppers.Strang(), marks=pytest.mark.slow), grid.steppers.Auto()],
)
def test_with_viscosity_too(stepper) -> None:
    """Against w = e^{−u/ε} by its sine series: w = e^{1/ε} on the faces, 1 inside at first."""
    epsilon, t = 0.2, 0.25
    solution = hj.solve(
        hj.Problem(H.Quadratic(1.0), epsilon, FLAT, HELD, 1.0), grid.FiniteDifference(50, stepper=stepper), [t]
    )
    x, k = np.asarray(solution.points), np.arange(1, 400, 2)
    decay = np.exp(-epsilon * (np.pi * k) ** 2 * t)
    high = np.exp(1 / epsilon)
    w = high + (1 - high) * np.sum(4 / (np.pi * k) * np.sin(np.pi * k * x) * decay, axis=1)
    np.testing.assert_allclose(solution.u[0], -epsilon * np.log(w), rtol=0, atol=4e-3)  # a jump at the start


@pytest.mark.parametrize(
    ("hamiltonian", "shift"),
    [
        (H.Custom(lambda t, x, p: jnp.abs(p[0])), 0.0),
        (H.Isaacs(lambda t, x: [0.0], [[1.0]], H.inputs.Box(-1.0, 1.0), [[1.0]], H.inputs.Box(-0.1, 0.1)), 0.025),
    ],
    ids=["custom", "game"],
)
def test_both_ends_are_left_alike_by_an_h_of_no_known_convexity(hamiltonian, shift: float) -> None:
    """Fronts of speed 1 (0.9 in the game) come in from both faces; a value above u is not paid for leaving."""
    for value, behind in ((-1.0, -1.0), (1.0, 0.0)):
        box = hj.Box([0.0], [1.0], boundary=B.Dirichlet(value))
        u = np.asarray(hj.solve(hj.Problem(hamiltonian, 0.0, FLAT, box, 1.0), grid.FiniteDifference(50), [0.25]).u[0])
        np.testing.assert_allclose(u, u[::-1], rtol=0, atol=1e-12)
        x = np.linspace(0, 1, 51)
        front = np.where(np.minimum(x, 1 - x) < 0.25 - shift, behind, 0.0)
        away = np.abs(np.minimum(x, 1 - x) - 0.25 + shift) > 0.08  # four cells on either side of a jump
        np.testing.assert_allclose(u[away], front[away], rtol=0, atol=0.02)
