"""Quadratic solutions under linear drift: the matrix Riccati equation, of Kalman filters and of regulators."""

import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, concrete, require
from ...typing import Array, ArrayLike, Float, Point, Scalar, Values, Vectors
from .. import initials
from ..base import Problem
from ..domains import AbstractDomain
from ..hamiltonians import LQ, AbstractHamiltonian
from ..hamiltonians.linear_quadratic import times
from .base import AbstractExact, as_number, as_place, cube

_LONGEST = 32.0
# Panels of [0, 1]: 4-fold ever finer towards 0, where a large S₀ relaxes fast, and at most 1/16 long.
_ENDS = np.concatenate([[0.0], 0.25 ** np.arange(14, 2, -1), np.arange(1, 17) / 16])
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_FRACTIONS = np.diff(_ENDS)[:, None] * np.append((1 + _NODES) / 2, 1.0)
_TERMS = 28
"""Taylor terms of exp over a panel: 2^28/28! = 9e-22 at |F|t = 32."""


class LinearQuadratic(AbstractExact):
    """u = ½xᵀSx + m for H = p·(Fx) + pᵀQp − ½xᵀPx: `S' = −(SF + FᵀS) − 2SQS + P`, `m' = ε tr S`, S(0) = S₀, m(0) = 0.

    `F` `[d, d]`; `Q`, `S0` and `P` (default 0) `[d, d]` symmetric and positive semidefinite (then S exists for all t);
    `viscosity` ε >= 0. S = YX⁻¹ with (X, Y) = exp(t [[F, 2Q], [P, −Fᵀ]]) (I, S₀), chained over panels of [0, t] so that
    X stays well conditioned; m by Gauss-Legendre on them. Accurate to 1e-12 relative in float64 while
    (|F| + √(2|Q||P|))t <= 32 in Frobenius norms; beyond, a known t raises `ValueError` and a traced one gives NaN.
    Source: Anderson & Moore, *Optimal Control: Linear Quadratic Methods*, ch. 15 (Riccati equations as linear ones).
    """

    F: Array
    Q: Array
    S0: Array
    viscosity: Array
    P: Array

    def __init__(
        self, F: ArrayLike, Q: ArrayLike, S0: ArrayLike, viscosity: ArrayLike = 0.0, P: ArrayLike | None = None
    ):
        self.F, self.Q, self.S0 = as_array("F", F), as_array("Q", Q), as_array("S0", S0)
        self.P = as_array("P", np.zeros(self.F.shape) if P is None else P)
        self.viscosity = as_number("viscosity", viscosity, least=0.0, remedy="Use 0 for the inviscid equation.")
        d = self.F.shape[0] if self.F.ndim else 0
        for name, matrix in (("F", self.F), ("Q", self.Q), ("S0", self.S0), ("P", self.P)):
            check_ndim(name, matrix, 2, "[d, d]", "For d = 1 use [[value]].")
            require(matrix.shape == (d, d) and d > 0, f"`{name}` must have shape [{d}, {d}]; got {matrix.shape}.")
            check_range(name, matrix, remedy="Give finite entries.")
        _check_semidefinite("Q", self.Q, "H must be convex in p")
        for name, matrix in (("S0", self.S0), ("P", self.P)):
            _check_semidefinite(name, matrix, "a negative curvature can blow up in finite time")

    @classmethod
    def of(cls, regulator: LQ, S0: ArrayLike, viscosity: ArrayLike = 0.0) -> "LinearQuadratic":
        """The value of a regulator with the final cost ½xᵀS₀x: F = −A, Q = ½BR⁻¹Bᵀ and its Q for P."""
        return cls(-jnp.asarray(regulator.A), regulator.mobility / 2, S0, viscosity, regulator.Q)

    def __call__(self, t: ArrayLike, x: Point) -> Scalar:
        """u(t, x)."""
        now, rate = concrete(t), concrete(self._rate)
        if now is not None and rate is not None:
            turn, bound = now * rate, "|F|t" if not np.any(concrete(self.P)) else "(|F| + √(2|Q||P|))t"
            require(turn <= _LONGEST, f"`t` must satisfy {bound} <= {_LONGEST:g} in the Frobenius norm; got {turn:g}.")
        t, x = as_place(t, x, self.F.shape[0])
        curvature, integral = self._riccati(t)
        value: Scalar = 0.5 * x @ (curvature @ x) + self.viscosity * integral
        return value

    @property
    def _rate(self) -> Scalar:
        """|F| + √(2|Q||P|), which bounds the block matrix once its halves are scaled against each other."""
        F, Q, P = (jnp.asarray(matrix) for matrix in (self.F, self.Q, self.P))
        return jax.lax.stop_gradient(jnp.linalg.norm(F) + jnp.sqrt(2 * jnp.linalg.norm(Q) * jnp.linalg.norm(P)))

    def _riccati(self, t: Scalar) -> tuple[Float[Array, "d d"], Scalar]:
        """S(t) and ∫_0^t tr S."""
        F, Q, S0, P = (jnp.asarray(matrix, t.dtype) for matrix in (self.F, self.Q, self.S0, self.P))
        d = F.shape[0]
        rate = t * jnp.block([[F, 2 * Q], [P, -F.T]])
        rate = jnp.where(t * self._rate <= _LONGEST, rate, jnp.nan)
        degrees = np.arange(1, _TERMS + 1).astype(t.dtype)
        _, taylor = jax.lax.scan(lambda power, k: (power @ rate / k, power), jnp.eye(2 * d, dtype=t.dtype), degrees)

        def panel(S: Array, monomials: Array) -> tuple[Array, Array]:
            flow = jnp.einsum("nk,kij->nij", monomials, taylor, precision=jax.lax.Precision.HIGHEST)
            X, Y = flow[:, :d, :d] + flow[:, :d, d:] @ S, flow[:, d:, :d] + flow[:, d:, d:] @ S
            along = jnp.linalg.solve(X.mT, Y.mT)
            return (along[-1] + along[-1].T) / 2, jnp.trace(along[:-1], axis1=1, axis2=2)

        monomials = (_FRACTIONS[:, :, None] ** np.arange(_TERMS)).astype(t.dtype)
        S, traces = jax.lax.scan(panel, S0, monomials)
        weights = (np.diff(_ENDS)[:, None] / 2 * _WEIGHTS).astype(t.dtype)
        return S, t * jnp.sum(weights * traces)

    def problem(self, domain: AbstractDomain | None = None, horizon: ArrayLike | None = None) -> Problem:
        """Its problem; default domain [−1, 1]^d, default horizon 1."""
        return Problem(
            _DriftAndQuadratic(self.F, self.Q, self.P),
            self.viscosity,
            initials.Quadratic(self.S0),
            cube(self.F.shape[0]) if domain is None else domain,
            1.0 if horizon is None else horizon,
        )


class _DriftAndQuadratic(AbstractHamiltonian):
    """H = p·(Fx) + pᵀQp − ½xᵀPx: it may lack the inputs that make it an `LQ`, as Q may be singular."""

    F: Array
    Q: Array
    P: Array

    def __call__(self, t: Scalar, x: Vectors, p: Vectors) -> Values:
        state = jnp.sum(x * times(self.P, x), axis=0) / 2
        return jnp.sum(p * (times(self.F, x) + times(self.Q, p)), axis=0) - state

    def velocity(self, t: Scalar, x: Vectors, p: Vectors) -> Vectors:
        """Fx + 2Qp."""
        return times(self.F, x) + 2 * times(self.Q, p)

    def speed_bound(self, t: Scalar, x: Vectors, p_lo: Vectors, p_hi: Vectors) -> Vectors:
        """|Fx + 2Q p̄| + 2|Q|(p_hi − p_lo)/2 about the box's centre p̄: the exact maximum over the box."""
        centre = self.velocity(t, x, (p_lo + p_hi) / 2)
        return jnp.abs(centre) + times(jnp.abs(self.Q), p_hi - p_lo)


def _check_semidefinite(argument: str, matrix: Array, reason: str) -> None:
    known = concrete(matrix)
    if known is None:
        return
    scale = np.abs(known).max()
    require(np.allclose(known, known.T, rtol=1e-6, atol=1e-6 * scale), f"`{argument}` must be symmetric.")
    smallest = np.linalg.eigvalsh(known.astype(np.float64)).min()
    # Round-off may turn a zero eigenvalue slightly negative.
    require(
        smallest >= -1e-6 * scale,
        f"`{argument}` must be positive semidefinite ({reason}); its smallest eigenvalue is {smallest:g}.",
    )
