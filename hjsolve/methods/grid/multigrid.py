"""Linear systems of monotone schemes: a stencil of nearest neighbours, and corrections to it from coarser grids."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ...kernels.sweep import Near, neighbours, sweep_all, turned
from ...typing import Array, Values

_DAMPING = 0.8
_COARSEST_STEPS = 40
Pairs = tuple[tuple[Values, Values], ...]


class Stencil(eqx.Module):
    """`diagonal·e − Σ_m (below_m e_{m−} + above_m e_{m+})` at free nodes and e at the others, with e = 0 beyond faces.

    All coefficients are >= 0 and the diagonal is not below their sum: an M-matrix. What a face adds (a wall that
    reflects) is folded into the row of the face.
    """

    diagonal: Values
    sides: Pairs
    free: Array
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def pad(self, e: Values) -> Values:
        """E with one ghost at both ends of every axis: 0, or wrapped around."""
        for axis, periodic in enumerate(self.periodic):
            width = [(int(axis == m),) * 2 for m in range(e.ndim)]
            e = jnp.pad(e, width, mode="wrap" if periodic else "constant")
        return e

    def __call__(self, e: Values) -> Values:
        """The product with e."""
        near = neighbours(self.pad(e), 1)
        return jnp.where(self.free, self.diagonal * e - _neighbour_sum(near, self.sides), e)

    def swept(self, e: Values, right: Values) -> Values:
        """E after Gauss-Seidel sweeps in all directions for the right side `right`."""

        def sweep(near: Near, data: Any, flips: list[Array]) -> Values:
            right, diagonal, sides = data
            return (right + _neighbour_sum(turned(near, flips), sides)) / diagonal

        return sweep_all(sweep, self.pad, e, (right, self.diagonal, self.sides), self.free, 1)

    def coarser(self) -> "Stencil | None":
        """Every second node: transport weighs half and diffusion a quarter as much; None where nodes do not match."""
        lengths = [n if p else n - 1 for n, p in zip(self.diagonal.shape, self.periodic, strict=True)]
        if any(n % 2 or n < 8 for n in lengths):
            return None
        pick = (slice(None, None, 2),) * len(lengths)
        rest = self.diagonal - sum(below + above for below, above in self.sides)
        sides = []
        for below, above in self.sides:
            both = jnp.minimum(below, above)
            sides.append(tuple(((side - both) / 2 + both / 4)[pick] for side in (below, above)))
        diagonal = jnp.maximum(rest, 0.0)[pick] + sum(below + above for below, above in sides)
        fixed = _averaged((~self.free).astype(self.diagonal.dtype), self.periodic) > 0
        diagonal = jnp.where(diagonal > 0, diagonal, 1.0)
        return Stencil(diagonal, tuple((b, a) for b, a in sides), ~fixed, self.periodic)


def coarse_correction(stencil: Stencil, right: Values) -> Values:
    """An approximate solution by one V-cycle of damped Jacobi steps, two before and two after each coarser grid."""
    coarse = stencil.coarser()
    e = jnp.zeros_like(right)
    if coarse is None:
        return _relaxed(stencil, e, right, _COARSEST_STEPS)
    e = _relaxed(stencil, e, right, 2)
    defect = _averaged(jnp.where(stencil.free, right - stencil(e), 0.0), stencil.periodic)
    e = e + jnp.where(stencil.free, _interpolated(coarse_correction(coarse, defect), stencil.periodic), 0.0)
    return _relaxed(stencil, e, right, 2)


def _relaxed(stencil: Stencil, e: Values, right: Values, steps: int) -> Values:
    def step(_: Array, e: Values) -> Values:
        return e + _DAMPING * jnp.where(stencil.free, (right - stencil(e)) / stencil.diagonal, 0.0)

    return jax.lax.fori_loop(0, steps, step, e)


def _neighbour_sum(near: Near, sides: Pairs) -> Values:
    terms = [below * row[0] + above * row[2] for row, (below, above) in zip(near, sides, strict=True)]
    return sum(terms[1:], start=terms[0])


def _averaged(fine: Values, periodic: tuple[bool, ...]) -> Values:
    """Full weighting (1, 2, 1)/4 along every axis, reflected at faces."""
    for axis, wraps in enumerate(periodic):
        width = [(int(axis == m),) * 2 for m in range(fine.ndim)]
        padded = jnp.moveaxis(jnp.pad(fine, width, mode="wrap" if wraps else "reflect"), axis, 0)
        mean = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
        fine = jnp.moveaxis(mean[::2], 0, axis)
    return fine


def _interpolated(coarse: Values, periodic: tuple[bool, ...]) -> Values:
    """Linear interpolation to every second node."""
    for axis, wraps in enumerate(periodic):
        rows = jnp.moveaxis(coarse, axis, 0)
        following = jnp.roll(rows, -1, 0) if wraps else rows[1:]
        middle = (rows[: following.shape[0]] + following) / 2
        paired = jnp.stack([rows[: middle.shape[0]], middle], 1).reshape(-1, *rows.shape[1:])
        coarse = jnp.moveaxis(paired if wraps else jnp.concatenate([paired, rows[-1:]]), 0, axis)
    return coarse
