"""What a method is. Two kinds, one face: evolutions step through time, representations jump to any time.

`solve` knows this module alone. Grid, particle and network methods are siblings that never import each other.
"""

import abc
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import equinox as eqx

from ..problem import Problem, StationaryProblem
from ..results import RESULTS
from ..typing import Array, Float, Points, PRNGKeyArray, Scalar

State: TypeAlias = Any
"""What a method carries: node values, atoms, weights. A pytree of arrays."""


class Evaluation(eqx.Module):
    """u `[m]` and ∇u `[m, d]` at a batch of points, how the evaluation ended, and numbers about it."""

    u: Float[Array, "m"]
    gradient: Float[Array, "m d"]
    result: RESULTS
    stats: dict[str, Array]


@runtime_checkable
class HoldsFixed(Protocol):
    """A network with numbers that training must leave alone, whatever the optimiser does (weight decay included)."""

    def held(self) -> tuple[Any, ...]:
        """The leaves of this module that are not trained."""
        ...


@runtime_checkable
class LearnsEquation(Protocol):
    """A representation that brings its own loss on a problem: `fit` needs no reference solution for it."""

    def begin(self, problem: Problem, *, key: PRNGKeyArray) -> Any:
        """This method with weights for the problem, where it has none yet; refuses problems it cannot learn."""
        ...

    def residual_loss(self, problem: Problem, batch: int, *, key: PRNGKeyArray) -> Scalar:
        """How far the weights are from solving the equation, on `batch` fresh samples."""
        ...


class AbstractMethod(eqx.Module):
    """A way to solve `u_t + H(t, x, ∇u) = ε Δu`."""

    knows_obstacles: ClassVar[bool] = False
    """Whether it keeps u below a problem's ceiling and above its floor."""

    @abc.abstractmethod
    def check(self, problem: Problem) -> None:
        """Raise `ValueError` if this method cannot solve the problem; called before any work starts."""

    @abc.abstractmethod
    def evaluate(
        self, problem: Problem, t: Scalar, state: State, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """u and ∇u at `points` `[m, d]` and time t; None means the method's own nodes."""

    @abc.abstractmethod
    def equation(self, problem: Problem, state: State | None = None) -> Problem:
        """The equation this method really solves, to leading order: its Hamiltonian and effective viscosity."""


class AbstractEvolution(AbstractMethod):
    """A method that marches: grids, steppers. Its state at one time gives its state a step later."""

    @abc.abstractmethod
    def nodes(self, problem: Problem) -> Points:
        """The points `[m, d]` that carry the state, last axis fastest."""

    @abc.abstractmethod
    def start_time(self, problem: Problem) -> Scalar:
        """Where the march begins: 0, or a small positive time for data that are singular at 0."""

    @abc.abstractmethod
    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> State:
        """The state at the start time."""

    @abc.abstractmethod
    def stable_dt(self, problem: Problem, t: Scalar, state: State) -> Scalar:
        """The largest step that is stable from this state."""

    @abc.abstractmethod
    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: State) -> tuple[State, RESULTS]:
        """The state at t + dt."""


class AbstractRepresentation(AbstractMethod):
    """A method that evaluates any time directly: propagators, trained networks."""

    @abc.abstractmethod
    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> State:
        """What all evaluations share (atoms, weights), made once."""


class AbstractStationary(AbstractMethod):
    """A method for `λu + H(x, ∇u) = ε Δu + f` on a grid: its one state serves every time."""

    @abc.abstractmethod
    def nodes(self, problem: StationaryProblem) -> Points:
        """The points `[m, d]` that carry the state, last axis fastest."""

    @abc.abstractmethod
    def relax(
        self, problem: StationaryProblem, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, RESULTS, dict[str, Array]]:
        """The solution's state, how the iteration ended, and numbers about it."""
