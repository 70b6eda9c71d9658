"""What initial data are: a pointwise function of R^d."""

import abc

import equinox as eqx

from ...typing import Point, Scalar


class AbstractInitial(eqx.Module):
    """Initial data g: `u(0, x) = g(x)`, pointwise `[d] -> []`; solvers vmap it."""

    @abc.abstractmethod
    def __call__(self, x: Point) -> Scalar:
        """g(x)."""
