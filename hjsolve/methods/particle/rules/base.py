"""What a rule is: one way to compute the Hopf-Cole integral of function data, and its limit at ε = 0."""

import abc
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ....problem import Problem
from ....problem.hopf_cole import on_domain
from ....typing import Array, Function, Point, Points, PRNGKeyArray, Scalar
from ...base import Evaluation, State

_T = TypeVar("_T")


class AbstractRule(eqx.Module):
    """u(t,x) = −(ε/c) log ∫ (4πεt)^{−d/2} exp(−(c/ε)E(y)) dy with E(y) = g(y) + |x−y|²/(4ct); min_y E at ε = 0.

    Nodes are chosen without derivatives and then held fixed, so that u differentiates exactly in x, t, ε, c and the
    numbers of g: the rule integrates the derivatives of the integrand as well as the integrand. (At ε = 0 the minimiser
    is held fixed. That is exact by the envelope theorem, but for numbers of g that move a kink on which it sits.)
    """

    @abc.abstractmethod
    def check(self, problem: Problem) -> None:
        """Raise `ValueError` if this rule cannot serve the problem."""

    @abc.abstractmethod
    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> State:
        """What all evaluations share, made once."""

    @abc.abstractmethod
    def evaluate(self, problem: Problem, t: Scalar, state: State, points: Points) -> Evaluation:
        """u and ∇u at `points` `[m, d]`, wrapped into the domain, and t > 0."""


def data(problem: Problem) -> Callable[[Point], Scalar]:
    """g on all of R^d, `[d] -> []`."""
    g: Function = on_domain(problem.initial, problem.domain)  # type: ignore[arg-type]
    return g


def frozen(tree: _T) -> _T:
    """The same numbers, without derivatives."""
    return jax.tree.map(lambda a: jax.lax.stop_gradient(a) if eqx.is_inexact_array(a) else a, tree)


def frozen_data(problem: Problem) -> Callable[[Point], Scalar]:
    """g without derivatives, in the numbers that a closure hides as well: what searches for nodes read."""
    g = data(frozen(problem))
    return lambda y: jax.lax.stop_gradient(g(y))


def noise(kappa: Scalar, size: Array) -> Array:
    """The relative error of e^{−κE} by the rounding of energies whose terms have this size: no check sees below it."""
    return 64 * jnp.finfo(size.dtype).eps * (kappa * size + 1)


def over_blocks(block: Callable[..., Any], size: int, *trees: Any) -> Any:
    """`block` over blocks of `size` rows of pytrees of arrays; memory is that of one block, in reverse mode too."""
    m = jax.tree.leaves(trees)[0].shape[0]
    size = min(size, m)
    rows = jnp.minimum(jnp.arange(-(-m // size) * size), m - 1).reshape(-1, size)  # the last row fills the last block
    results = jax.lax.map(lambda index: jax.checkpoint(block)(*jax.tree.map(lambda a: a[index], trees)), rows)
    return jax.tree.map(lambda r: r.reshape(-1, *r.shape[2:])[:m], results)


def hulls(problem: Problem, points: Points) -> tuple[Array, Array, Array]:
    """Boxes `[2, d]` (lower, upper): of the domain, and of what leaves it; and which of them `[m]` serves each point.

    Points outside the domain thus never change the answers inside it.
    """
    lower, upper = jnp.asarray(problem.domain.lower), jnp.asarray(problem.domain.upper)
    outside = jnp.any((points < lower) | (points > upper), axis=1)
    low = jnp.minimum(lower, jnp.min(points, axis=0))
    high = jnp.maximum(upper, jnp.max(points, axis=0))
    boxes = jnp.stack([lower, low]), jnp.stack([upper, high])
    return *frozen(boxes), outside.astype(int)
