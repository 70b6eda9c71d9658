"""Boundary conditions of a grid: how values continue beyond a face, and what the face itself holds."""

import abc
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..checks import check_range, number, require, whole_number
from ..typing import Array, ArrayLike, Scalar, Values, Vectors

_HIGHEST = 5


class AbstractBoundary(eqx.Module):
    """The continuation of node values beyond one face of a box. The face is a node."""

    @abc.abstractmethod
    def reads(self, width: int) -> int:
        """How many node values, the face's among them, `width` ghosts are made of."""

    @abc.abstractmethod
    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """`width` values beyond the face, the nearest first, on the leading axis.

        `inner` holds at least `reads(width)` node values counted from the face inwards (`inner[0]` is the face itself).
        """

    @abc.abstractmethod
    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """The value `[...]` that the condition prescribes on the face's nodes x `[d, ...]`; None where it does not."""


class Extrapolation(AbstractBoundary):
    """The polynomial of `degree` 1 to 5 through the nodes next to the face, continued; by default a line.

    For faces that characteristics leave. A line caps the order at the face at 2; `degree` 4 keeps that of WENO5, and 3
    that of WENO3, where u is smooth, but a higher one overshoots at kinks. Where characteristics enter, the solution
    depends on data beyond the box that a grid does not have, and errors at the face can grow until the step underflows,
    or, where speeds do not depend on slopes (control systems and games), without limit and without a flag: enlarge the
    box, or use another condition (`AwayFromZero` as in level-set codes, `StateConstraint`).
    """

    degree: int = eqx.field(static=True)

    def __init__(self, degree: int = 1):
        self.degree = _degree(degree)

    def reads(self, width: int) -> int:
        """degree + 1."""
        return self.degree + 1

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """The polynomial at the places −1, ..., −width; for degree 1, u_0 + k(u_0 − u_1)."""
        return _continued(inner, width, self.degree)

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


class AwayFromZero(AbstractBoundary):
    """Continuation by a line that never approaches zero: u_{−k} = u_0 + k sign(u_0)|u_0 − u_1|.

    The usual one of level-set codes: no zero level set enters through the face, whatever the characteristics do. It has
    a kink wherever u falls towards the face. Source: Mitchell, *A Toolbox of Level Set Methods*, 2007, section 3.3.
    """

    def reads(self, width: int) -> int:
        """2."""
        return 2

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """u_0 + k sign(u_0)|u_0 − u_1|, k = 1..width."""
        return inner[0] + _steps(inner, width) * (jnp.sign(inner[0]) * jnp.abs(inner[0] - inner[1]))

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


class Neumann(AbstractBoundary):
    """∂u/∂n = `slope` along the outward normal: u_{−k} = u_k + 2kΔx·slope. Zero slope is a reflecting wall."""

    slope: Array

    def __init__(self, slope: ArrayLike = 0.0):
        self.slope = number("slope", slope)
        check_range("slope", self.slope, remedy="Give the derivative along the outward normal.")

    def reads(self, width: int) -> int:
        """width + 1."""
        return width + 1

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """u_k + 2kΔx·slope, k = 1..width."""
        return inner[1 : width + 1] + 2 * _steps(inner, width) * spacing * self.slope

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


class StateConstraint(AbstractBoundary):
    """Trajectories may not leave through this face: u_{−k} = u_0 + k max(u_0 − u_1, 0), so that leaving never pays.

    Soner's condition, H(x, ∇u) >= 0 up to the face, for Hamiltonians that are even in the slope across it (no drift
    through the face: c|p|², |p|, norms); with a drift the least speed of leaving is not ruled out exactly.
    Source: Soner 1986, doi:10.1137/0324032.
    """

    def reads(self, width: int) -> int:
        """2."""
        return 2

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """u_0 + k max(u_0 − u_1, 0), k = 1..width."""
        return inner[0] + _steps(inner, width) * jnp.maximum(inner[0] - inner[1], 0.0)

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


class Dirichlet(AbstractBoundary):
    """u = `value` on the face, in the viscosity sense where ε = 0: the state may leave and pay `value`, or stay.

    `value` is a number or a function (t, x `[d, ...]`) -> `[...]`. With ε > 0 the face holds it. At ε = 0 the face
    holds it where characteristics enter. Where they leave, u is what the equation gives, with values continued by the
    polynomial of `degree`, and does not rise above `value` where a control minimises (H convex in p; it does not fall
    below it where the control maximises). Source: Barles & Perthame 1988, doi:10.1137/0326063.
    """

    value: Array | Callable[[Scalar, Vectors], Values]
    degree: int = eqx.field(static=True)

    def __init__(self, value: ArrayLike | Callable[[Scalar, Vectors], Values] = 0.0, *, degree: int = 1):
        self.value = value if callable(value) and not isinstance(value, jax.Array) else number("value", value)
        self.degree = _degree(degree)

    def reads(self, width: int) -> int:
        """degree + 1."""
        return self.degree + 1

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """The polynomial at the places −1, ..., −width."""
        return _continued(inner, width, self.degree)

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """value(t, x)."""
        given = jnp.asarray(self.value(t, x) if callable(self.value) else self.value, u.dtype)
        require(
            given.ndim == 0 or given.shape == u.shape,
            f"`value` must map x [d, ...] to [...]: x {x.shape} gave {given.shape}. Use x[0], x[1], ... whole.",
        )
        return jnp.broadcast_to(given, u.shape)


def _degree(degree: int) -> int:
    degree = whole_number("degree", degree, least=1, remedy="It is the degree of the polynomial that is continued.")
    require(degree <= _HIGHEST, f"`degree` must be <= {_HIGHEST}; got {degree}. Higher ones amplify round-off.")
    return degree


def _steps(inner: Values, width: int) -> Array:
    return jnp.arange(1, width + 1, dtype=inner.dtype).reshape((-1,) + (1,) * (inner.ndim - 1))


def _continued(inner: Values, width: int, degree: int) -> Values:
    """The polynomial through inner[0..degree] at −1, ..., −width, as a change from the face: lines stay lines."""
    nodes = np.arange(degree + 1.0)
    places = -np.arange(1.0, width + 1)
    others = [np.delete(nodes, j) for j in range(degree + 1)]
    weights = np.array([[np.prod((z - o) / (j - o)) for j, o in enumerate(others)] for z in places])
    changes = [inner[j] - inner[0] for j in range(1, degree + 1)]
    rows = [sum(float(w) * change for w, change in zip(row[1:], changes, strict=True)) for row in weights]
    return inner[0] + jnp.stack([jnp.asarray(row) for row in rows])
