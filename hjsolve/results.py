"""How a computation ended. Each message says what happened and what to do next."""

import equinox as eqx


class RESULTS(eqx.Enumeration):
    """The outcome of `solve` and `fit`."""

    successful = ""
    nonfinite = (
        "The solution became NaN or infinite. Check that the data are finite on the whole domain, and lower the CFL "
        "number of the step rule or refine the grid."
    )
    max_steps_reached = (
        "The step limit was reached before the last time. Raise `max_steps`, or coarsen the grid: the stable step "
        "shrinks like Δx (like Δx² under viscosity)."
    )
    step_underflow = (
        "The stable time step fell below the resolution of time. The gradient of the solution or the speed bound has "
        "grown without limit: check the Hamiltonian's speed_bound and the data."
    )
    diverged = (
        "Training stopped at a loss that is NaN or infinite. Lower the learning rate or check the data; the weights "
        "returned are the best ones before that."
    )


class HJWarning(UserWarning):
    """A result that is usable but less accurate than the method can be; the message says how to mend it."""
