"""The reachability cases of the grid benchmark, each defined once for this suite and for hj_reachability.

Their nodes are ours: n nodes are n − 1 cells of a box's axis and n cells of a periodic one. hj_reachability solves
backwards, V_s + ext p·ẋ = 0 from s = 0 to −T; with t = −s its Hamiltonian is ours with the sign turned, and its
`backwards_reachable_tube` is `Freezing`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

import hjsolve as hj

H = hj.hamiltonians
grid = hj.methods.grid
TURN = 2 * np.pi
CENTRES = np.array([[-0.5, 0.0], [0.5, 0.0]])
DISCS = hj.exact.EikonalDiscs(np.array([[-0.8, 0.0], [0.8, 0.3]]), np.array([0.3, 0.3]))


class Case(NamedTuple):
    """A problem, its cells and time; `dynamics` builds the peer's, which marches to `direction` times the time."""

    problem: hj.Problem
    cells: tuple[int, ...]
    time: float
    dynamics: Callable[[Any], Any]
    direction: int
    tube: bool = False


METHODS = {
    "very_high": {"derivative": grid.derivatives.WENO5(), "stepper": grid.steppers.SSPRK3()},
    "low": {"derivative": grid.derivatives.Upwind(), "stepper": grid.steppers.ForwardEuler()},
}
"""This suite's names for the peer's accuracies; global Lax-Friedrichs and a Courant number of 0.75 in both."""


def ours(case: Case, accuracy: str) -> Any:
    """This suite's method with the peer's parts."""
    return grid.FiniteDifference(
        case.cells,
        flux=grid.fluxes.GlobalLaxFriedrichs(),
        step_rule=grid.step_rules.CFL(0.75),
        **METHODS[accuracy],
    )


def peers(case: Case, accuracy: str, peer: Any) -> Callable[[], Any]:
    """A call of the peer, `peer` being the module hj_reachability, that returns the values at the case's time."""
    domain = case.problem.domain
    periodic = tuple(axis for axis, flag in enumerate(domain.periodic) if flag)
    nodes = tuple(n if flag else n + 1 for n, flag in zip(case.cells, domain.periodic, strict=True))
    box = peer.sets.Box(jnp.asarray(domain.lower, jnp.float32), jnp.asarray(domain.upper, jnp.float32))
    lattice = peer.Grid.from_lattice_parameters_and_boundary_conditions(box, nodes, periodic_dims=periodic)
    initial = case.problem.initial
    values = peer.utils.multivmap(initial, np.arange(len(nodes)))(lattice.states)
    after = {"hamiltonian_postprocessor": peer.solver.backwards_reachable_tube} if case.tube else {}
    settings = peer.SolverSettings.with_accuracy(accuracy, **after)
    dynamics, end = case.dynamics(peer), case.direction * case.time
    return lambda: peer.step(settings, dynamics, lattice, 0.0, values, end, progress_bar=False)


def _of_gradient(value: Callable[[Any], Any], speed: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """The peer's dynamics for H(p), with the bounds of |∂H/∂p_i| over a box."""

    def build(peer: Any) -> Any:
        class OfGradient(peer.Dynamics):
            def __init__(self) -> None:
                super().__init__("max", "min", None, None)

            def __call__(self, state: Any, control: Any, disturbance: Any, time: Any) -> Any:
                raise NotImplementedError

            def optimal_control_and_disturbance(self, state: Any, time: Any, grad_value: Any) -> Any:
                raise NotImplementedError

            def hamiltonian(self, state: Any, time: Any, value_: Any, grad_value: Any) -> Any:
                return value(grad_value)

            def partial_max_magnitudes(self, state: Any, time: Any, value_: Any, grad_value_box: Any) -> Any:
                return speed(grad_value_box.lo, grad_value_box.hi)

        return OfGradient()

    return build


def _affine(drift: Callable[[Any], list[Any]], steering: list[list[float]]) -> Callable[[Any], Any]:
    """The peer's dynamics ẋ = drift(x) + steering a, |a_i| <= 1, whose control minimises."""

    def build(peer: Any) -> Any:
        class Affine(peer.ControlAndDisturbanceAffineDynamics):
            def __init__(self) -> None:
                ones = jnp.ones(len(steering[0]))
                nothing = peer.sets.Box(jnp.zeros(1), jnp.zeros(1))
                super().__init__("min", "max", peer.sets.Box(-ones, ones), nothing)

            def open_loop_dynamics(self, state: Any, time: Any) -> Any:
                return jnp.array(drift(state))

            def control_jacobian(self, state: Any, time: Any) -> Any:
                return jnp.array(steering)

            def disturbance_jacobian(self, state: Any, time: Any) -> Any:
                return jnp.zeros((len(steering), 1))

        return Affine()

    return build


def _disc(radius: float) -> Callable[[Any], Any]:
    return lambda x: jnp.sqrt(x[0] ** 2 + x[1] ** 2) - radius


def _box(lower: list[float], upper: list[float], periodic: tuple[bool, ...] | None = None) -> hj.Box:
    return hj.Box(lower, upper, periodic=periodic, boundary=hj.boundaries.AwayFromZero())


def air3d(refine: int = 1) -> Case:
    """Two vehicles in the plane: the tube from which the evader cannot avoid a collision."""
    box = _box([-6.0, -10.0, 0.0], [20.0, 10.0, TURN], (False, False, True))
    problem = hj.Problem(H.Freezing(H.Air3D()), 0.0, hj.initials.Custom(_disc(5.0)), box, 2.8)
    return Case(problem, (50 * refine, 39 * refine, 50 * refine), 2.8, lambda peer: peer.systems.Air3d(), -1, tube=True)


def squared_slope(n: int = 400) -> Case:
    """u_t + |∇u|² = 0 from a cone."""
    problem = hj.Problem(H.Quadratic(1.0), 0.0, hj.initials.Custom(_disc(0.5)), _box([-2.0, -2.0], [2.0, 2.0]), 1.0)
    build = _of_gradient(lambda p: p @ p, lambda low, high: 2 * jnp.maximum(jnp.abs(low), jnp.abs(high)))
    return Case(problem, (n, n), 1.0, build, 1)


def parabolas(n: int = 400) -> Case:
    """u_t + |∇u|² = 0 from the lower of two parabolas ½|x − a|², which meet in a kink that stays."""

    def initial(x: Any) -> Any:
        return jnp.min(jnp.stack([jnp.sum((x - a) ** 2) for a in CENTRES])) / 2

    problem = hj.Problem(H.Quadratic(1.0), 0.0, hj.initials.Custom(initial), _box([-2.0, -2.0], [2.0, 2.0]), 1.0)
    return Case(problem, (n, n), 1.0, squared_slope().dynamics, 1)


def slope(n: int = 400) -> Case:
    """u_t + |∇u| = 0 from two cones, whose discs grow until they meet: exact by `hj.exact.EikonalDiscs`."""
    problem = DISCS.problem(_box([-2.0, -2.0], [2.0, 2.0]), 1.0)
    build = _of_gradient(lambda p: jnp.sqrt(p @ p), lambda low, high: jnp.ones(2))
    return Case(problem, (n, n), 1.0, build, 1)


def car(time: float) -> Case:
    """A car in (x, y, heading, speed) that turns and accelerates into a disc."""
    system = H.ControlAffine(
        lambda t, x: (x[3] * jnp.cos(x[2]), x[3] * jnp.sin(x[2]), 0.0, 0.0),
        lambda t, x: ((0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)),
        H.inputs.Box([-1.0, -1.0], [1.0, 1.0]),
    )
    box = _box([-5.0, -5.0, 0.0, -1.0], [5.0, 5.0, TURN, 4.0], (False, False, True, False))
    problem = hj.Problem(system, 0.0, hj.initials.Custom(_disc(1.0)), box, time)
    steering = [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    dynamics = _affine(lambda x: [x[3] * jnp.cos(x[2]), x[3] * jnp.sin(x[2]), 0.0, 0.0], steering)
    return Case(problem, (39, 39, 50, 49), time, dynamics, -1)


def double_integrator(n: int) -> Case:
    """ẍ = a, |a| <= 1, to a disc in (position, velocity): the tube from which it can be reached in time 1."""
    system = H.Freezing(H.DoubleIntegrator())
    problem = hj.Problem(system, 0.0, hj.initials.Custom(_disc(0.5)), _box([-2.0, -2.0], [2.0, 2.0]), 1.0)
    return Case(problem, (n, n), 1.0, _affine(lambda x: [x[1], 0.0], [[0.0], [1.0]]), -1, tube=True)


def dubins(n: int) -> Case:
    """A car of speed 1 that turns at most at rate 1, to a disc: the tube from which it gets there in time 1.5."""
    box = _box([-3.0, -3.0, 0.0], [3.0, 3.0, TURN], (False, False, True))
    problem = hj.Problem(H.Freezing(H.Dubins()), 0.0, hj.initials.Custom(_disc(0.75)), box, 1.5)
    dynamics = _affine(lambda x: [jnp.cos(x[2]), jnp.sin(x[2]), 0.0], [[0.0], [0.0], [1.0]])
    return Case(problem, (n, n, n), 1.5, dynamics, -1, tube=True)
