"""Tangents of scores, taken apart into what belongs to queries and what belongs to atoms.

`−κ|x − y|²` and `x·y` are both `A_i + B_j + X_i·Y_j`: with A = −κ|x|², B = b − κ|y|², X = 2κx, Y = y for the form
"distance", and A = 0, B = b, X = x, Y = y for "product". So the tangent of a score is
`ds_ij = dA_i + dX_i·Y_j + dB_j + X_i·dY_j`, and sums of it over atoms are sums of columns.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from ..typing import Array, Float, Points, Scalar
from .lse_blocked import cut, heaviest, over_queries
from .lse_plan import Plan
from .lse_steps import ABSENT, matmul


class ScoreTangent(NamedTuple):
    """X `[m, d]` and Y `[N, d]` with the tangents dA `[m]`, dX `[m, d]`, dB `[N]`, dY `[N, d]`; None does not vary."""

    X: Points
    Y: Points
    d_a: Array | None
    d_x: Array | None
    d_b: Array | None
    d_y: Array | None

    def columns(self, c: Float[Array, "N k"], dc: Any) -> Float[Array, "N K"] | None:
        """What of Σ_j w_ij (ds_ij c_j + dc_j) belongs to atoms: dB c + dc, and dY ⊗ c where Y varies."""
        own = None if is_zero(dc) else dc
        if self.d_b is not None:
            own = self.d_b[:, None] * c + (0 if own is None else own)
        if self.d_y is None:
            return own
        own = jnp.zeros_like(c) if own is None else own
        return jnp.concatenate([own, outer(self.d_y, c)], axis=1)

    def joined(self, sums: Float[Array, "m K"], k: int) -> Float[Array, "m k"]:
        """Their sums, with X·dY put together."""
        own = sums[:, :k]
        if self.d_y is None:
            return own
        return own + jnp.einsum("md,mdk->mk", self.X, sums[:, k:].reshape(sums.shape[0], -1, k), precision="highest")

    def of_queries(self, sums: Float[Array, "m k"], outer_sums: Float[Array, "m dk"]) -> Float[Array, "m k"]:
        """What belongs to queries: dA Σ_j w c + dX·Σ_j w Y c."""
        assert self.d_a is not None
        assert self.d_x is not None
        cube = outer_sums.reshape(sums.shape[0], -1, sums.shape[1])
        return self.d_a[:, None] * sums + jnp.einsum("md,mdk->mk", self.d_x, cube, precision="highest")


def score_tangent(
    form: str, x: Points, y: Points, kappa: Scalar, dx: Any, dy: Any, db: Any, dkappa: Any
) -> ScoreTangent:
    """The features of scores b_j − κ|x_i − y_j|² or b_j + x_i·y_j, and their tangents."""

    def of_query(x: Points, kappa: Scalar) -> tuple[Array, Array]:
        if form == "product":
            return jnp.zeros_like(x[:, 0]), x
        return -kappa * jnp.sum(x * x, axis=1), 2 * kappa * x

    def of_atom(y: Points, kappa: Scalar) -> Array:
        return jnp.zeros_like(y[:, 0]) if form == "product" else -kappa * jnp.sum(y * y, axis=1)

    dA = dX = dB = dY = None
    X = of_query(x, kappa)[1]
    if not (is_zero(dx) and is_zero(dkappa)):
        (_, X), (dA, dX) = jax.jvp(of_query, (x, kappa), (filled(dx), filled(dkappa)))
    if not (is_zero(dy) and is_zero(dkappa) and is_zero(db)):
        dB = filled(db) + jax.jvp(of_atom, (y, kappa), (filled(dy), filled(dkappa)))[1]
    if not is_zero(dy):
        dY = dy
    return ScoreTangent(X, y, dA, dX, dB, dY)


def entropy_tangent(
    tangent: ScoreTangent,
    arguments: tuple[Points, Points, Array, Scalar],
    lse: Array,
    entropy: Array,
    *,
    plan: Plan,
    form: str,
) -> Float[Array, "m"]:
    """DS = −Σ_j π_j (ds_j − ds_top)(log π_j + S), whose terms are all as small as S itself where one atom decides."""
    x, y, b, kappa = arguments
    top = heaviest(*jax.lax.stop_gradient(arguments), count=1, plan=plan, form=form)[:, 0]
    X, Y = tangent.X, tangent.Y
    dA_free = jnp.zeros_like(b) if tangent.d_b is None else tangent.d_b
    dX = jnp.zeros_like(X) if tangent.d_x is None else tangent.d_x
    dY = jnp.zeros_like(Y) if tangent.d_y is None else tangent.d_y
    size = plan.blocks("weighted", x.shape[1], x.dtype.itemsize)
    steps = tuple(cut(a, size.atoms, fill) for a, fill in ((y, 0.0), (b, ABSENT), (dA_free, 0.0), (dY, 0.0)))

    def block(xb: Points, Xb: Points, dXb: Points, low: Array, S: Array, chosen: Array) -> Array:
        top_y, top_dB, top_dY = y[chosen], dA_free[chosen], dY[chosen]

        @partial(jax.checkpoint, prevent_cse=False)
        def body(total: Array, step: Any) -> tuple[Array, None]:
            yb, bb, dBb, dYb = step
            logs = bb - low[:, None]
            if form == "product":
                logs = logs + matmul(xb, yb.T)
            else:
                logs = logs - kappa * jnp.sum((xb[:, None] - yb) ** 2, axis=-1)
            change = (dBb - top_dB[:, None]) + jnp.sum(dXb[:, None] * (yb - top_y[:, None]), axis=-1)
            change = change + jnp.sum(Xb[:, None] * (dYb - top_dY[:, None]), axis=-1)
            logs = jnp.clip(logs, -1000.0, 0.0)  # whose weight is 0; the padding's square would overflow
            return total - jnp.sum(jnp.exp(logs) * (logs + S[:, None]) * change, axis=1), None

        return jax.lax.scan(body, jnp.zeros_like(low), steps)[0]

    result: Array = over_queries(block, 64, x, X, dX, lse, entropy, top)
    return result


def outer(y: Float[Array, "N d"], c: Float[Array, "N k"]) -> Float[Array, "N dk"]:
    """y ⊗ c, one row per atom."""
    return (y[:, :, None] * c[:, None, :]).reshape(y.shape[0], -1)


def is_zero(tangent: Any) -> bool:
    """Whether a tangent is known to vanish."""
    return type(tangent) is ad.Zero


def filled(tangent: Any) -> Array:
    """A tangent as an array."""
    return ad.instantiate_zeros(tangent)
