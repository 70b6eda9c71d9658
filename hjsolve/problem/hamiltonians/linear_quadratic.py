"""The linear-quadratic regulator: linear dynamics, quadratic running cost, inputs without bounds."""

import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, concrete, require
from ...typing import Array, ArrayLike, Float, Scalar, Values, Vectors
from .base import AbstractConvexHamiltonian, as_column

_HELD = 1e3
"""Machine epsilons of a velocity that count as none outside the range of B."""


class LQ(AbstractConvexHamiltonian):
    """H = −p·Ax + ½pᵀBR⁻¹Bᵀp − ½xᵀQx: the control a of ẋ = Ax + Ba minimises ∫½(xᵀQx + aᵀRa) and the final data.

    `A` `[d, d]`; `B` `[d, k]`; `Q` `[d, d]` and `R` `[k, k]` symmetric, R positive definite. The optimal control is
    a* = −R⁻¹Bᵀ∇u. L(x, v) = ½aᵀRa + ½xᵀQx for the cheapest a with −(Ax + Ba) = v; +inf where there is none, that is
    where v + Ax lies off the range of B by more than round-off. See `hj.exact.LinearQuadratic.of` for the solution.
    Source: Anderson & Moore 1990, *Optimal Control: Linear Quadratic Methods*, ch. 2.
    """

    A: Float[Array, "d d"]
    B: Float[Array, "d k"]
    Q: Float[Array, "d d"]
    R: Float[Array, "k k"]

    def __init__(self, A: ArrayLike, B: ArrayLike, Q: ArrayLike, R: ArrayLike):
        self.A, self.B, self.Q, self.R = (as_array(*pair) for pair in (("A", A), ("B", B), ("Q", Q), ("R", R)))
        check_ndim("B", self.B, 2, "[d, k]", "One column for each input; for one of each use [[value]].")
        d, k = self.B.shape
        require(d > 0 and k > 0, f"`B` must have shape [d, k] with d, k >= 1; got {self.B.shape}.")
        for name, matrix, size in (("A", self.A, d), ("Q", self.Q, d), ("R", self.R, k)):
            require(
                matrix.shape == (size, size),
                f"`{name}` must have shape [{size}, {size}], as `B` is [{d}, {k}]; got {matrix.shape}.",
            )
        for name, matrix in (("A", self.A), ("B", self.B), ("Q", self.Q), ("R", self.R)):
            check_range(name, matrix, remedy="Give finite entries.")
        for name, matrix in (("Q", self.Q), ("R", self.R)):
            known = concrete(matrix)
            if known is not None:
                close = np.allclose(known, known.T, rtol=1e-6, atol=1e-6 * np.abs(known).max())
                require(close, f"`{name}` must be symmetric; got {known.tolist()}. Use ({name} + {name}ᵀ)/2.")
        known = concrete(self.R)
        least = None if known is None else np.linalg.eigvalsh(known.astype(np.float64)).min()
        require(
            least is None or least > 0,
            f"`R` must be positive definite; its smallest eigenvalue is {least}. Every input has a cost.",
        )

    @property
    def mobility(self) -> Float[Array, "d d"]:
        """BR⁻¹Bᵀ."""
        B = jnp.asarray(self.B)
        return B @ jnp.linalg.solve(jnp.asarray(self.R), B.T)

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        """−p·Ax + ½pᵀBR⁻¹Bᵀp − ½xᵀQx."""
        quadratic = 0.5 * (_form(self.mobility, p) - _form(self.Q, x))
        return jnp.broadcast_to(quadratic - jnp.sum(p * times(self.A, x), axis=0), p.shape[1:])

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """−Ax + BR⁻¹Bᵀp."""
        return times(self.mobility, p) - times(self.A, x)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """|−Ax + Mp̄| + |M|(p_hi − p_lo)/2 about the box's centre p̄, M = BR⁻¹Bᵀ: the exact maximum over the box."""
        centre = self.velocity(t, x, (p_lo + p_hi) / 2)
        return jnp.abs(centre) + times(jnp.abs(self.mobility), (p_hi - p_lo) / 2)

    def lagrangian(self, t: Scalar, x: Vectors, v: Vectors) -> Values:
        """½aᵀRa + ½xᵀQx for the cheapest a with Ba = −v − Ax; +inf where no a is."""
        push = -v - times(self.A, x)
        # a = R^{-1/2} (B R^{-1/2})⁺ push is the cheapest
        values, vectors = jnp.linalg.eigh(jnp.asarray(self.R))
        scaled = jnp.asarray(self.B) @ (vectors / jnp.sqrt(values))
        inverse = jnp.linalg.pinv(scaled)
        root = times(inverse, push)
        missed = jnp.max(jnp.abs(times(scaled, root) - push), axis=0)
        size = jnp.max(jnp.abs(push), axis=0) + jnp.max(jnp.abs(v), axis=0)
        held = missed <= _HELD * jnp.finfo(v.dtype).eps * size
        return jnp.where(held, 0.5 * (jnp.sum(root**2, axis=0) + _form(self.Q, x)), jnp.inf)

    def control(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """a* = −R⁻¹Bᵀp `[k, ...]` where ∇u = p."""
        return -times(jnp.linalg.solve(jnp.asarray(self.R), jnp.asarray(self.B).T), p)

    def disturbance(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """`[0, ...]`: there is no opponent."""
        return jnp.zeros((0, *p.shape[1:]), p.dtype)

    def dynamics(self, t: Scalar, x: Vectors, a: Vectors, b: Vectors) -> Vectors:
        """Ax + Ba `[d, ...]`."""
        return times(self.A, x) + times(self.B, a)

    def cost(self, t: Scalar, x: Vectors, a: Vectors) -> Values:
        """½(xᵀQx + aᵀRa), the running cost."""
        return 0.5 * (_form(self.Q, x) + _form(self.R, a))


def times(matrix: Array, vectors: Vectors) -> Vectors:
    """Matrix times vectors `[k, ...]`, row by row, so that grids of any shape broadcast."""
    return jnp.stack([jnp.sum(as_column(row, vectors) * vectors, axis=0) for row in jnp.asarray(matrix)])


def _form(matrix: Array, vectors: Vectors) -> Values:
    """vᵀMv."""
    form: Values = jnp.sum(vectors * times(matrix, vectors), axis=0)
    return form
