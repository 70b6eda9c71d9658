"""Parts of a problem that change by jumps in time, such as the layers of a network: steps end where they jump."""

import abc
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ..typing import Scalar

_Tree = TypeVar("_Tree")
_SAME = 16
"""Times that differ by this many roundings of the last of them are one."""


class AbstractPiecewise(eqx.Module):
    """What is smooth in time but for jumps; at a jump itself it may be either."""

    @abc.abstractmethod
    def next_jump(self, t: Scalar) -> Scalar:
        """The first jump after t, inf after the last."""

    @abc.abstractmethod
    def from_jump(self, t: Scalar) -> Any:
        """What it is from t on to the next jump, as something that does not jump."""


def interval(t: Scalar, length: Scalar, count: int) -> Scalar:
    """Which of `count` intervals of a length begins at t or holds it, from 0; the first or last one outside."""
    share = t / length
    tolerance = _SAME * jnp.finfo(share.dtype).eps * jnp.maximum(jnp.abs(share), 1.0)
    return jnp.clip(jnp.floor(share + tolerance).astype(int), 0, count - 1)


def interval_end(t: Scalar, length: Scalar, count: int) -> Scalar:
    """Where the interval that begins at t or holds it ends, inf for the last one."""
    following = interval(t, length, count) + 1
    return jnp.where(following < count, following * length, jnp.inf)


def next_jump(tree: Any, t: Scalar) -> Scalar | None:
    """The first jump after t of anything in a tree, None where nothing jumps."""
    times = [node.next_jump(t) for node in jax.tree.leaves(tree, is_leaf=_jumps) if _jumps(node)]
    return jnp.min(jnp.stack(times)) if times else None


def from_jump(tree: _Tree, t: Scalar) -> _Tree:
    """The tree as it is from t to its next jump."""
    if not any(map(_jumps, jax.tree.leaves(tree, is_leaf=_jumps))):
        return tree
    fixed: _Tree = jax.tree.map(lambda node: node.from_jump(t) if _jumps(node) else node, tree, is_leaf=_jumps)
    return fixed


def _jumps(node: Any) -> bool:
    return isinstance(node, AbstractPiecewise)
