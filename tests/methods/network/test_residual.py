"""Residual stepper networks: equal to the schemes they are, convergent, readable and trainable."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import orders

import hjsolve as hj
from hjsolve.methods.network.readouts import Rectified
from hjsolve.methods.network.residual import Block

H, grid = hj.hamiltonians, hj.methods.grid
Stepper = hj.methods.network.ResidualStepper
LF, EO = grid.fluxes.GlobalLaxFriedrichs(), grid.fluxes.EngquistOsher()
LINE, PLANE = hj.Torus([0.0], [2 * np.pi]), hj.Torus([0.0, -1.0], [2 * np.pi, 1.0])
COSINE = hj.initials.Custom(lambda x: jnp.cos(x[0]))
WAVES = hj.initials.Custom(lambda x: jnp.cos(x[0]) * jnp.sin(np.pi * x[1]))
NONCONVEX = H.Custom(lambda t, x, p: -jnp.cos(p[0] + 1))


def scheme(cells, flux, dt) -> grid.FiniteDifference:
    return grid.FiniteDifference(
        cells,
        derivative=grid.derivatives.Upwind(),
        flux=flux,
        stepper=grid.steppers.ForwardEuler(),
        step_rule=grid.step_rules.Fixed(dt),
    )


@pytest.mark.parametrize(
    ("hamiltonian", "epsilon", "flux"),
    [
        pytest.param(H.Quadratic(0.7), 0.02, LF, marks=pytest.mark.slow),
        (H.Quadratic(0.7), 0.02, EO),
        pytest.param(H.Norm(1), 0.0, LF, marks=pytest.mark.slow),
        (H.Norm(1, 0.5), 0.01, EO),
        pytest.param(H.Eikonal(0.5), 0.01, LF, marks=pytest.mark.slow),
        (NONCONVEX, 0.0, LF),
    ],
)
def test_blocks_are_the_steps_of_the_scheme(hamiltonian, epsilon, flux) -> None:
    """All layers, not one: in float64 the two differ by rounding of the sums alone."""
    problem = hj.Problem(hamiltonian, epsilon, COSINE, LINE, 1.0)
    network = hj.theory.as_network(problem, family="residual", cells=64, flux=flux)
    ours = hj.solve(problem, network, [1.0])
    reference = hj.solve(problem, scheme(64, flux, 1 / network.layers), [1.0])
    np.testing.assert_allclose(ours.u, reference.u, rtol=0, atol=2e-14 * np.sqrt(network.layers))
    u = jnp.cos(network.nodes(problem)[:, 0])
    np.testing.assert_allclose(network(u), reference.u[-1], rtol=0, atol=2e-14 * np.sqrt(network.layers))


@pytest.mark.parametrize(
    ("hamiltonian", "flux"),
    [(H.Quadratic(0.7), EO), pytest.param(H.Norm(1, 1.0, [1.0, 0.4]), EO, marks=pytest.mark.slow), (H.Eikonal(), LF)],
)
def test_in_the_plane_with_unequal_spacing(hamiltonian, flux) -> None:
    problem = hj.Problem(hamiltonian, 0.02, WAVES, PLANE, 0.2)
    network = hj.theory.as_network(problem, family="residual", cells=(32, 24), flux=flux)
    reference = hj.solve(problem, scheme((32, 24), flux, 0.2 / network.layers), [0.2])
    np.testing.assert_allclose(hj.solve(problem, network, [0.2]).u, reference.u, rtol=0, atol=1e-13)


@pytest.mark.parametrize("speed", [0.7, 1.0, 1.3])
def test_the_fewest_layers_are_those_of_the_monotone_bound(speed: float) -> None:
    """T(2ε/h² + α/h) and a tenth more, also where the bound is met with equality but for rounding."""
    period, epsilon, horizon, n = 1.7, 0.02, 0.2, 50
    data = hj.initials.Custom(lambda x: 0.2 * jnp.sin(2 * jnp.pi * x[0] / period))
    h = period / n
    bound = horizon * (2 * epsilon / h**2 + speed / h)
    for hamiltonian in (hj.hamiltonians.Eikonal(speed), hj.hamiltonians.Norm(1, speed)):
        problem = hj.Problem(hamiltonian, epsilon, data, hj.Torus([0.0], [period]), horizon)
        layers = hj.theory.as_network(problem, family="residual", cells=n).layers
        assert bound <= layers <= 1.2 * bound + 1


def test_it_converges_to_the_viscosity_solution_at_first_order() -> None:
    """|p| of cos x: u(t, x) = min over |y − x| <= t, which is −1 about the trough and cos(x + t) left of the peak."""
    problem = hj.Problem(H.Norm(1), 0.0, COSINE, LINE, 0.5)

    def error(cells: int) -> float:
        network = hj.theory.as_network(problem, family="residual", cells=cells, flux=EO)
        x = np.asarray(network.nodes(problem))[:, 0]
        exact = np.where(np.abs(x - np.pi) <= 0.5, -1.0, np.cos(np.where(x < np.pi, x + 0.5, x - 0.5)))
        return float(np.abs(hj.solve(problem, network, [0.5]).u[0] - exact).mean())

    assert (orders([error(n) for n in (64, 128, 256)]) > 0.9).all()


@pytest.mark.parametrize("flux", [LF, EO])
def test_the_equation_is_the_modified_equation_of_the_scheme(flux) -> None:
    """A = ε + αΔx/2 − (Δt/2)H'², with |H'| in place of α for Engquist-Osher; H = cp² itself."""
    c, epsilon = 0.7, 0.05
    problem = hj.Problem(H.Quadratic(c), epsilon, COSINE, LINE, 0.3)
    network = hj.theory.as_network(problem, family="residual", cells=50, flux=flux)
    read = network.equation(problem)
    p = jnp.asarray([[-0.8, 0.3, 0.9]])
    t, x = jnp.zeros(()), jnp.zeros((1, 3))
    np.testing.assert_allclose(read.hamiltonian(t, x, p), c * p[0] ** 2, rtol=1e-12)
    dx, speed = 2 * np.pi / 50, 2 * c * np.abs(p[0])
    nodes = np.cos(np.arange(51) * dx)
    alpha = 2 * c * np.abs(np.diff(nodes)).max() / dx if flux is LF else speed
    expected = epsilon + alpha * dx / 2 - 0.3 / network.layers / 2 * speed**2
    np.testing.assert_allclose(read.viscosity.matrix(t, x, p)[0, 0], expected, rtol=1e-10)
    with pytest.raises(TypeError, match="depends on ∇u"):
        read.viscosity.root(t, x[:, 0])


def test_the_equation_read_is_solved_by_a_grid_of_high_order() -> None:
    """What FiniteDifference makes of it is the forward pass to O(h²); of the problem itself, to O(h)."""
    problem = hj.Problem(H.Quadratic(0.3), 0.1, COSINE, LINE, 0.5)
    method, apart = hj.methods.grid.FiniteDifference(256), []
    for cells in (64, 128, 256):
        network = hj.theory.as_network(problem, family="residual", cells=cells)
        x = network.nodes(problem)
        passed = network(jnp.cos(x[:, 0]))
        read = hj.theory.as_problem(network, initial=COSINE, domain=LINE)
        apart.append(
            [float(jnp.abs(hj.solve(p, method, [0.5], points=x).u[0] - passed).max()) for p in (read, problem)]
        )
    of_read, of_problem = np.array(apart).T
    assert (orders(of_read) > 1.8).all(), of_read
    assert (orders(of_problem) < 1.3).all(), of_problem


def test_one_step_follows_the_equation_read_to_second_order() -> None:
    """(u₁ − u₀)/Δt + H(u_x) − A u_xx is of the order of h² and Δt h, for weights that come from nowhere."""

    def misfit(cells: int) -> float:
        network = Stepper.random(PLANE, (cells, cells), layers=10 * cells, channels=3, key=jax.random.key(3))
        problem = hj.Problem(H.Quadratic(), 0.0, WAVES, PLANE, 1.0)
        return float(rate_misfit(network, problem))

    @eqx.filter_jit
    def rate_misfit(network, problem):
        read, x = network.equation(problem), network.nodes(problem).T
        p = jax.vmap(jax.grad(WAVES))(x.T).T
        hessian = jnp.moveaxis(jax.vmap(jax.hessian(WAVES))(x.T), 0, -1)
        t, speed = jnp.zeros(()), read.hamiltonian.velocity(jnp.zeros(()), x, p)
        # the rate at an instant has no −(Δt/2)∇H∇Hᵀ, which is how steps differ from it
        a = read.viscosity.matrix(t, x, p) + network.dt / 2 * speed[:, None] * speed
        predicted = jnp.einsum("ij...,ij...->...", a, hessian) - read.hamiltonian(t, x, p)
        state = network.init(problem)
        stepped, _ = network.step(problem, t, jnp.asarray(1e-3), state)
        return jnp.abs((stepped - state).reshape(-1) / 1e-3 - predicted).max()

    assert orders([misfit(n) for n in (32, 64, 128)]).min() > 1.9


@pytest.mark.slow
def test_training_from_random_weights_learns_the_evolution() -> None:
    """Random waves to u at a later time by a scheme of order 5: held-out relative L1 below 3 %."""
    problem = hj.Problem(H.Quadratic(0.5), 0.1, COSINE, LINE, 0.5)
    cells, rng = 32, np.random.default_rng(0)
    x = np.arange(cells) * 2 * np.pi / cells
    a, phase = rng.normal(size=(96, 3)) / np.arange(1, 4) ** 1.5, rng.uniform(0, 6, size=(96, 3))
    waves = lambda a, s, x: jnp.sum(a * jnp.cos(jnp.arange(1, 4) * x[0] + s))
    inputs = jax.vmap(lambda a, s: jax.vmap(lambda y: waves(a, s, y))(x[:, None]))(a, phase)
    solver = grid.FiniteDifference(64)
    solve = jax.jit(
        jax.vmap(
            lambda a, s: hj.solve(
                hj.Problem(H.Quadratic(0.5), 0.1, hj.initials.Custom(lambda x: waves(a, s, x)), LINE, 0.5),
                solver, [0.5], points=x[:, None],
            ).u[0]
        )
    )  # fmt: skip
    targets = np.asarray(solve(a, phase))
    network = Stepper.random(LINE, cells, layers=12, time=0.5, channels=3, hidden=12, key=jax.random.key(0))
    before = np.abs(jax.vmap(network)(inputs[64:]) - targets[64:]).sum() / np.abs(targets[64:]).sum()
    network, history = hj.fit(
        hj.Data(inputs[:64], targets[:64]), network, hj.Recipe(steps=1500, batch=32), key=jax.random.key(1)
    )
    after = np.abs(jax.vmap(network)(inputs[64:]) - targets[64:]).sum() / np.abs(targets[64:]).sum()
    assert history.result == hj.RESULTS.successful
    assert after < 0.03 < before
    read = network.equation(problem)
    p = jnp.linspace(-1.0, 1.0, 9)[None]
    curve = read.hamiltonian(jnp.zeros(()), jnp.zeros((1, 9)), p)
    np.testing.assert_allclose(curve, 0.5 * p[0] ** 2, atol=0.1)


def test_a_constant_added_to_the_data_is_added_to_the_solution() -> None:
    network = Stepper.random(LINE, 32, layers=3, key=jax.random.key(1))
    u = jnp.cos(jnp.arange(32.0))
    np.testing.assert_allclose(network(u + 5.0), network(u) + 5.0, rtol=0, atol=1e-12)


def test_layers_with_weights_of_their_own_are_taken_in_turn() -> None:
    """Layer l has H = l: u falls by Σ l Δt, and an `equation` read at t says the layer that t is in."""
    numbers = jnp.arange(1.0, 5.0)
    base = Stepper.random(LINE, 16, layers=4, channels=1, hidden=1, shared=False, key=jax.random.key(0))
    quiet = jax.tree.map(jnp.zeros_like, base.block)
    network = eqx.tree_at(lambda n: n.block, base, eqx.tree_at(lambda b: b.readout.offset, quiet, numbers))
    np.testing.assert_allclose(network(jnp.zeros(16)), -10 / 4, rtol=1e-14)
    problem = hj.Problem(H.Quadratic(), 0.0, COSINE, LINE, 1.0)
    np.testing.assert_allclose(hj.solve(problem, network, [0.5, 1.0]).u[:, 0], [1 - 0.75, 1 - 2.5], rtol=1e-14)
    read = network.equation(problem).hamiltonian
    p = jnp.zeros((1, 1))
    assert [float(read(jnp.asarray(t), p, p)[0]) for t in (0.1, 0.3, 0.6, 0.9)] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.slow
def test_the_same_block_on_a_finer_grid_is_nearer_to_the_solution() -> None:
    problem = hj.Problem(H.Quadratic(0.5), 0.2, COSINE, LINE, 0.5)
    coarse = hj.theory.as_network(problem, family="residual", cells=32, flux=EO)
    fine = coarse.on_grid(LINE, 64, layers=4 * coarse.layers)
    points = np.linspace(0.0, 6.0, 7)[:, None]
    exact = hj.solve(problem, hj.methods.particle.HopfCole(), [0.5], points=points).u[0]
    errors = [np.abs(hj.solve(problem, n, [0.5], points=points).u[0] - exact).max() for n in (coarse, fine)]
    assert errors[1] < 0.6 * errors[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: hj.theory.as_network(p, family="residual", cells=64, layers=2), "`layers` must be >= "),
        (lambda p: hj.theory.as_network(p, family="residual"), "`cells` is needed"),
        (lambda p: hj.theory.as_network(p, family="ssm", cells=64, flux=EO), "`flux` belongs to"),
        (lambda p: hj.theory.as_network(p, family="residual", cells=9, flux=grid.fluxes.Godunov()), "must be hj"),
        (lambda p: Stepper.random(LINE, 2, layers=1, key=jax.random.key(0)), "`cells` must be"),
        (lambda p: Stepper.random(LINE, 32, layers=1, width=4, key=jax.random.key(0)), "`width` must be odd"),
        (lambda p: hj.solve(p, Stepper.random(PLANE, 32, layers=1, key=jax.random.key(0)), [0.5]), "dimension"),
        (lambda p: Stepper.random(LINE, 32, layers=2, key=jax.random.key(0))(jnp.zeros(31)), "32 nodes"),
        (
            lambda p: Stepper(
                Block(jnp.zeros((1, 3)), jnp.zeros((1, 2, 5)), Rectified(jnp.zeros(2))), LINE, 32, layers=1
            ),
            "`block.filters` must have shape",
        ),
        (
            lambda p: Stepper(
                Block(jnp.zeros((3, 3)), jnp.zeros((3, 1, 3)), Rectified(jnp.zeros((3, 1))[0])), LINE, 32, layers=2
            ),
            "leading axis of 1",
        ),
        (
            lambda p: Stepper.random(PLANE, (8, 8), layers=1, key=jax.random.key(0)).on_grid(PLANE, (8, 9), layers=1),
            "`cells` must keep the aspect of the network's grid",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_remedy(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(hj.Problem(H.Quadratic(), 0.1, COSINE, LINE, 1.0))
