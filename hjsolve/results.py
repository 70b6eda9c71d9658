"""How a computation ended. Each message says what happened and what to do next."""

from typing import Any

import equinox as eqx


class RESULTS(eqx.Enumeration):
    """The outcome of `solve` and `fit`; its members are traced values, compared with `==`."""

    successful: Any = "finished"
    nonfinite: Any = (
        "The solution became NaN or infinite. Check that the data are finite on the whole domain; on a grid, lower the "
        "CFL number of the step rule or refine."
    )
    under_resolved: Any = (
        "Nodes or waves are too coarse: u may be far off; `stats` says how far. With Spectral, the waves cannot hold a "
        "layer of the solution: raise `cells`, or use FiniteDifference. With an integral, the integrand is as narrow "
        "as the root of 2εt: raise `nodes`, `cells` or `sources` of the method (HopfCole() has none: give it `nodes`, "
        "or take Propagator), take a Torus for periodic data, or shrink the domain or horizon. (Times just after 0 can "
        "be dropped from `ts`.) With Attention: raise `cells`, or `images` for "
        "times beyond the one it was built for; one that was trained attends to single tokens there, or to the last. "
        "With LSE: build the layer for the later time."
    )
    cancelled: Any = (
        "w = exp(−u/θ) spans so many orders of magnitude that rounding decides it where u is highest; `stats` says by "
        "how much u may be off. In float64 (max u − min u)/θ may reach about 29, in float32 about 9, θ = ε/c: use "
        "Propagator, which sums in the log domain, at smaller ε."
    )
    under_sampled: Any = (
        "The effective sample size fell below 50: a few samples decide u, which is then likely too high whatever its "
        "standard error says. Raise `samples`, ε or t; kinked data in many dimensions at small ε stay out of reach."
    )
    not_converged: Any = (
        "The iteration stopped before its tolerance was met at some points: `stats` says how far it got. Raise its "
        "limit (`max_sweeps`, `max_improvements`, ...) or the number of starts; where viscosity decides, use "
        "PolicyIteration in place of FastSweeping."
    )
    shock: Any = (
        "Characteristics have crossed at some points (a shock): a single smooth branch no longer gives the solution "
        "there, and H is not convex in p, so that the smallest branch need not be it. Use a grid method from then on."
    )
    unbounded: Any = (
        "The initial data fall as fast as |x|²/(4ct) rises, so that there is no solution up to the horizon, or they "
        "matter farther out than was searched. Shorten the horizon."
    )
    max_steps_reached: Any = (
        "The step limit was reached before the last time. Raise `max_steps`, or coarsen the grid: the stable step "
        "shrinks like Δx (like Δx² under viscosity)."
    )
    step_underflow: Any = (
        "The stable time step fell below the resolution of time. The gradient of the solution or the speed bound has "
        "grown without limit: check the Hamiltonian's speed_bound, the data, and whether characteristics enter through "
        "a face of the box (enlarge it, or use a Neumann boundary or a torus)."
    )
    diverged: Any = (
        "Training stopped at a loss that is NaN or infinite. Lower the learning rate or check the data; the weights "
        "returned are the best ones before that."
    )


def message(result: RESULTS) -> str:
    """What happened and what to do next."""
    text: str = RESULTS[result]  # type: ignore[misc]
    return text


class HJWarning(UserWarning):
    """A result less accurate than the method can be; `stats` estimates its error, the message says how to mend it."""
