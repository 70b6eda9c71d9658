"""The Hopf-Cole propagator: the exact solution for H = c|p|², from atoms or by quadrature of the data."""

import equinox as eqx
import jax
import jax.numpy as jnp

from ...checks import check_kind, require
from ...kernels.lse_plan import check_truncation
from ...kernels.propagator import propagate
from ...problem import Problem
from ...problem.hopf_cole import check_periodic_data, on_domain, parameters, require_hopf_cole, solved_by_propagator
from ...problem.initials import Atoms
from ...results import RESULTS
from ...typing import Array, Function, Points, PRNGKeyArray, Scalar
from ..base import AbstractRepresentation, Evaluation, State
from .rules import AbstractRule, GaussHermite, GaussPanels, PiecewiseLinear, Sampled, Trapezoid
from .rules.piecewise_linear import serves


class HopfCole(AbstractRepresentation):
    """u(t,x) = −(ε/c) log ∫ (4πεt)^{−d/2} exp(−(c/ε)(g(y) + |x−y|²/(4ct))) dy, exact for `H = c|p|²`.

    Given `Atoms` are summed over as they are and give the unnormalised u_N. For data that are a function the integral
    is computed by a `rule` (`hj.methods.particle.rules`), by default the one that the dimension asks for:

    - d = 1: `GaussPanels`, adaptive panels split at the kinks of g: round-off, uniformly in ε >= 0
      (`PiecewiseLinear`, the closed integral, for `Gridded` data of order 1);
    - d = 2 to 5: `GaussHermite`, centred on the minimisers of the energy, checked by a second order and replaced by
      adaptive panels where the two differ: 1e-6 or better for smooth data, uniformly in ε >= 0;
    - d > 5: `Sampled`, importance sampling with scrambled Sobol points; randomness from `solve(..., key=)`.

    `nodes=n` (per axis) is short for `rule=Trapezoid(n)`: one cloud of nodes for all queries, O(h²) or better while the
    spacing resolves the integrand. `samples=n` is short for `rule=Sampled(n)`, in any dimension. Each rule says in
    `stats` how well it did, and ends as `RESULTS.under_resolved` or `under_sampled`, with a warning, where it did
    badly. ε = 0 is the Hopf-Lax formula u = min_y g(y) + |x−y|²/(4ct), polished to round-off; derivatives of u are
    exact there except in numbers that move a kink of g on which the minimiser lies, ∂u/∂ε is returned as 0, and those
    of ∇u hold the minimiser fixed (use a small ε for a Hessian).

    On a `Box` this is the Cauchy problem on R^d: the data are evaluated outside the box as far as the solution depends
    on them, and points outside it are served too. On a torus the data are continued periodically.
    Cost O(mN) for m points and the rule's N nodes, memory O(m + N). For `Atoms`, `truncation=1e-9` leaves out far atoms
    of at most that share of the Gibbs weights at every point (`hj.kernels.lse` states what follows for u and ∇u); the
    cost then grows with m + N where the kernel's width √(2εt) is small. At ε = 0 it is as fast, and exact.
    Source: Evans, *Partial Differential Equations*, 4.4.1 and 3.3.2.
    """

    rule: AbstractRule | None
    truncation: float | None = eqx.field(static=True)

    def __init__(
        self,
        nodes: int | tuple[int, ...] | None = None,
        *,
        samples: int | None = None,
        rule: AbstractRule | None = None,
        truncation: float | None = None,
    ):
        given = [name for name, value in (("nodes", nodes), ("samples", samples), ("rule", rule)) if value is not None]
        require(len(given) <= 1, f"Only one of `nodes`, `samples` and `rule` can be set; got {' and '.join(given)}.")
        check_kind("rule", rule, AbstractRule, "hj.methods.particle.rules")
        self.rule = rule
        self.truncation = check_truncation(truncation)
        if nodes is not None:
            self.rule = Trapezoid(nodes)
        elif samples is not None:
            self.rule = Sampled(samples)

    def check(self, problem: Problem) -> None:
        """Refuse what is not `c|p|²` with constant viscosity, and data that a torus or the rule cannot carry."""
        require_hopf_cole(problem, "HopfCole", "Use hj.methods.grid.FiniteDifference.")
        if isinstance(problem.initial, Atoms):
            require(
                not any(problem.domain.periodic),
                "`domain` must not be periodic for Atoms, which live on R^d. Give a Box, or a function as data.",
            )
            return
        require(
            self.truncation is None,
            f"`truncation` is for Atoms; got {self.truncation} with data that are a function, which a rule integrates. "
            "Leave it out.",
        )
        self.rule_for(problem).check(problem)
        check_periodic_data(problem, "HopfCole")

    def prepare(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> State:
        """What the rule shares between evaluations; the atoms themselves for Atoms."""
        if isinstance(problem.initial, Atoms):
            return problem.initial
        return self.rule_for(problem).prepare(problem, key=key)

    def evaluate(
        self, problem: Problem, t: Scalar, state: State, points: Points | None, *, key: PRNGKeyArray | None = None
    ) -> Evaluation:
        """U and ∇u at `points`; at t = 0 the data themselves (+inf for Atoms, which are singular)."""
        assert points is not None, "HopfCole has no nodes; solve() refuses points=None"
        c, epsilon = parameters(problem)
        positive = t > 0
        time = jnp.where(positive, t, problem.horizon)
        if isinstance(state, Atoms):
            atoms = jnp.asarray(state.y), state.g, state.log_weights
            u, gradient = propagate(points, *atoms, c, epsilon, time, truncation=self.truncation)
            return Evaluation(jnp.where(positive, u, jnp.inf), gradient, RESULTS.successful, {})
        points = problem.domain.wrap(points)  # the rules serve queries inside one period
        found = self.rule_for(problem).evaluate(problem, time, state, points)
        value, slope = _data(jax.vmap(on_domain(problem.initial, problem.domain)), points)  # type: ignore[arg-type]
        stats = {name: jnp.where(positive, stat, 0.0) for name, stat in found.stats.items()}
        return Evaluation(
            jnp.where(positive, found.u, value),
            jnp.where(positive, found.gradient, slope),
            RESULTS.where(positive, found.result, RESULTS.successful),
            stats,
        )

    def equation(self, problem: Problem, state: State | None = None) -> Problem:
        """The problem itself; with Atoms, the source dε/(2ct) of the unnormalised u_N is added."""
        return solved_by_propagator(problem)

    def rule_for(self, problem: Problem) -> AbstractRule:
        """The rule that serves this problem: the one given, or the default of its dimension."""
        if self.rule is not None:
            return self.rule
        if serves(problem):
            return PiecewiseLinear()
        d = problem.dimension
        return GaussPanels() if d == 1 else GaussHermite() if d <= 5 else Sampled()


def _data(g: Function, points: Points) -> tuple[Array, Array]:
    value, pullback = jax.vjp(g, points)
    return value, pullback(jnp.ones_like(value))[0]
