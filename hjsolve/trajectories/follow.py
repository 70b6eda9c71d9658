"""Paths that follow the closed loop, integrated by diffrax."""

import functools
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..problem import Problem, StationaryProblem
from ..problem.probe import depends_on
from ..results import RESULTS
from ..typing import Array, Float, Points, PRNGKeyArray
from .closed_loop import Inputs
from .dynamics import Loop, Noise
from .guide import Guide
from .stops import Path, run_on, stop


class Trajectory(eqx.Module):
    """Paths of the closed loop from x0 `[m, d]` (from x0 `[d]`: the same without the first axis).

    `s` `[n]` is the time that has passed and `t` `[n]` the time to go; `x` `[m, n, d]`; `inputs` hold what was done
    there, `[m, n, ...]`. `cost` `[m, n]` is ∫ e^{−λs} ℓ ds up to s, ℓ the running cost (for convex H without inputs
    the Lagrangian L(t, x, −dx/ds)) and λ the discount of a stationary problem, else 0: `cost[:, -1]` and e^{−λs} times
    what the end costs (g at the last `x`, the target's cost, or the ceiling) add up to what the path cost, which is u
    where the path is optimal.

    A path that stops before the last s stays where it is, its velocity 0: `left` `[m]` at a face of the domain of a
    grid, `arrived` `[m]` at the target of a stationary problem, and neither where u meets the ceiling of a problem,
    which is where a controller stops for its height. `end` `[m]` is the s at which the path stopped, else the last.
    """

    s: Float[Array, "n"]
    t: Float[Array, "n"]
    x: Float[Array, "*m n d"]
    inputs: Inputs
    cost: Float[Array, "*m n"]
    left: Array
    arrived: Array
    end: Array
    result: RESULTS


def follow(
    problem: Problem | StationaryProblem,
    guide: Guide,
    x: Points,
    span: Float[Array, "2"],
    steps: int,
    walls: bool,
    key: PRNGKeyArray | None,
) -> Trajectory:
    """Follow the closed loop from x with `span[0]` to go until `span[1]` is left, in equal steps.

    Without a `key` dx = f ds. On a grid by the method of Bogacki and Shampine, of order 3, where ∇u is smooth; the
    controls of its stages enter with positive weights, so that what is done where they jump is a mean of controls.
    For a representation by that of Tsitouras, of order 5.
    With a key one dX = f ds + σ dW (Itô), σσᵀ = 2εΣ: by ShARK where σ does not depend on x (weak order 2), else by
    Euler's method (weak order 1). `walls`: stop at faces, targets and ceilings, where the method of order 3 finds them
    on the cubic between two steps, and noisy paths on the chord.
    Sources: doi:10.1016/0893-9659(89)90079-7, doi:10.1016/j.camwa.2011.06.002, arXiv:2210.17543.
    """
    loop = Loop(problem, guide, span[0], (span[0] - span[1]) / steps, walls)
    numbers = np.arange(steps + 1, dtype=x.dtype)
    solver: Any = diffrax.Bosh3() if walls else diffrax.Tsit5()
    terms: Any = diffrax.ODETerm(loop.field)
    if key is not None:
        root = problem.viscosity.root
        varies = depends_on(root, 1, span[0], x[0])
        shape = (x.shape[0], eqx.filter_eval_shape(root, span[0], x[0]).shape[1])
        terms = diffrax.MultiTerm(terms, Noise(loop, varies, shape, key))
        solver = diffrax.Euler() if varies else diffrax.ShARK()
    solution = diffrax.diffeqsolve(
        terms,
        solver,
        numbers[0],
        numbers[-1],
        None,
        (x, jnp.zeros_like(x[:, 0])),
        saveat=diffrax.SaveAt(t0=True, steps=True),
        stepsize_controller=diffrax.StepTo(jnp.asarray(numbers)),
        max_steps=steps,
        throw=False,
    )
    assert solution.ys is not None
    done = jax.lax.map(lambda entry: loop.act(*entry), (jnp.asarray(numbers), solution.ys[0]))
    # component first and times before paths, until now
    inputs, cost_rate, contact = jax.tree.map(lambda a: jnp.moveaxis(a, -1, 0), done)
    path = Path(solution.ys[0].swapaxes(0, 1), solution.ys[1].T, inputs, cost_rate, contact)
    s = loop.dt * numbers
    halt = functools.partial(stop, problem, loop.dt, key is not None) if walls else run_on
    path, left, arrived, number = jax.vmap(halt)(path)
    finite = jnp.all(jnp.isfinite(path.x)) & jnp.all(jnp.isfinite(path.cost))
    result = RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)
    reached = solution.result == diffrax.RESULTS.successful
    result = RESULTS.where(reached, result, RESULTS.max_steps_reached)
    return Trajectory(s, span[0] - s, path.x, path.inputs, path.cost, left, arrived, loop.dt * number, result)
