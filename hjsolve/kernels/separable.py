"""One axis of the heat kernel on a tensor grid, as a log-sum-exp over nodes: the d passes of the exact propagator.

A pass maps v on `n_s` source nodes to `log Σ_j exp(v_j + k_ij)` on `n_t` targets, for many lines at once; the kernel k
is shared by all lines. Chunks of sources are multiplied as matrices in the linear domain, every chunk with a scale of
its own for each target and line, so that v may vary by e^60 within a chunk (e^600 in float64) and without limit over
the axis; a chunk that exceeds this is summed in the log domain, and one that no target can feel is skipped.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from ..typing import Array, Float

Kernel: TypeAlias = Callable[[Array, Array], tuple[Array, Array]]
"""`(i, j) -> (k_ij, ∂k_ij)`: the log kernel between target i and source j, and its derivative in the target."""

_CHUNK = 32
_BLOCK = 2**16
"""Targets times lines that are summed at once: caches hold the accumulators, 256 kB in float32 for each output."""
_ABSENT = -1e30
_SAMPLED = 4
_ROWS = 16
"""Sources in one fused loop of the search for a reference: twelve times faster than one by one."""
_TRUSTED = 42.0
"""Largest distance of a log-sum-exp from its reference."""


class Pass(NamedTuple):
    """What one axis gives: the log-sum-exp `[n_t, L]`, Gibbs averages `[f + 1, n_t, L]`, and how well nodes resolve it.

    The averages are those of the given fields, then the derivative of `lse` along the axis, which is an average too.
    `coarsening` `[2]` is the largest relative change of the sum on leaving out every second node, and three of four.
    """

    lse: Float[Array, "n L"]
    averages: Float[Array, "f n L"]
    coarsening: Float[Array, "2"]


def heat_kernel(x: Array, y: Array, kappa: Array, period: Array | None) -> Kernel:
    """−κ(x_i − y_j)² for uniform nodes x and y, or the periodic kernel, where x is y or every k-th node of it.

    Indices beyond the ends continue the nodes.
    """
    if period is None:
        dx, dy = _spacing(x), _spacing(y)

        def free(i: Array, j: Array) -> tuple[Array, Array]:
            r = (x[0] - y[0]) + i * dx - j * dy
            return -kappa * r**2, -2 * kappa * r

        return free
    n = y.shape[0]
    log_theta, slope = periodic_kernel(period / n * jnp.arange(n), kappa, period)

    def periodic(i: Array, j: Array) -> tuple[Array, Array]:
        k = jnp.mod(i * (n // x.shape[0]) - j, n)
        return log_theta[k], slope[k]

    return periodic


def periodic_kernel(r: Array, kappa: Array, period: Array) -> tuple[Array, Array]:
    """`log Σ_m exp(−κ(r + mP)²)` and its derivative in r, to round-off for every κ > 0.

    Images are summed while the kernel is narrow, κP² > 4, and its Fourier series beyond; both converge fast there.
    """
    r = r - period * jnp.round(r / period)
    narrow = kappa * period**2 > 4.0
    direct = jnp.where(narrow, kappa, 4.0 / period**2)
    images = np.arange(-4, 5).reshape((-1,) + (1,) * r.ndim)
    places = r + images * period
    relative = jnp.exp(-direct * (places**2 - r**2))
    total = jnp.sum(relative, axis=0)
    log_direct = jnp.log(total) - direct * r**2
    slope_direct = -2 * direct * jnp.sum(relative * places, axis=0) / total
    spread = jnp.where(narrow, 4.0 / period**2, kappa)
    waves = jnp.arange(1, 6, dtype=r.dtype).reshape((-1,) + (1,) * r.ndim)
    decay = jnp.exp(-((np.pi * waves) ** 2) / (spread * period**2))
    angle = 2 * np.pi * waves * r / period
    series = 1 + 2 * jnp.sum(decay * jnp.cos(angle), axis=0)
    log_series = jnp.log(series) + 0.5 * jnp.log(np.pi / spread) - jnp.log(period)
    slope_series = -4 * np.pi / period * jnp.sum(decay * waves * jnp.sin(angle), axis=0) / series
    return jnp.where(narrow, log_direct, log_series), jnp.where(narrow, slope_direct, slope_series)


def sum_over_nodes(
    v: Float[Array, "n L"], fields: Float[Array, "f n L"], kernel: Kernel, measured: tuple[Array, Array]
) -> Pass:
    """`log Σ_j exp(v_j + k_ij)` for a block of some hundred lines, and Gibbs averages of `fields`, and its slope.

    `measured` (`[n_t]`, `[L]` booleans) says for which targets and lines `coarsening` is taken, at every fourth target:
    neighbours see the same integrand. Cost n_s n_t L multiply-adds for each output.
    """
    return _Sums(kernel, v.shape[0], measured[0].shape[0]).lines(v, fields, *measured)


class _Partial(NamedTuple):
    """Sums relative to e^reference: plain and of fields `[h, f + 1, L]`, of the kernel's slope, and of waves."""

    plain: Array
    slope: Array
    waves: Array


class _Sums(NamedTuple):
    """The sums of one block of lines."""

    kernel: Kernel
    sources: int
    targets: int

    def lines(self, v: Array, fields: Array, target_mask: Array, line_mask: Array) -> Pass:
        n, lanes = v.shape
        f, size = fields.shape[0], min(_CHUNK, n)
        short = -n % size
        v = jnp.pad(v, ((0, short), (0, 0)), constant_values=_ABSENT)
        fields = jnp.pad(fields, ((0, 0), (0, short), (0, 0)))
        chunks = v.reshape(-1, size, lanes)
        top = jax.lax.stop_gradient(jnp.max(chunks, axis=1))
        columns = jnp.concatenate([jnp.ones((1, *chunks.shape), v.dtype), fields.reshape(f, *chunks.shape)])
        columns = jnp.moveaxis(columns, 0, 2)
        weights = jnp.exp(chunks - top[:, None])[:, :, None] * columns
        packed = (jnp.arange(len(chunks)), chunks, top, weights, columns)
        blocks = -(-self.targets // max(_CHUNK, _BLOCK // lanes))
        height = -(-self.targets // (blocks * _SAMPLED)) * _SAMPLED
        mask = jnp.pad(target_mask, (0, blocks * height - self.targets)).reshape(blocks, height)

        def at(block: tuple[Array, Array]) -> tuple[Array, Array, Array]:
            first, here = block
            sums, reference = self.block(first + jnp.arange(height), v, packed)
            # less only where the reference lies, which is not trusted; the square of this is in the derivative
            total = jnp.maximum(sums.plain[:, 0], jnp.finfo(v.dtype).tiny ** 0.49)
            averages = jnp.stack([*(sums.plain[:, k] for k in range(1, f + 1)), sums.slope]) / total
            change = _coarsening(*jax.lax.stop_gradient((total, sums.waves)), here[:, None] & line_mask)
            return reference + jnp.log(total), averages, change

        lse, averages, change = jax.lax.map(at, (height * jnp.arange(blocks), mask))
        lse = lse.reshape(-1, lanes)[: self.targets]
        averages = jnp.moveaxis(averages, 0, 1).reshape(f + 1, blocks * height, lanes)[:, : self.targets]
        return Pass(lse, averages, jnp.max(change, axis=0))

    def block(self, i: Array, v: Array, packed: Any) -> tuple[_Partial, Array]:
        """The sums for a block of targets, and their reference. `_SAMPLED` neighbours share it, and scales."""
        dtype, (height, lanes) = v.dtype, (i.shape[0], v.shape[1])
        shared = self._reference(i, v)
        reference = jnp.repeat(shared, _SAMPLED, axis=0)
        kept = -2.5 * float(np.log(jnp.finfo(dtype).eps))
        skip, safe = -kept, (600.0 if dtype == jnp.float64 else 66.0)

        def body(carry: _Partial, chunk: Any) -> tuple[_Partial, None]:
            number, own, top, weights, columns = chunk
            size, rows = own.shape[0], weights.shape[1]
            j = number * size + jnp.arange(size)
            log_kernel, slope = self.kernel(i[:, None], j[None, :])
            highest = jax.lax.stop_gradient(jnp.max(log_kernel.reshape(len(shared), -1), axis=1))
            scale = top + highest[:, None] - shared
            waves = self._waves(j).astype(dtype)

            def add_product(carry: _Partial) -> _Partial:
                matrix = jnp.exp(log_kernel - jnp.repeat(highest, _SAMPLED)[:, None])
                factor = jnp.exp(scale)

                def scaled(product: Array) -> Array:
                    return (product.reshape(len(shared), -1, lanes) * factor[:, None]).reshape(product.shape)

                plain = _matmul(matrix, weights.reshape(size, -1)).reshape(-1, lanes)
                sampled = (matrix[::_SAMPLED] * waves[:, None]).reshape(-1, size)
                waved = _matmul(sampled, weights[:, 0]).reshape(carry.waves.shape)
                return _Partial(
                    carry.plain + scaled(plain).reshape(height, rows, lanes),
                    carry.slope + scaled(_matmul(slope * matrix, weights[:, 0])),
                    carry.waves + waved * factor,
                )

            def add_terms(carry: _Partial) -> _Partial:
                def add(carry: _Partial, source: Any) -> tuple[_Partial, None]:
                    value, log_column, slopes, wave, column = source
                    term = jnp.exp(jnp.minimum(value + log_column[:, None] - reference, safe))
                    plain = carry.plain + column * term[:, None]
                    waved = carry.waves + wave[:, None, None] * term[::_SAMPLED]
                    return _Partial(plain, carry.slope + slopes[:, None] * term, waved), None

                return jax.lax.scan(add, carry, (own, log_kernel.T, slope.T, waves.T, columns))[0]

            most = jnp.max(scale)
            choice = (most > skip).astype(int) + (most > safe).astype(int)
            return jax.lax.switch(choice, [lambda carry: carry, add_product, add_terms], carry), None

        waves = self._waves(jnp.zeros(1, int)).shape[0]
        start = _Partial(
            jnp.zeros((height, packed[3].shape[2], lanes), dtype),
            jnp.zeros((height, lanes), dtype),
            jnp.zeros((waves, height // _SAMPLED, lanes), dtype),
        )
        return jax.lax.scan(body, start, packed)[0], reference

    def _reference(self, i: Array, v: Array) -> Array:
        """The largest term, roughly: from every fourth source, for four targets at a time. Any nearby scale will do."""
        j = jnp.arange(0, self.sources, _SAMPLED)
        log_kernel, _ = self.kernel(i[::_SAMPLED, None] + (_SAMPLED - 1) // 2, j[None, :])
        size = min(_ROWS, len(j))
        short = ((0, -len(j) % size), (0, 0))
        values = jnp.pad(v[: self.sources : _SAMPLED], short, constant_values=_ABSENT).reshape(-1, size, v.shape[1])
        columns = jnp.pad(log_kernel.T, short).reshape(-1, size, log_kernel.shape[0])

        def body(best: Array, some: tuple[Array, Array]) -> tuple[Array, None]:
            for value, column in zip(*some, strict=True):
                term = value + column[:, None]
                best = jnp.where(term > best, term, best)
            return best, None

        start = jnp.full((log_kernel.shape[0], v.shape[1]), _ABSENT, v.dtype)
        best = jax.lax.scan(body, start, (values, columns))[0]
        return jax.lax.stop_gradient(best)

    def _waves(self, j: Array) -> Float[Array, "4 B"]:
        """Waves that measure the aliasing errors of spacings 2h and 4h."""
        n = self.sources
        turns = (round(n / 2) / n, round(n / 4) / n) if n % 2 else (0.5, 0.25)
        return jnp.stack([wave(2 * np.pi * turn * j) for turn in turns for wave in (jnp.cos, jnp.sin)])


def _coarsening(total: Array, waves: Array, mask: Array) -> Float[Array, "2"]:
    """|F(1/2h)| and 2|F(1/4h)| relative to F(0), F the Fourier transform of the integrand: what coarser nodes alias."""
    # far above its reference a sum was clipped, far below it has underflowed
    trusted = jnp.all((jnp.abs(jnp.log(total)) < _TRUSTED) | ~mask)
    here = jnp.any(mask.reshape(-1, _SAMPLED, mask.shape[1]), axis=1)
    sampled = total[::_SAMPLED]
    half = jnp.sqrt(waves[0] ** 2 + waves[1] ** 2) / sampled
    quarter = 2 * jnp.sqrt(waves[2] ** 2 + waves[3] ** 2) / sampled
    worst = [jnp.max(jnp.where(here, change, 0.0)) for change in (half, quarter)]
    return jnp.where(trusted, jnp.stack(worst), jnp.inf)


def _spacing(nodes: Array) -> Array:
    return (nodes[-1] - nodes[0]) / (nodes.shape[0] - 1)


def _matmul(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
