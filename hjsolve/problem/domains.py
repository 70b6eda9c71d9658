"""Where the equation lives: a box, periodic in some axes or in all (a torus)."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..checks import as_array, check_ndim, check_range, require
from ..typing import Array, ArrayLike, Values, Vectors
from .boundaries import AbstractBoundary, Extrapolation

Faces = tuple[tuple[AbstractBoundary, AbstractBoundary], ...]


class AbstractDomain(eqx.Module):
    """An axis-parallel box from `lower` to `upper` `[d]`, with periodic axes and a boundary condition on each face."""

    lower: eqx.AbstractVar[Array]
    upper: eqx.AbstractVar[Array]
    periodic: eqx.AbstractVar[tuple[bool, ...]]
    boundary: eqx.AbstractVar[Faces]

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.periodic)

    @property
    def extent(self) -> Array:
        """upper − lower `[d]`."""
        return jnp.asarray(self.upper) - self.lower

    def wrap(self, x: Vectors) -> Vectors:
        """x `[..., d]` with periodic coordinates brought back into [lower, upper)."""
        wrapped = self.lower + jnp.mod(x - self.lower, self.extent)
        return jnp.where(jnp.asarray(self.periodic), wrapped, x)

    def contains(self, x: Vectors, *, slack: float = 0.0) -> Values:
        """Whether x `[..., d]` lies inside the closed box, widened by `slack` of its extent; periodic axes hold all."""
        margin = slack * self.extent
        inside = (x >= self.lower - margin) & (x <= self.upper + margin)
        return jnp.all(inside | jnp.asarray(self.periodic), axis=-1)


class Box(AbstractDomain):
    """[lower_1, upper_1] x ... x [lower_d, upper_d].

    `periodic` names the periodic axes (default none). `boundary` is one condition for every face, or for each axis a
    pair (lower face, upper face); periodic axes ignore theirs. Representations (particles, networks) solve the Cauchy
    problem on all of R^d and read initial data outside the box; grid methods use the boundary condition.
    """

    lower: Array
    upper: Array
    periodic: tuple[bool, ...] = eqx.field(static=True)
    boundary: Faces

    def __init__(
        self,
        lower: ArrayLike | Sequence[float],
        upper: ArrayLike | Sequence[float],
        *,
        periodic: Sequence[bool] | None = None,
        boundary: AbstractBoundary | Sequence[tuple[AbstractBoundary, AbstractBoundary]] | None = None,
    ):
        self.lower, self.upper = _bounds(lower, upper)
        d = len(self.lower)
        if periodic is not None and np.ndim(periodic) == 0:
            raise TypeError(f"`periodic` must be a list of {d} flags; got {periodic!r}. Use Torus for all-periodic.")
        self.periodic = (False,) * d if periodic is None else tuple(bool(flag) for flag in periodic)
        require(
            len(self.periodic) == d,
            f"`periodic` must have one entry per axis ({d}); got {len(self.periodic)}. Use Torus for all-periodic.",
        )
        self.boundary = _faces(boundary, d)


class Torus(AbstractDomain):
    """The box with opposite faces identified: every axis is periodic with period upper − lower."""

    lower: Array
    upper: Array
    periodic: tuple[bool, ...] = eqx.field(static=True)
    boundary: Faces

    def __init__(self, lower: ArrayLike | Sequence[float], upper: ArrayLike | Sequence[float]):
        self.lower, self.upper = _bounds(lower, upper)
        self.periodic = (True,) * len(self.lower)
        self.boundary = _faces(None, len(self.lower))


def _bounds(lower: ArrayLike | Sequence[float], upper: ArrayLike | Sequence[float]) -> tuple[Array, Array]:
    low, high = as_array("lower", lower), as_array("upper", upper)
    remedy = "Give one number per dimension, e.g. lower=[-1.0], upper=[1.0] in one dimension."
    check_ndim("lower", low, 1, "[d]", remedy)
    check_ndim("upper", high, 1, "[d]", remedy)
    require(len(low) > 0, f"`lower` must have at least one entry; got none. {remedy}")
    require(
        low.shape == high.shape,
        f"`lower` and `upper` must have the same length; got {len(low)} and {len(high)}. {remedy}",
    )
    check_range("lower", low, remedy="A domain is bounded; particles read data outside it.")
    check_range("upper", high, remedy="A domain is bounded; particles read data outside it.")
    check_range("upper - lower", high - low, above=0.0, remedy="Each upper bound must exceed its lower bound.")
    return low, high


def _faces(boundary: AbstractBoundary | Sequence[tuple[AbstractBoundary, AbstractBoundary]] | None, d: int) -> Faces:
    if boundary is None:
        boundary = Extrapolation()
    if isinstance(boundary, AbstractBoundary):
        return ((boundary, boundary),) * d
    if isinstance(boundary, type):
        raise TypeError(f"`boundary` must be an instance, not the class; write {boundary.__name__}().")
    remedy = "Write one condition for all faces, or [(lower, upper), ...] with a pair for each axis."
    if not isinstance(boundary, list | tuple):
        raise TypeError(f"`boundary` must hold boundary conditions; got {boundary!r}. {remedy}")
    paired = all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in boundary)
    require(
        paired and len(boundary) == d,
        f"`boundary` must have one (lower, upper) pair per axis ({d}); got {boundary!r}. {remedy}",
    )
    faces = tuple((pair[0], pair[1]) for pair in boundary)
    for condition in (face for pair in faces for face in pair):
        if not isinstance(condition, AbstractBoundary):
            raise TypeError(
                f"`boundary` must hold boundary conditions; got {condition!r}. Use hj.boundaries.Extrapolation() or "
                "hj.boundaries.Neumann()."
            )
    return faces
