"""εΔ on a uniform grid as a whole: its semigroup and its resolvent, exactly, by one transform an axis.

A step that takes viscosity in by these has no diffusive limit Δt <= O(Δx²/ε).
"""

from collections.abc import Callable, Iterator
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...problem import Problem
from ...problem.boundaries import AbstractBoundary, Dirichlet, Extrapolation, Neumann
from ...problem.viscosities import Constant, Hessian
from ...typing import Array, Scalar, Values, Vectors
from .hessian import GridHessian
from .mesh import Mesh

Rate = Callable[[Scalar, Values], Values]
"""du/dt at a time, of node values."""
_Symmetry = tuple[bool, bool]
"""Whether u is reflected evenly at the lower and at the upper face of an axis; else oddly."""


class Diffusion(eqx.Module):
    """A(u) = εΔ_h u on the nodes `[n_1, ..., n_d]`, central of `order` 2 or 6, with the conditions on the faces.

    Periodic axes wrap. Across a Neumann face u is reflected evenly (and continued with its slope); across the others
    oddly, about the value that the face has, so that u_nn = 0 there, which is what continuing a line means. Dirichlet
    faces keep their value. So A(u) = Lu + b, L is diagonal in sines and cosines along each axis, and A is integrated
    and inverted exactly, as increments of u made of A(u): whatever the faces bring is in there.
    """

    mesh: Mesh
    epsilon: Array
    held: tuple[tuple[int, int], ...] = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def __init__(self, problem: Problem, mesh: Mesh, order: int):
        assert isinstance(problem.viscosity, Constant)
        reflecting = tuple(
            tuple(face if isinstance(face, Neumann) else _Odd() for face in pair) for pair in mesh.domain.boundary
        )
        self.mesh = eqx.tree_at(lambda m: m.domain.boundary, mesh, reflecting)
        self.epsilon = jnp.asarray(problem.viscosity.epsilon)
        self.held = tuple((axis, side) for axis, side, _ in _dirichlet(mesh))
        self.order = order

    def rate(self, u: Values) -> Values:
        """A(u); 0 on Dirichlet faces."""
        hessian: Hessian = GridHessian(self.mesh, u, self.order)
        rate = self.epsilon * sum((hessian[k, k] for k in range(1, u.ndim)), start=hessian[0, 0])
        for axis, side in self.held:
            rate = rate.at[_face(axis, side)].set(0.0)
        return rate

    def heat(self, u: Values, tau: Scalar) -> Values:
        """The solution of v' = A(v), v(0) = u, at time `tau` >= 0."""

        def averaged(rates: Values) -> Values:
            z = tau * rates
            decays = z < 0
            return jnp.where(decays, jnp.expm1(z) / jnp.where(decays, z, 1.0), 1.0)

        return u + tau * self._by_modes(self.rate(u), averaged)

    def implicit_rate(self, u: Values, gamma: Scalar) -> Values:
        """The k with k = A(u + γk), γ >= 0: one backward Euler step of length γ goes to u + γk."""
        return self._by_modes(self.rate(u), lambda rates: 1 / (1 - gamma * rates))

    def _by_modes(self, f: Values, factor: Callable[[Values], Values]) -> Values:
        """factor(L) f, elementwise on the modes of L."""
        waves = [k for k, periodic in enumerate(self.mesh.domain.periodic) if periodic]
        walls = [(k, self._symmetry(k)) for k in range(f.ndim) if k not in waves]
        for axis, symmetry in walls:
            f = _along(axis, partial(_to_modes, even=symmetry), f)
        multiplier = factor(self._eigenvalues(f, waves))
        if waves:
            shape = [f.shape[k] for k in waves]
            f = jnp.fft.irfftn(multiplier * jnp.fft.rfftn(f, axes=waves), s=shape, axes=waves)
        else:
            f = multiplier * f
        for axis, symmetry in walls:
            f = _along(axis, partial(_from_modes, even=symmetry), f)
        return f

    def _eigenvalues(self, f: Values, waves: list[int]) -> Values:
        """Those of L, <= 0, laid out like the modes; the last periodic axis has half of them."""
        total = jnp.zeros((), f.dtype)
        for axis, n in enumerate(self.mesh.cells):
            if axis in waves:
                angles = np.arange(n // 2 + 1 if axis == waves[-1] else n) / n
            else:
                angles = _half_turns(n, self._symmetry(axis))
            s = np.sin(np.pi * angles) ** 2
            second = -4 * (s if self.order == 2 else s * (1 + s / 3 + 8 * s**2 / 45))
            column = jnp.asarray(second, f.dtype).reshape(-1, *(1,) * (f.ndim - 1 - axis))
            total = total + column / self.mesh.spacing[axis] ** 2
        return self.epsilon * total

    def _symmetry(self, axis: int) -> _Symmetry:
        lower, upper = self.mesh.domain.boundary[axis]
        return isinstance(lower, Neumann), isinstance(upper, Neumann)


class _Odd(AbstractBoundary):
    """u_{−k} = 2u_0 − u_k."""

    def reads(self, width: int) -> int:
        """width + 1."""
        return width + 1

    def ghosts(self, inner: Values, spacing: Values, width: int) -> Values:
        """2u_0 − u_k, k = 1..width."""
        return 2 * inner[0] - inner[1 : width + 1]

    def on_face(self, t: Scalar, x: Vectors, u: Values) -> Values | None:
        """None."""
        return None


def hindrance(problem: Problem, mesh: Mesh) -> str | None:
    """Why diffusion cannot be split off in this problem on this mesh, and what to do; None where it can."""
    if mesh.stretched:
        return "`stretching` must be None; got one. Use equal cells, or an explicit stepper, such as SSPRK3()."
    if not isinstance(problem.viscosity, Constant):
        kind = type(problem.viscosity).__name__
        return f"`viscosity` must be Constant; got {kind}. Use an explicit stepper, such as SSPRK3()."
    for axis, pair in enumerate(problem.domain.boundary):
        for face in () if problem.domain.periodic[axis] else pair:
            linear = isinstance(face, Extrapolation | Dirichlet) and face.degree == 1
            if not (linear or isinstance(face, Neumann)):
                return (
                    f"`boundary` on axis {axis} must be Neumann, or Extrapolation or Dirichlet of degree 1; got "
                    f"{face}. Use one of these, a periodic axis, or an explicit stepper, such as SSPRK3()."
                )
    return None


def on_moving_faces(problem: Problem, mesh: Mesh, rate: Rate) -> Rate:
    """`rate` without viscosity, but on Dirichlet faces, which hold their value where ε > 0, that of the value in t."""

    assert isinstance(problem.viscosity, Constant)
    epsilon = problem.viscosity.epsilon

    def moving(t: Scalar, u: Values) -> Values:
        change = rate(t, u)
        for axis, side, face in _dirichlet(mesh):
            index = _face(axis, side)
            x, there = mesh.coordinates[(slice(None), *index)], u[index]
            _, speed = jax.jvp(lambda t: face.on_face(t, x, there), (t,), (jnp.ones_like(t),))  # noqa: B023
            change = change.at[index].set(jnp.where(epsilon > 0, speed, change[index]))
        return change

    return moving


def _dirichlet(mesh: Mesh) -> Iterator[tuple[int, int, Dirichlet]]:
    for axis, pair in enumerate(mesh.domain.boundary):
        for side, face in () if mesh.domain.periodic[axis] else ((0, pair[0]), (-1, pair[1])):
            if isinstance(face, Dirichlet):
                yield axis, side, face


def _face(axis: int, side: int) -> tuple[slice | int, ...]:
    return (*(slice(None),) * axis, side)


def _along(axis: int, transform: Callable[[Values], Values], f: Values) -> Values:
    return jnp.moveaxis(transform(jnp.moveaxis(f, axis, -1)), -1, axis)


def _half_turns(n: int, even: _Symmetry) -> np.ndarray:
    """Half the angle, in units of π, by which each mode of `_to_modes` turns from node to node."""
    if all(even):
        return np.arange(n + 1) / (2 * n)
    if any(even):
        return np.append(np.arange(n) + 0.5, 0.0) / (2 * n)
    return np.concatenate([[0.0], np.arange(1, n), [0.0]]) / (2 * n)


def _to_modes(u: Values, even: _Symmetry) -> Values:
    """Modes `[..., n + 1]` of lines `[..., n + 1]`: cosines; or sines between what the lines have at their ends.

    With one even end: cosines of a line twice as long, odd about its middle, and the value at the odd end.
    """
    if all(even):
        return _cosines(u)
    if any(even):
        u = u[..., ::-1] if even[1] else u
        last = u[..., -1:]
        u = u - last
        return jnp.concatenate([_cosines(jnp.concatenate([u, -u[..., -2::-1]], axis=-1))[..., 1::2], last], axis=-1)
    ends = u[..., :1], u[..., -1:]
    u = u - _straight(*ends, u.shape[-1])
    sines = jnp.fft.rfft(jnp.concatenate([u, -u[..., -2:0:-1]], axis=-1)).imag[..., 1:-1]
    return jnp.concatenate([ends[0], sines, ends[1]], axis=-1)


def _from_modes(modes: Values, even: _Symmetry) -> Values:
    """The inverse of `_to_modes`."""
    n = modes.shape[-1] - 1
    if all(even):
        return _from_cosines(modes)
    first, inner, last = modes[..., :1], modes[..., 1:-1], modes[..., -1:]
    if any(even):
        waves = modes[..., :-1]
        alternate = jnp.stack([jnp.zeros_like(waves), waves], axis=-1).reshape(*waves.shape[:-1], 2 * n)
        u = _from_cosines(jnp.concatenate([alternate, jnp.zeros_like(last)], axis=-1))[..., : n + 1] + last
        return u[..., ::-1] if even[1] else u
    ends = jnp.zeros_like(first)
    u = jnp.fft.irfft(1j * jnp.concatenate([ends, inner, ends], axis=-1), 2 * n)[..., : n + 1]
    return u + _straight(first, last, n + 1)


def _straight(first: Values, last: Values, nodes: int) -> Values:
    share = jnp.asarray(np.linspace(0.0, 1.0, nodes), first.dtype)
    return first * (1 - share) + last * share


def _cosines(u: Values) -> Values:
    return jnp.fft.rfft(jnp.concatenate([u, u[..., -2:0:-1]], axis=-1)).real


def _from_cosines(modes: Values) -> Values:
    n = modes.shape[-1] - 1
    return jnp.fft.irfft(modes, 2 * n)[..., : n + 1]
