"""Time steppers, explicit and with the viscous term split off, each by the increment of u over one step.

Convex combinations of stages, as strong-stability-preserving methods are often written, round u in every stage: over
many steps in float32 that costs an order of magnitude. Increments can be summed without (see `kernels.compensated`).
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_kind
from ...typing import Scalar, Values
from .diffusion import Diffusion, Rate
from .imex import additive
from .runge_kutta import five_stages, summed

_WORTH = 2.5
"""Times as many steps that an explicit stepper must need for IMEX, whose steps cost as much more, to be taken."""


class AbstractStepper(eqx.Module):
    """One step of du/dt = −Ĥ + εΔu on a grid."""

    order: eqx.AbstractClassVar[int]
    """The order of accuracy in Δt."""
    must_split: eqx.AbstractClassVar[bool]
    """Whether it needs the viscous term by itself, as a `Diffusion`."""

    @abc.abstractmethod
    def rates(self, advective: Values, diffusive: Values, splits: bool) -> Values:
        """1/(the longest stable step), at every node or on the whole: 0 where any step is stable.

        `advective` is Σ α_i/Δx_i, `diffusive` the largest eigenvalue of −εΔ_h; `splits`: there is a `Diffusion`.
        """

    @abc.abstractmethod
    def increment(self, right: "RightHandSide", t: Scalar, dt: Scalar, u: Values) -> Values:
        """u(t + dt) − u."""


class RightHandSide(NamedTuple):
    """What a stepper integrates."""

    whole: Rate
    parts: tuple[Rate, Diffusion] | None
    """−Ĥ and εΔu, where they can be split."""
    stable_rate: Callable[[AbstractStepper], Scalar]
    """1/(the longest stable step) of any stepper, from here."""


class AbstractExplicit(AbstractStepper):
    """A step made of values of the right-hand side alone."""

    advective_limit: eqx.AbstractClassVar[float]
    """The Courant number Σ α_i Δt/Δx_i up to which upwind differences stay stable."""
    diffusive_limit: eqx.AbstractClassVar[float]
    """How far the region of absolute stability reaches along the negative real axis."""

    @abc.abstractmethod
    def mean_rate(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """(u(t + dt) − u)/Δt of du/dt = rate(t, u)."""

    def __call__(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """u(t + dt) of du/dt = rate(t, u)."""
        return u + dt * self.mean_rate(rate, t, dt, u)

    def rates(self, advective: Values, diffusive: Values, splits: bool) -> Values:
        """advective/advective_limit + diffusive/diffusive_limit."""
        return advective / self.advective_limit + diffusive / self.diffusive_limit

    def increment(self, right: RightHandSide, t: Scalar, dt: Scalar, u: Values) -> Values:
        """One step of the whole right-hand side."""
        return dt * self.mean_rate(right.whole, t, dt, u)


class ForwardEuler(AbstractExplicit):
    """u + Δt L(t, u): order 1. For first-order differences."""

    order = 1
    must_split = False
    advective_limit = 1.0
    diffusive_limit = 2.0

    def mean_rate(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """L(t, u)."""
        return rate(t, u)


class SSPRK2(AbstractExplicit):
    """Heun's method: k₁ = L(u), k₂ = L(u + Δt k₁), u + Δt(k₁ + k₂)/2. doi:10.1016/0021-9991(88)90177-5."""

    order = 2
    must_split = False
    advective_limit = 1.0
    diffusive_limit = 2.0

    def mean_rate(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """The stages' weighted mean."""
        return summed(((1.0, 0.0, 0.0), (1.0, 1.0, 1.0)), 1 / 2, rate, t, dt, u)


class SSPRK3(AbstractExplicit):
    """k₁ = L(u), k₂ = L(u + Δt k₁), k₃ = L(u + Δt(k₁ + k₂)/4), u + Δt(k₁ + k₂ + 4k₃)/6.

    The three-stage third-order strong-stability-preserving Runge-Kutta method.
    Source: Shu & Osher 1988, doi:10.1016/0021-9991(88)90177-5.
    """

    order = 3
    must_split = False
    advective_limit = 1.0
    diffusive_limit = 2.5127

    def mean_rate(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """The stages' weighted mean."""
        return summed(((1.0, 0.0, 0.0), (1.0, 1.0, 1.0), (4.0, 1 / 4, 1 / 2)), 1 / 6, rate, t, dt, u)


class SSPRK4(AbstractExplicit):
    """The five-stage fourth-order strong-stability-preserving Runge-Kutta method: steps half as long again as RK3's.

    Source: Spiteri & Ruuth 2002, doi:10.1137/S0036142901389025.
    """

    order = 4
    must_split = False
    advective_limit = 1.508
    diffusive_limit = 5.3

    def mean_rate(self, rate: Rate, t: Scalar, dt: Scalar, u: Values) -> Values:
        """The stages' weighted mean."""
        return five_stages(rate, t, dt, u)


class Strang(AbstractStepper):
    """e^{Δt/2 εΔ} · (transport by `inner`, default SSPRK3) · e^{Δt/2 εΔ}: order 2, with no diffusive limit on the step.

    The heat steps are exact (see `Diffusion`). u keeps its bounds where the inner step does, so that it is the one for
    kinks. Needs a Constant viscosity; each face periodic, Neumann, or Extrapolation or Dirichlet of degree 1. In long
    steps at faces the order can fall below 2 (Einkemmer & Ostermann 2015, doi:10.1137/140994204).
    Source: Strang 1968, doi:10.1137/0705041.
    """

    inner: AbstractExplicit

    order = 2
    must_split = True

    def __init__(self, inner: AbstractExplicit | None = None):
        self.inner = SSPRK3() if inner is None else inner
        check_kind("inner", self.inner, AbstractExplicit, "hj.methods.grid.steppers")

    def rates(self, advective: Values, diffusive: Values, splits: bool) -> Values:
        """Those of the inner step without diffusion."""
        return self.inner.rates(advective, jnp.zeros_like(diffusive), splits)

    def increment(self, right: RightHandSide, t: Scalar, dt: Scalar, u: Values) -> Values:
        """Half of the diffusion, the transport, half of the diffusion."""
        assert right.parts is not None
        transport, diffusion = right.parts
        spread = diffusion.heat(u, dt / 2)
        return diffusion.heat(self.inner(transport, t, dt, spread), dt / 2) - u


class IMEX(AbstractStepper):
    """Transport explicitly and diffusion implicitly, by ARK3(2)4L[2]SA: order 3, with no diffusive limit on the step.

    The implicit stages are solved exactly (see `Diffusion`). Needs what `Strang` needs. Its explicit part is not strong
    stability preserving: at kinks that viscosity does not resolve, `Strang` or an explicit stepper keeps bounds better.
    Source: Kennedy & Carpenter 2003, doi:10.1016/S0168-9274(02)00138-1.
    """

    order = 3
    must_split = True
    advective_limit = 1.3
    """SSPRK3's, times by how much longer fifth-order upwind differences stay stable: up to 1.86 against 1.43."""

    def rates(self, advective: Values, diffusive: Values, splits: bool) -> Values:
        """advective/advective_limit."""
        return advective / self.advective_limit

    def increment(self, right: RightHandSide, t: Scalar, dt: Scalar, u: Values) -> Values:
        """One additive Runge-Kutta step."""
        assert right.parts is not None
        return additive(*right.parts, t, dt, u)


class Auto(AbstractStepper):
    """`explicit` (default SSPRK3), or `split` (IMEX or Strang, default IMEX) where 2.5 times fewer steps do.

    Asked anew in every step: one within the explicit limit is explicit. Where diffusion cannot be split off (see
    `Strang`) all are. Both are compiled, and both are computed where problems are batched by vmap.
    """

    explicit: AbstractExplicit
    split: IMEX | Strang

    order = 2
    must_split = False

    def __init__(self, explicit: AbstractExplicit | None = None, split: IMEX | Strang | None = None):
        self.explicit = SSPRK3() if explicit is None else explicit
        self.split = IMEX() if split is None else split
        check_kind("explicit", self.explicit, AbstractExplicit, "hj.methods.grid.steppers")
        check_kind("split", self.split, IMEX | Strang, "hj.methods.grid.steppers")  # type: ignore[arg-type]

    def rates(self, advective: Values, diffusive: Values, splits: bool) -> Values:
        """The largest of the one that is taken."""
        whole = jnp.max(self.explicit.rates(advective, diffusive, splits))
        if not splits:
            return whole
        parts = jnp.max(self.split.rates(advective, diffusive, splits))
        return jnp.where(whole > _WORTH * parts, parts, whole)

    def increment(self, right: RightHandSide, t: Scalar, dt: Scalar, u: Values) -> Values:
        """An explicit step, if this one is short enough for it."""
        if right.parts is None:
            return self.explicit.increment(right, t, dt, u)
        short = dt * right.stable_rate(self.explicit) <= 1
        return jax.lax.cond(
            short,
            lambda: self.explicit.increment(right, t, dt, u),
            lambda: self.split.increment(right, t, dt, u),
        )
