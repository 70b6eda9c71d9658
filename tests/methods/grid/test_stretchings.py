"""Non-uniform grids by coordinate maps: the maps, the orders that they keep, and what they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

import hjsolve as hj
from hjsolve.methods.grid.hessian import GridHessian
from hjsolve.methods.grid.mesh import mesh_on

grid = hj.methods.grid
maps = grid.stretchings
BUMP = hj.initials.Custom(lambda x: jnp.cos(2 * np.pi * x[0]))
CUBIC = lambda xi: xi + 0.3 * xi * (1 - xi) * (1 - 2 * xi)
ALL = {
    "clustered": maps.Clustered(0.3, 5.0),
    "layers": maps.BoundaryLayers(1.5),
    "wave": maps.Wave(0.4, 0.7),
    "custom": maps.Custom(CUBIC),
}


@pytest.mark.parametrize("name", ALL)
def test_a_map_carries_the_unit_interval_onto_itself_and_back(name: str) -> None:
    stretching, xi = ALL[name], jnp.linspace(0, 1, 201)
    x = stretching(xi)
    np.testing.assert_allclose([x[0], x[-1]], [0, 1], rtol=0, atol=1e-14)
    assert np.all(np.diff(x) > 0)
    np.testing.assert_allclose(stretching.inverse(x), xi, rtol=0, atol=1e-12)
    slope = jax.vmap(jax.grad(lambda y: stretching.inverse(y)))(x[1:-1])
    np.testing.assert_allclose(slope * jax.vmap(jax.grad(stretching))(xi[1:-1]), 1.0, rtol=1e-8)


def test_the_nodes_are_where_the_documents_say() -> None:
    spacing = lambda stretching, at: float(jax.grad(stretching)(at))
    np.testing.assert_allclose([spacing(maps.Clustered(0.5, b), 0.5) for b in (2.0, 6.0)], [0.85, 0.30], atol=5e-3)
    np.testing.assert_allclose([spacing(maps.BoundaryLayers(b), 0.0) for b in (1.0, 2.0)], [0.55, 0.147], atol=5e-3)
    np.testing.assert_allclose([spacing(maps.Wave(0.4, 0.7), at) for at in (0.4, 0.9)], [0.3, 1.7], rtol=1e-12)
    clustered = maps.Clustered(0.3, 5.0)
    assert float(clustered(clustered.inverse(jnp.asarray(0.3)))) == pytest.approx(0.3)
    fine = jnp.diff(clustered(jnp.linspace(0, 1, 401)))
    assert abs(float(clustered((jnp.argmin(fine) + 0.5) / 400)) - 0.3) < 5e-3


@pytest.mark.slow
def test_second_derivatives_keep_their_order() -> None:
    """All of u = sin(x + 2y) on a torus, one axis stretched."""
    torus = hj.Torus([0.0, 0.0], [2 * np.pi, 2 * np.pi])
    errors = []
    for n in (32, 64):
        mesh = mesh_on(torus, n, (maps.Wave(0.4, 0.3), None))
        u = jnp.sin(mesh.coordinates[0] + 2 * mesh.coordinates[1])
        hessian = GridHessian(mesh, u, 6)
        errors.append([abs(hessian[i, j] + w * u).max() for i, j, w in ((0, 0, 1), (0, 1, 2), (1, 0, 2), (1, 1, 4))])
    assert np.min(orders(errors)) > 5.5, errors


@pytest.mark.slow
@pytest.mark.parametrize("viscosity", [0.02, 0.3])
def test_order_five_on_a_stretched_torus(viscosity: float) -> None:
    exact = hj.exact.Periodic(2.0, [0.5, 0.3], [[np.pi, 0.0], [np.pi, np.pi]], viscosity, phases=[0.3, 1.0])
    problem = exact.problem(horizon=0.1)
    between = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    errors = []
    for n in (24, 48):
        options = {"stretching": (maps.Wave(0.4, 0.4), None), "step_rule": grid.step_rules.PowerLaw()}
        solution = hj.solve(problem, grid.FiniteDifference(n, **options), [0.1])
        wanted = jax.vmap(lambda x: exact(0.1, x))(solution.points)
        error, there = jnp.mean(jnp.abs(solution.u[0] - wanted)), jax.vmap(lambda x: exact(0.1, x))(between)
        errors.append([error, jnp.mean(jnp.abs(solution(0.1, between) - there))])
    assert np.min(orders(errors)) > 4.5, errors


@pytest.mark.slow
def test_order_at_the_faces_of_a_stretched_box() -> None:
    """½|x|² with a face condition of degree 4; characteristics leave."""
    exact = hj.exact.Quadratic([[1.0]], viscosity=0.0)
    box = hj.Box([-1.0], [1.0], boundary=hj.boundaries.Extrapolation(4))
    errors = []
    for n in (40, 80):
        method = grid.FiniteDifference(
            n, stretching=maps.Clustered(0.3, 3.0), step_rule=grid.step_rules.PowerLaw(), flux=grid.fluxes.Godunov()
        )
        solution = hj.solve(exact.problem(domain=box, horizon=0.5), method, [0.5])
        errors.append(float(jnp.max(jnp.abs(solution.u[0] - jax.vmap(lambda x: exact(0.5, x))(solution.points)))))
    assert orders(errors)[0] > 4.0, errors


@pytest.mark.slow
def test_nodes_drawn_to_a_layer_see_it_sooner() -> None:
    """|x| with ε = 0.01, whose layer is 0.1 wide in a box of 8: the error at 200 cells falls by four."""
    exact = hj.exact.AbsoluteValue(viscosity=0.01)
    errors = {}
    for name, stretching in (("equal", None), ("drawn", maps.Clustered(0.5, 6.0))):
        method = grid.FiniteDifference(200, stretching=stretching, derivative=grid.derivatives.WENOZ())
        problem = exact.problem(domain=hj.Box([-4.0], [4.0]), horizon=0.3)
        solution = hj.solve(problem, method, [0.3])
        errors[name] = float(jnp.max(jnp.abs(solution.u[0] - jax.vmap(lambda x: exact(0.3, x))(solution.points))))
    assert errors["drawn"] < errors["equal"] / 3, errors


def test_the_upwind_equation_has_the_viscosity_of_each_place() -> None:
    problem = hj.Problem(hj.hamiltonians.Linear([2.0]), 0.1, BUMP, hj.Box([0.0], [4.0]), 1.0)
    stretching = maps.Clustered(0.5, 4.0)
    method = grid.FiniteDifference(100, derivative=grid.derivatives.Upwind(), stretching=stretching)
    solved, x = method.equation(problem), method.mesh(problem).coordinates
    found = solved.viscosity.contract(0.0, x, jnp.ones_like(x), jnp.ones((1, 1, x.shape[1])))
    spacing = 0.04 * jax.vmap(jax.grad(stretching))(jnp.linspace(0, 1, 101))
    np.testing.assert_allclose(found, 0.1 + 2.0 * spacing / 2, rtol=1e-9)


@pytest.mark.slow
def test_the_gradient_with_respect_to_the_map() -> None:
    exact = hj.exact.AbsoluteValue(viscosity=0.1)
    problem = exact.problem(domain=hj.Box([-2.0], [2.0]), horizon=0.1)

    @jax.jit
    def total(strength):
        stretching = maps.Clustered(0.5, strength)
        method = grid.FiniteDifference(
            30, stretching=stretching, derivative=grid.derivatives.Upwind(), stepper=grid.steppers.ForwardEuler(),
            step_rule=grid.step_rules.Fixed(0.01),
        )  # fmt: skip
        return jnp.sum(hj.solve(problem, method, [0.1], points=jnp.linspace(-1, 1, 7)[:, None]).u)

    slope, step = jax.grad(total)(3.0), 1e-5
    np.testing.assert_allclose(slope, (total(3 + step) - total(3 - step)) / (2 * step), rtol=1e-5)


def test_bad_maps_are_refused() -> None:
    problem = hj.Problem(hj.hamiltonians.Eikonal(), 0.0, BUMP, hj.Torus([0.0], [1.0]), 1.0)
    with pytest.raises(ValueError, match=r"`stretching` must be periodic on axis 0.*Wave"):
        hj.solve(problem, grid.FiniteDifference(20, stretching=maps.Clustered()), [0.1])
    with pytest.raises(ValueError, match="one entry per axis"):
        hj.solve(problem, grid.FiniteDifference(20, stretching=[None, maps.Wave()]), [0.1])
    with pytest.raises(ValueError, match=r"`stretching` must be None"):
        options = {"stretching": maps.Wave(), "stepper": grid.steppers.Strang()}
        hj.solve(problem, grid.FiniteDifference(20, **options), [0.1])
    with pytest.raises(ValueError, match="must increase on"):
        maps.Custom(lambda xi: xi + 0.5 * jnp.sin(2 * np.pi * xi))
    with pytest.raises(ValueError, match="0 to 0 and 1 to 1"):
        maps.Custom(lambda xi: 2 * xi)
    with pytest.raises(ValueError, match="`centre` must be < 1"):
        maps.Clustered(1.2)
    with pytest.raises(ValueError, match="`strength` must be < 1"):
        maps.Wave(0.5, 1.0)
    with pytest.raises(TypeError, match="`stretching`"):
        grid.FiniteDifference(20, stretching="sinh")
