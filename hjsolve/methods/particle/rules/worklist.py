"""Adaptive bisection of panels in one dimension, with a fixed capacity: a stack of panels still to be split."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ....typing import Array, Float, Scalar

ORDER = 16
_BATCH = 12
"""Panels split at a time."""
_ROOM = 192
"""Panels that may wait beyond those given."""
COLLECTED = 96
_ROUNDS = 128
_NEGLIGIBLE = 42.0
"""−log of the largest relative weight that may be left out: e^−42 = 6e-19."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(ORDER)
_TAIL = np.stack([(k + 0.5) * _WEIGHTS * np.polynomial.legendre.Legendre.basis(k)(_NODES) for k in (13, 14, 15)])


class Panels(eqx.Module):
    """Panels from `a` to `b` `[n]`; those with b = a are absent."""

    a: Float[Array, "n"]
    b: Float[Array, "n"]

    def nodes(self) -> Float[Array, "n k"]:
        """The Gauss-Legendre nodes."""
        half = (self.b - self.a) / 2
        return (self.a + half)[:, None] + half[:, None] * _NODES.astype(self.a.dtype)

    def log_weights(self) -> Float[Array, "n k"]:
        """Logarithms of the Gauss-Legendre weights; −inf where absent."""
        half = (self.b - self.a) / 2
        logs = jnp.where(half > 0, jnp.log(jnp.where(half > 0, half, 1.0)), -jnp.inf)
        return logs[:, None] + np.log(_WEIGHTS).astype(half.dtype)


class Verdict(eqx.Module):
    """About panels: whether they can matter, whether 16 nodes resolve them; the lowest energy seen.

    `log_mass` is that of the heaviest resolved panel, times e^{κ·lowest} (absolute ones would not fit into float32).
    """

    matters: Array
    resolved: Array
    lowest: Scalar
    log_mass: Scalar


def judge(panels: Panels, energies: Float[Array, "n k"], kappa: Scalar, lowest: Scalar, log_mass: Scalar) -> Verdict:
    """Judge panels by the energies at their nodes; `lowest` and `log_mass` (of the largest resolved panel) so far.

    A panel matters unless its energies, less their largest step from node to node, exceed the lowest by 42/κ. It is
    resolved when the last three Legendre coefficients of e^{−κE} are below √ulp of the largest mass (the quadrature
    error is about their square, and of their size if a kink is inside), or when E is flat to round-off.
    """
    ulp = jnp.finfo(energies.dtype).eps
    present = panels.b > panels.a
    steps = jnp.max(jnp.abs(jnp.diff(energies, axis=1)), axis=1)
    least, most = jnp.min(energies, axis=1), jnp.max(energies, axis=1)
    size = jnp.maximum(jnp.abs(least), jnp.abs(most))
    previous, lowest = lowest, jnp.minimum(lowest, jnp.min(jnp.where(present, least, jnp.inf)))
    log_mass = jnp.where(log_mass > -jnp.inf, log_mass - kappa * (previous - lowest), -jnp.inf)
    matters = present & (kappa * (least - steps - lowest - 16 * ulp * size) <= _NEGLIGIBLE)
    w = jnp.exp(-kappa * (energies - least[:, None]))
    half = (panels.b - panels.a) / 2
    scale = jnp.where(present, jnp.log(jnp.where(present, half, 1.0)), -jnp.inf) - kappa * (least - lowest)
    mass = scale + jnp.log(w @ _WEIGHTS.astype(w.dtype))
    tail = scale + jnp.log(jnp.max(jnp.abs(w @ _TAIL.T.astype(w.dtype)), axis=1) + jnp.finfo(w.dtype).tiny)
    tolerance = jnp.clip(16 * kappa * ulp * size, jnp.sqrt(ulp) / 2, 0.03)
    settled = (tail <= jnp.log(tolerance) + jnp.maximum(log_mass, mass)) | (most - least <= 32 * ulp * size)
    resolved = settled & matters
    log_mass = jnp.maximum(log_mass, jnp.max(jnp.where(resolved, mass, -jnp.inf)))
    return Verdict(matters, resolved, lowest, log_mass)


def refine(
    energy: Callable[[Array], Array], open_panels: Panels, kappa: Scalar, lowest: Scalar, log_mass: Scalar
) -> tuple[Panels, Scalar]:
    """Resolved panels `[96]` that cover the open ones `[n]`, but for what is negligible.

    Depth first, 12 panels at a time, until a panel is resolved or of round-off width. Also returned: how many panels
    found no room, whose mass is missing.
    """
    dtype = open_panels.a.dtype
    ulp = jnp.finfo(dtype).eps
    stack, waiting = _packed(open_panels.b > open_panels.a, open_panels)
    room, most = jnp.zeros(_ROOM + 2 * _BATCH, dtype), stack.a.shape[0] + _ROOM
    stack = jax.tree.map(lambda s: jnp.concatenate([s, room]), stack)
    empty = jnp.zeros(COLLECTED + 2 * _BATCH, dtype)
    start = (stack, waiting, Panels(empty, empty), jnp.zeros((), int), lowest, log_mass, jnp.zeros((), int))

    def unfinished(carry: tuple[Panels, Array, Panels, Array, Scalar, Scalar, Array]) -> Array:
        return (carry[1] > 0) & (carry[6] < _ROUNDS)

    def split(
        carry: tuple[Panels, Array, Panels, Array, Scalar, Scalar, Array],
    ) -> tuple[Panels, Array, Panels, Array, Scalar, Scalar, Array]:
        stack, waiting, done, count, lowest, log_mass, rounds = carry
        first = jnp.maximum(waiting - _BATCH, 0)
        taken = jax.tree.map(lambda s: jax.lax.dynamic_slice(s, (first,), (_BATCH,)), stack)
        taken = Panels(taken.a, jnp.where(jnp.arange(_BATCH) < waiting - first, taken.b, taken.a))
        middle = (taken.a + taken.b) / 2
        children = Panels(jnp.concatenate([taken.a, middle]), jnp.concatenate([middle, taken.b]))
        energies = energy(children.nodes().reshape(-1)).reshape(2 * _BATCH, ORDER)
        verdict = judge(children, energies, kappa, lowest, log_mass)
        narrow = children.b - children.a <= 64 * ulp * (jnp.abs(children.a) + jnp.abs(children.b))
        finished = verdict.matters & (verdict.resolved | narrow)
        more, pushed = _packed(verdict.matters & ~finished, children)
        new, settled = _packed(finished, children)
        stack = jax.tree.map(lambda s, m: jax.lax.dynamic_update_slice(s, m, (first,)), stack, more)
        done = jax.tree.map(lambda s, m: jax.lax.dynamic_update_slice(s, m, (count,)), done, new)
        waiting = jnp.minimum(first + pushed, most)
        count = jnp.minimum(count + settled, COLLECTED)
        return stack, waiting, done, count, verdict.lowest, verdict.log_mass, rounds + 1

    _, waiting, done, count, _, _, _ = jax.lax.while_loop(unfinished, split, start)
    kept = jnp.arange(COLLECTED) < count
    a, b = done.a[:COLLECTED], done.b[:COLLECTED]
    missing = waiting + jnp.where(count >= COLLECTED, 1, 0)
    return Panels(jnp.where(kept, a, 0.0), jnp.where(kept, b, 0.0)), missing


def unresolved(panels: Panels, scores: Float[Array, "n k"], top: Scalar, total: Scalar) -> Scalar:
    """The largest of the last three Legendre coefficients of e^{scores} in any panel, relative to the integral.

    `scores` include the logarithms of the weights; the integral is `total`·e^{top}.
    """
    plain = jnp.exp(scores - top)
    tail = jnp.abs(plain @ (_TAIL / _WEIGHTS).T.astype(plain.dtype))
    return jnp.max(tail) / total


def _packed(mask: Array, panels: Panels) -> tuple[Panels, Array]:
    """The panels under `mask` in front, the others behind; how many there are."""
    n = mask.shape[0]
    rank = jnp.cumsum(mask)
    method = "compare_all" if n <= 64 else "scan"
    source = jnp.minimum(jnp.searchsorted(rank, jnp.arange(1, n + 1), method=method), n - 1)
    return jax.tree.map(lambda s: s[source], panels), rank[-1]
