"""Any map of node values a step ahead, as a method: what `theory.measure_equation` reads the equation of."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_range, check_shape, counts, number, require
from ...problem import Problem
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Points, PRNGKeyArray, Scalar, Values
from ..base import Evaluation
from .on_torus import AbstractOnTorus


class BlackBox(AbstractOnTorus):
    """`step` S maps node values u `[n_1, ..., n_d]` on a torus to those a time `dt` Δ later: a network of any kind.

    S is a function, or a module whose weights `hj.fit` trains. As a method its steps are Δ long where the times
    asked for are multiples of it, and else parts of a step, u + (δ/Δ)(S(u) − u). Raises `ValueError` where S changes
    the shape.
    """

    step_map: Callable[[Values], Values]
    dt: Array
    cells: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, step: Callable[[Values], Values], cells: int | tuple[int, ...], *, dt: ArrayLike):
        if not callable(step):
            raise TypeError(f"`step` must be a function of node values u [n_1, ..., n_d]; got {step!r}.")
        given = counts("cells", cells)
        self.cells = (given,) if isinstance(given, int) else given
        self.dt = number("dt", dt)
        check_range("dt", self.dt, above=0.0, remedy="The time that one step takes.")
        self.step_map = step
        u = jax.ShapeDtypeStruct(self.cells, jnp.result_type(float))
        shape = getattr(eqx.filter_eval_shape(step, u), "shape", None)
        require(shape == self.cells, f"`step` must map node values {self.cells} to the same shape; got {shape}.")

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: Δ."""
        return (self.dt,)

    def __call__(self, u: Float[Array, "m"]) -> Float[Array, "m"]:
        """S(u) of node values as a list, last axis fastest."""
        check_shape("u", u, (math.prod(self.cells),), f"the values at the nodes of {self.cells} cells")
        return self.step_map(u.reshape(self.cells)).reshape(-1)

    def check(self, problem: Problem) -> None:
        """Refuse what is not a torus of this dimension, and data that are no periodic function."""
        self.check_torus(problem, "A BlackBox")

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> Values:
        """The data on the nodes."""
        return self.data(problem)

    def stable_dt(self, problem: Problem, t: Scalar, state: Values) -> Scalar:
        """Δ."""
        return jnp.asarray(self.dt, state.dtype)

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: Values) -> tuple[Values, RESULTS]:
        """S(u), or a part of it."""
        u = state + dt / self.dt * (self.step_map(state) - state)
        return u, RESULTS.where(jnp.isfinite(jnp.sum(u)), RESULTS.successful, RESULTS.nonfinite)

    def evaluate(
        self, problem: Problem, t: Scalar, state: Values, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and central differences of second order, at the nodes or by quintic interpolation at `points`."""
        return self.between(problem, state, points)

    def equation(self, problem: Problem, state: Values | None = None) -> Problem:
        """The problem as posed: what a black box solves is told by `theory.measure_equation` alone."""
        return problem
