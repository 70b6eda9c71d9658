"""The exact Gaussian transform of piecewise-linear data in one dimension, in the log domain.

`log ∫ exp(v(y) − κ(x−y)²) dy √(κ/π)` with v linear between nodes: on each cell a difference of Gaussian tails, written
with the Mills ratio `m(z) = e^{z²/2} ∫_z^∞ e^{−s²/2} ds`, so that nothing underflows for any κ. As κ grows with v (the
viscosity vanishes) it becomes the Hopf-Lax formula of the interpolated data: its error is that of the interpolation for
every viscosity, and data with kinks on nodes are transformed exactly.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float
from .separable import Pass
from .special import mills

_CELLS = 8
_BLOCK = 2**14
_TAIL = 20.0
_ROOT_2PI = float(np.sqrt(2 * np.pi))
_LOG_ROOT_2PI = float(np.log(_ROOT_2PI))


def transform(
    v: Float[Array, "n L"],
    fields: Float[Array, "f n L"],
    x: Float[Array, "m"],
    y: Float[Array, "n"],
    kappa: Array,
    period: Array | None = None,
) -> Pass:
    """The transform of the interpolant of v for a block of lines (about a thousand), at targets x, and Gibbs averages.

    The averages `[f + 1, m, L]` are those of the interpolated `fields`, then that of the slope of v. Beyond free ends v
    continues linearly; with a `period` (y_{n} = y_0 + period) data repeat: enough images are summed while the kernel's
    width √(1/2κ) is below 3 cells. Cost O(n m L), about ten exponentials a cell; cells that cannot matter are skipped.
    """
    grow = _continued if period is None else _repeated
    nodes, v, fields, slope = grow(y, v, fields, kappa if period is None else period)
    lanes, targets = v.shape[1], x.shape[0]
    height = min(targets, max(16, _BLOCK // lanes))
    places = jnp.pad(x, (0, -targets % height), mode="edge").reshape(-1, height)
    cells = _cells(nodes, v, fields, slope)
    # [blocks, (f + 1,) height, lanes]
    lse, averages = jax.lax.map(lambda at: _integrate(at, cells, kappa), places)
    lse = lse.reshape(-1, lanes)[:targets]
    averages = jnp.moveaxis(averages, 0, 1).reshape(fields.shape[0] + 1, -1, lanes)[:, :targets]
    return Pass(lse, averages, jnp.zeros(2, v.dtype))


def _repeated(y: Array, v: Array, fields: Array, period: Array) -> tuple[Array, Array, Array, Array]:
    """Nodes, data and slopes over this period and enough images on both sides, closed by one more node."""
    n = y.shape[0]
    images = -(-26 // n)
    index = np.arange((2 * images + 1) * n + 1) % n
    nodes = (y[None, :] + period * jnp.arange(-images, images + 1)[:, None]).reshape(-1)
    nodes = jnp.append(nodes, y[0] + (images + 1) * period)
    v = v[index]
    return nodes, v, fields[:, index], jnp.diff(v, axis=0) / (period / n)


def _continued(y: Array, v: Array, fields: Array, kappa: Array) -> tuple[Array, Array, Array, Array]:
    """One node more at each end, so far out that the kernel vanishes there; v continues linearly, fields stay."""
    slope = jnp.diff(v, axis=0) / jnp.diff(y)[:, None]
    far = 2 * (y[-1] - y[0]) + jnp.max(jnp.abs(slope)) / kappa + _TAIL / jnp.sqrt(kappa)
    far = jax.lax.stop_gradient(far)
    nodes = jnp.concatenate([y[:1] - far, y, y[-1:] + far])
    v = jnp.concatenate([v[:1] - slope[:1] * far, v, v[-1:] + slope[-1:] * far])
    fields = jnp.pad(fields, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return nodes, v, fields, jnp.concatenate([slope[:1], slope, slope[-1:]])


def _cells(nodes: Array, v: Array, fields: Array, slope: Array) -> Any:
    """Chunks of cells: edges, values at both ends, slopes, and fields with their slopes; padded by empty cells."""
    widths = jnp.diff(nodes)
    columns = jnp.moveaxis(fields[:, :-1], 1, 0)
    column_slopes = jnp.moveaxis(jnp.diff(fields, axis=1) / widths[:, None], 1, 0)
    count = widths.shape[0]
    arrays = (nodes[:-1], nodes[1:], v[:-1], v[1:], slope, columns, column_slopes)
    short = -count % _CELLS

    def chunks(a: Array) -> Array:
        # copies of the last cell, which `present` leaves out
        padded = jnp.concatenate([a, jnp.repeat(a[-1:], short, axis=0)])
        return padded.reshape((count + short) // _CELLS, _CELLS, *a.shape[1:])

    present = (jnp.arange(count + short) < count).reshape(-1, _CELLS)
    return (present, *(chunks(a) for a in arrays))


def _integrate(x: Array, cells: Any, kappa: Array) -> tuple[Array, Array]:
    """(lse `[h, L]`, averages `[f + 1, h, L]`) at targets x `[h]`."""
    root = jnp.sqrt(2 * kappa)
    left, value, columns = cells[1], cells[3], cells[6]
    lanes, f, dtype = value.shape[2], columns.shape[2], value.dtype
    kept = -1.25 * float(np.log(jnp.finfo(dtype).eps))
    sampled = (value[:, 0], left[:, 0])
    start = jnp.max(sampled[0][:, None] - kappa * (x[:, None] - sampled[1][:, None, None]) ** 2, axis=0)
    best = jax.lax.stop_gradient(start)

    @jax.checkpoint
    def add(carry: Any, chunk: Any) -> Any:
        top, total, sums = carry
        exponent, mass, first, a = _masses(x, chunk, kappa, root)
        _, _, _, _, _, slope, own, own_slope = chunk
        new = jnp.maximum(top, jax.lax.stop_gradient(jnp.max(exponent, axis=0)))
        shrink = jnp.exp(top - new)
        weight = jnp.exp(exponent - new)
        mass, lever = weight * mass, weight * (first - a * mass) / root
        moments = [jnp.sum(own[:, None, k] * mass + own_slope[:, None, k] * lever, axis=0) for k in range(f)]
        moments.append(jnp.sum(slope[:, None] * mass, axis=0))
        return new, total * shrink + jnp.sum(mass, axis=0), sums * shrink + jnp.stack(moments)

    def step(carry: Any, chunk: Any) -> Any:
        _, low, high, v_low, v_high, _, _, _ = chunk
        distance = jnp.maximum(jnp.maximum(low[0] - x, x - high[-1]), 0.0)
        highest = jnp.maximum(jnp.max(v_low, axis=0), v_high[-1])
        matters = jnp.max(highest - kappa * distance[:, None] ** 2 - carry[0]) > -kept
        return jax.lax.cond(matters, add, lambda carry, chunk: carry, carry, chunk), None

    shape = (x.shape[0], lanes)
    carry = (best, jnp.zeros(shape, dtype), jnp.zeros((f + 1, *shape), dtype))
    top, total, sums = jax.lax.scan(step, carry, cells)[0]
    total = jnp.maximum(total, jnp.finfo(dtype).tiny ** 0.49)  # its square is in the derivative
    return top + jnp.log(total) - _LOG_ROOT_2PI, sums / total


def _masses(x: Array, cells: Any, kappa: Array, root: Array) -> tuple[Array, Array, Array, Array]:
    """Exponents, masses, first moments about the vertex and left ends `[B, h, L]` of B cells at targets x `[h]`.

    With z = √(2κ)(y − y*) about the vertex y* = x + q/2κ of the exponent, a cell is [a, b]. Masses and moments are
    relative to the exponential of the exponent at the end nearer to the vertex, or at the vertex where it lies inside.
    """
    present, left, right, v_left, v_right, slope, _, _ = cells
    to_left, to_right = (edge[:, None] - x for edge in (left, right))
    shift = slope[:, None] / root
    a, b = root * to_left[..., None] - shift, root * to_right[..., None] - shift
    inside, rising = (a < 0) & (b > 0), a + b >= 0
    near, far = jnp.minimum(jnp.abs(a), jnp.abs(b)), jnp.maximum(jnp.abs(a), jnp.abs(b))
    value = jnp.where(rising, v_left[:, None], v_right[:, None])
    to_near = jnp.where(rising, to_left[..., None], to_right[..., None])
    # at the vertex v + q²/4κ on the line itself: no cancellation, however narrow the kernel
    at_vertex = value - slope[:, None] * to_near + (shift / 2) * shift
    exponent = jnp.where(inside, at_vertex, value - kappa * to_near**2)
    hump = jnp.where(inside, near**2 / 2, 0.0)
    drop = (root * (right - left))[:, None, None] * jnp.abs(a + b) / 2
    at_near, at_far = jnp.exp(-hump), jnp.exp(-jnp.where(inside, far**2 / 2, drop))
    sign = jnp.where(inside, -1.0, 1.0)
    mass = jnp.where(inside, _ROOT_2PI, 0.0) + sign * mills(near) * at_near - mills(far) * at_far
    real = present[:, None, None]
    mass = jnp.where(real, jnp.maximum(mass, 0.0), 0.0)
    first = jnp.where(real, jnp.where(rising, at_near - at_far, at_far - at_near), 0.0)
    return exponent, mass, first, a
