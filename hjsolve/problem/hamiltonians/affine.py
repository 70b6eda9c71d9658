"""Hamiltonians of control systems ẋ = f(t, x) + G(t, x) a + E(t, x) b with bounded inputs."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ...checks import require
from ...typing import Scalar, Values, Vectors
from .base import AbstractHamiltonian
from .inputs import AbstractInputs

Entry: TypeAlias = Any
"""A number, or an array `[...]` of one at every place."""
Column: TypeAlias = Sequence[Entry]
Matrix: TypeAlias = Sequence[Sequence[Entry]]
"""Rows of entries: a plain 0 costs nothing on a grid."""


class AbstractAffine(AbstractHamiltonian):
    """H(t, x, p) = −(p·f + ext_a p·G a + ext_b p·E b + ℓ) with f, G, E, ℓ of (t, x), in closed form.

    The control a minimises, or maximises where `maximise` is set, and the disturbance b does the opposite. Problem
    time t is time to go, so that u(t, x) is the value with t left: of the running cost ℓ plus the initial data where
    the state ends. The dynamics are affine in each input and the inputs are separate, so that the order of the two
    players does not matter (Isaacs' condition). ∂H/∂p = −ẋ at the optimal inputs, one choice where several are.
    Source: Bardi & Capuzzo-Dolcetta 1997, doi:10.1007/978-0-8176-4755-1, ch. VIII.
    """

    controls: eqx.AbstractVar[AbstractInputs]
    disturbances: eqx.AbstractVar[AbstractInputs | None]
    maximise: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def drift(self, t: Scalar, x: Vectors) -> Column:
        """f, the d components of ẋ without inputs."""

    @abc.abstractmethod
    def steering(self, t: Scalar, x: Vectors) -> Matrix:
        """G, d rows of k entries."""

    @abc.abstractmethod
    def disturbing(self, t: Scalar, x: Vectors) -> Matrix:
        """E, d rows of l entries; not asked for without `disturbances`."""

    @abc.abstractmethod
    def cost(self, t: Scalar, x: Vectors) -> Entry:
        """ℓ, the running cost."""

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """−(p·f + ext_a p·G a + ext_b p·E b + ℓ)."""
        rate = _dot(p, self.drift(t, x)) + self.cost(t, x)
        rate = rate + _extreme(self.controls, _pulled(self.steering(t, x), p), self.maximise)
        if self.disturbances is not None:
            rate = rate + _extreme(self.disturbances, _pulled(self.disturbing(t, x), p), not self.maximise)
        return jnp.broadcast_to(-rate, p.shape[1:])

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """−ẋ at the optimal inputs."""
        return -self.dynamics(t, x, self.control(t, x, p), self.disturbance(t, x, p))

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """|f_i| + max_a |(G a)_i| + max_b |(E b)_i|, whatever p is."""
        bounds = [jnp.abs(component) for component in self.drift(t, x)]
        channels = [(self.controls, self.steering(t, x))]
        if self.disturbances is not None:
            channels.append((self.disturbances, self.disturbing(t, x)))
        for inputs, matrix in channels:
            bounds = [b + (inputs.reach(row) if _moves(row) else 0.0) for b, row in zip(bounds, matrix, strict=True)]
        return _stacked(bounds, p_lo)

    def control(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """a* `[k, ...]` where ∇u = p."""
        return _optimal(self.controls, _pulled(self.steering(t, x), p), self.maximise)

    def disturbance(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """b* `[l, ...]` where ∇u = p; `[0, ...]` without disturbances."""
        if self.disturbances is None:
            return jnp.zeros((0, *p.shape[1:]), p.dtype)
        return _optimal(self.disturbances, _pulled(self.disturbing(t, x), p), not self.maximise)

    def dynamics(self, t: Scalar, x: Vectors, a: Vectors, b: Vectors) -> Vectors:
        """ẋ = f + G a + E b `[d, ...]` for inputs a `[k, ...]` and b `[l, ...]`."""
        rate = [component + _dot(row, a) for component, row in zip(self.drift(t, x), self.steering(t, x), strict=True)]
        if self.disturbances is not None:
            rate = [r + _dot(row, b) for r, row in zip(rate, self.disturbing(t, x), strict=True)]
        return _stacked(rate, x)


class ControlAffine(AbstractAffine):
    """H = −(p·f + min_{a ∈ A} p·g a + ℓ): the control a of ẋ = f(t, x) + g(t, x) a minimises cost ℓ and final data.

    `drift(t, x)` gives f: an array `[d, ...]`, or a list of d numbers and arrays `[...]`. `matrix` is g: an array
    `[d, k]`, or a function of (t, x) that returns one, an array `[d, k, ...]`, or d lists of k numbers and arrays (a
    plain 0 is skipped). `inputs` is the set A: `hj.hamiltonians.inputs.Box`, `Ball` or `Finite`. `cost(t, x)` is ℓ,
    `[...]` or a number. `maximise` makes the control maximise (to avoid the set u < 0). See `Isaacs` for an opponent.
    """

    function: Callable[[Scalar, Vectors], Any]
    matrix: Any
    controls: AbstractInputs
    running_cost: Callable[[Scalar, Vectors], Any] | None
    maximise: bool = eqx.field(static=True)
    disturbances: None = eqx.field(static=True)

    def __init__(
        self,
        drift: Callable[[Scalar, Vectors], Any],
        matrix: Any,
        inputs: AbstractInputs,
        *,
        cost: Callable[[Scalar, Vectors], Any] | None = None,
        maximise: bool = False,
    ):
        self.function, self.matrix, self.controls = drift, _checked("matrix", matrix), inputs
        self.running_cost, self.maximise, self.disturbances = cost, maximise, None
        _check_parts(drift, cost, {"inputs": inputs})

    def drift(self, t: Scalar, x: Vectors) -> Column:
        """f."""
        return _column("drift", self.function(t, x), x)

    def steering(self, t: Scalar, x: Vectors) -> Matrix:
        """g."""
        return _rows("matrix", self.matrix, t, x, self.controls.size)

    def disturbing(self, t: Scalar, x: Vectors) -> Matrix:
        """Nothing."""
        return [[] for _ in x]

    def cost(self, t: Scalar, x: Vectors) -> Entry:
        """ℓ."""
        return 0.0 if self.running_cost is None else self.running_cost(t, x)


class Isaacs(AbstractAffine):
    """H = −(p·f + min_a max_b p·(g a + e b) + ℓ): a game between the inputs a and b of ẋ = f + g(t, x) a + e(t, x) b.

    The control a ∈ `controls` minimises and the disturbance b ∈ `disturbances` maximises; `maximise` swaps the two
    (the control avoids the set u < 0 and the disturbance seeks it). `drift`, `control_matrix` g,
    `disturbance_matrix` e and `cost` are given as in `ControlAffine`.
    """

    function: Callable[[Scalar, Vectors], Any]
    control_matrix: Any
    disturbance_matrix: Any
    controls: AbstractInputs
    disturbances: AbstractInputs
    running_cost: Callable[[Scalar, Vectors], Any] | None
    maximise: bool = eqx.field(static=True)

    def __init__(
        self,
        drift: Callable[[Scalar, Vectors], Any],
        control_matrix: Any,
        controls: AbstractInputs,
        disturbance_matrix: Any,
        disturbances: AbstractInputs,
        *,
        cost: Callable[[Scalar, Vectors], Any] | None = None,
        maximise: bool = False,
    ):
        self.function, self.controls, self.disturbances = drift, controls, disturbances
        self.control_matrix = _checked("control_matrix", control_matrix)
        self.disturbance_matrix = _checked("disturbance_matrix", disturbance_matrix)
        self.running_cost, self.maximise = cost, maximise
        _check_parts(drift, cost, {"controls": controls, "disturbances": disturbances})

    def drift(self, t: Scalar, x: Vectors) -> Column:
        """f."""
        return _column("drift", self.function(t, x), x)

    def steering(self, t: Scalar, x: Vectors) -> Matrix:
        """g."""
        return _rows("control_matrix", self.control_matrix, t, x, self.controls.size)

    def disturbing(self, t: Scalar, x: Vectors) -> Matrix:
        """e."""
        return _rows("disturbance_matrix", self.disturbance_matrix, t, x, self.disturbances.size)

    def cost(self, t: Scalar, x: Vectors) -> Entry:
        """ℓ."""
        return 0.0 if self.running_cost is None else self.running_cost(t, x)


def _check_parts(drift: Any, cost: Any, inputs: dict[str, Any]) -> None:
    for name, function in (("drift", drift), ("cost", cost)):
        if not (callable(function) or (name == "cost" and function is None)):
            raise TypeError(f"`{name}` must be a function of (t, x); got {function!r}. Write lambda t, x: ...")
    for name, given in inputs.items():
        if not isinstance(given, AbstractInputs):
            raise TypeError(f"`{name}` must be a set in hj.hamiltonians.inputs, such as Box(-1.0, 1.0); got {given!r}.")


def _checked(argument: str, matrix: Any) -> Any:
    """A function as it is; else an array `[d, k]`, kept in float64."""
    if callable(matrix) or isinstance(matrix, np.ndarray) or eqx.is_array(matrix):
        return matrix
    array = np.asarray(matrix, dtype=np.float64)
    require(
        array.ndim == 2, f"`{argument}` must have shape [d, k]; got {array.shape}. One row for each component of x."
    )
    return array


def _column(argument: str, value: Any, x: Vectors) -> Column:
    """d entries, from an array or a list of them."""
    entries = list(value)
    require(
        len(entries) == x.shape[0],
        f"`{argument}` must give {x.shape[0]} components, as x has; got {len(entries)}. Return one entry for each.",
    )
    return entries


def _rows(argument: str, matrix: Any, t: Scalar, x: Vectors, size: int) -> Matrix:
    """d rows of `size` entries."""
    rows = [list(row) for row in _column(argument, matrix(t, x) if callable(matrix) else matrix, x)]
    require(
        all(len(row) == size for row in rows),
        f"`{argument}` must have {size} columns, one for each input; got rows of {[len(row) for row in rows]} entries.",
    )
    return rows


def _moves(row: Sequence[Entry]) -> bool:
    return any(not _is_zero(entry) for entry in row)


def _is_zero(entry: Entry) -> bool:
    return isinstance(entry, int | float) and entry == 0


def _dot(left: Any, right: Any) -> Entry:
    """Σ_i left_i right_i without the terms that are plainly zero."""
    terms = [a * b for a, b in zip(left, right, strict=True) if not (_is_zero(a) or _is_zero(b))]
    return sum(terms[1:], start=terms[0]) if terms else 0.0


def _pulled(matrix: Matrix, p: Vectors) -> Vectors:
    """Gᵀp `[k, ...]`."""
    return _stacked([_dot(p, column) for column in zip(*matrix, strict=True)], p)


def _stacked(entries: Sequence[Entry], like: Vectors) -> Vectors:
    return jnp.stack([jnp.broadcast_to(jnp.asarray(entry, like.dtype), like.shape[1:]) for entry in entries])


def _extreme(inputs: AbstractInputs, q: Vectors, maximise: bool) -> Values:
    return -inputs.least(-q) if maximise else inputs.least(q)


def _optimal(inputs: AbstractInputs, q: Vectors, maximise: bool) -> Vectors:
    return inputs.minimiser(-q if maximise else q)
