"""A diagonal state-space model in the Hopf-Cole variable: a network that marches a Hamilton-Jacobi equation exactly."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import check_range, check_shape, counts, number, require, shaped, whole_number
from ...problem import Problem
from ...problem.hamiltonians import AbstractHamiltonian, Quadratic, WithDrift, WithPotential
from ...problem.hopf_cole import check_periodic_data, require_hopf_cole
from ...problem.initials import Atoms
from ...problem.viscosities import Constant
from ...results import RESULTS
from ...typing import Array, ArrayLike, Float, Points, PRNGKeyArray, Scalar
from ..base import Evaluation
from .on_torus import AbstractOnTorus
from .spectrum import ConstantDrift, NodePotential, Spectrum, read_spectrum

Rule = Literal["zero-order hold", "bilinear"]
_FEWEST = 4
_JITTER = 0.1
_LOST = 1e-3
"""The share of w that rounding may have decided where w is smallest: the error of u over θ."""


class HopfColeState(eqx.Module):
    """w = e^{(`offset` − u)/θ} by its modes."""

    modes: Array
    offset: Scalar


class SSM(AbstractOnTorus):
    """ŵ ↦ e^{ΔtA} ŵ for w = e^{−u/θ} on a torus: one state per Fourier mode k, A_k = −`decay`_k + i·`frequency`_k.

    With A_k = −ε|κ_k|² and `temperature` θ = ε/c it solves `u_t + c|∇u|² = ε Δu` exactly on its waves: the layer that
    `theory.as_network(problem, family="ssm")` builds. A frequency −b·κ_k is a constant drift b, and `gate` `[n_1, ...]`
    a potential: w is multiplied by e^{−Δt·gate/2} on the nodes before and after each of `layers` steps (Strang, order
    2), gate = V/θ. The discretization `rule` is the zero-order hold, e^{ΔtA}, or the bilinear (1 + ΔtA/2)/(1 − ΔtA/2).

    `network(u)` maps node values at 0, as a list `[m]`, to those at `time`. Decays `[n_1, ..., n_d/2 + 1]` are those of
    the modes of `jnp.fft.rfftn`; that of the mean is 0 whatever it is given as. Training moves decays, frequencies, the
    gate and, with `learn_temperature`, θ, all but the gate by their logarithm where positive.

    As a method it needs a torus, and its modes have no units: on a torus of another period they are those of another ε
    and c, which `solution.equation` says. It knows the data at the nodes alone: a kink between them costs O(h²), of
    which no flag tells. Rounding of w grows like e^{osc(u)/θ}, which `stats["rounding"]` estimates in units of u and
    beyond 1e-3 θ is `RESULTS.cancelled`. Source: arXiv 2605.28983; Gu, Goel & Ré 2022, arXiv 2111.00396.
    """

    log_decay: Array
    log_temperature: Array
    frequency: Array | None
    gate: Array | None
    time: Array
    cells: tuple[int, ...] = eqx.field(static=True)
    layers: int = eqx.field(static=True)
    rule: Rule = eqx.field(static=True)
    learn_temperature: bool = eqx.field(static=True)

    def __init__(
        self,
        cells: int | tuple[int, ...],
        decay: ArrayLike,
        temperature: ArrayLike,
        *,
        frequency: ArrayLike | None = None,
        gate: ArrayLike | None = None,
        time: ArrayLike = 1.0,
        layers: int = 1,
        rule: Rule = "zero-order hold",
        learn_temperature: bool = True,
    ):
        self.cells = (cells,) if isinstance(cells, int) else tuple(cells)
        for n in self.cells:
            whole_number("cells", n, least=_FEWEST, remedy="One number, or one per axis.")
        shape = (*self.cells[:-1], self.cells[-1] // 2 + 1)
        decays = shaped("decay", decay, shape, "one decay per mode of rfftn")
        rest = np.ones(shape, bool)
        rest[(0,) * len(shape)] = False
        check_range("decay", decays[rest], above=0.0, remedy="It is −Re A of a mode: every wave decays.")
        module = jnp if isinstance(decays, jax.Array) else np
        self.log_decay = module.log(module.where(rest, decays, 1.0))
        theta = number("temperature", temperature)
        check_range("temperature", theta, above=0.0, remedy="w = exp(−u/temperature).")
        self.log_temperature = (jnp if isinstance(theta, jax.Array) else np).log(theta)
        self.frequency = None if frequency is None else shaped("frequency", frequency, shape, "one per mode of rfftn")
        self.gate = None if gate is None else shaped("gate", gate, self.cells, "one number per node")
        self.time = number("time", time)
        check_range("time", self.time, above=0.0, remedy="The network maps u at 0 to u at this time.")
        self.layers = whole_number("layers", layers, least=1, remedy="Steps within `time`.")
        known = ("zero-order hold", "bilinear")
        require(rule in known, f"`rule` must be 'zero-order hold' or 'bilinear'; got {rule!r}.")
        self.rule = rule
        self.learn_temperature = learn_temperature

    @staticmethod
    def random(
        cells: int | tuple[int, ...],
        *,
        temperature: float,
        time: float = 1.0,
        layers: int = 1,
        gated: bool = False,
        rule: Rule = "zero-order hold",
        learn_temperature: bool = True,
        key: PRNGKeyArray,
    ) -> "SSM":
        """Decays that grow like |k|, as in S4D-Lin (arXiv 2206.11893), times e^{0.1 ξ}, ξ normal; a gate of 0.

        Their rate for k = 1 is log-uniform in [0.1, 1]/`time`. Such a kernel is all but positive, so that log w exists.
        """
        given = counts("cells", cells)
        known = (given,) if isinstance(given, int) else given
        check_range("time", number("time", time), above=0.0, remedy="The network maps u at 0 to u at this time.")
        shape = (*known[:-1], known[-1] // 2 + 1)
        waves = [np.abs(np.fft.fftfreq(n) * n) for n in known[:-1]] + [np.arange(shape[-1])]
        length = np.sqrt(sum(k**2 for k in np.meshgrid(*waves, indexing="ij")))
        rate = jnp.exp(jax.random.uniform(key, (), minval=math.log(0.1), maxval=0.0)) / time
        decay = rate * np.maximum(length, 1.0) * jnp.exp(_JITTER * jax.random.normal(key, shape))
        gate = jnp.zeros(known) if gated else None
        return SSM(
            known, decay, temperature, gate=gate, time=time, layers=layers, rule=rule,
            learn_temperature=learn_temperature,
        )  # fmt: skip

    @property
    def temperature(self) -> Scalar:
        """θ."""
        return jnp.exp(jnp.asarray(self.log_temperature))

    @property
    def poles(self) -> Array:
        """A, one per mode; 0 for the mean."""
        real = -jnp.exp(jnp.asarray(self.log_decay))
        real = real.at[(0,) * len(self.cells)].set(0.0)
        return real + 0j if self.frequency is None else real + 1j * jnp.asarray(self.frequency)

    def held(self) -> tuple[Array, ...]:
        """What training leaves alone: the time, and the temperature unless it is to be learnt."""
        return (self.time,) if self.learn_temperature else (self.time, self.log_temperature)

    def __call__(self, u: Float[Array, "m"]) -> Float[Array, "m"]:
        """The node values at `time` of those at 0, both as a list."""
        check_shape("u", u, (math.prod(self.cells),), f"the values at the nodes of {self.cells} cells")
        theta, offset = self.temperature, jnp.min(u)
        w = jnp.exp((offset - u) / theta).reshape(self.cells)
        dt = jnp.asarray(self.time) / self.layers
        modes = jax.lax.fori_loop(0, self.layers, lambda _, modes: self._layer(dt, modes), jnp.fft.rfftn(w))
        w = jnp.fft.irfftn(modes, self.cells)
        # what rounding decides, or weights that are not trained yet make negative
        floor = jnp.finfo(w.dtype).eps * jax.lax.stop_gradient(jnp.max(w))
        return offset - theta * jnp.log(jnp.maximum(w, floor)).reshape(-1)

    def _layer(self, dt: Scalar, modes: Array) -> Array:
        z = dt * self.poles
        factor = jnp.exp(z) if self.rule == "zero-order hold" else (1 + z / 2) / (1 - z / 2)
        if self.gate is None:
            return factor * modes
        half = jnp.exp(-dt / 2 * jnp.asarray(self.gate))
        modes = factor * jnp.fft.rfftn(half * jnp.fft.irfftn(modes, self.cells))
        return jnp.fft.rfftn(half * jnp.fft.irfftn(modes, self.cells))

    def check(self, problem: Problem) -> None:
        """Refuse what is not `c|p|²` with a drift or a potential on a torus, and data that are not periodic."""
        require_hopf_cole(problem, "An SSM", "Use hj.methods.grid.FiniteDifference.", drift=True, potential=True)
        require(
            all(problem.domain.periodic),
            "`domain` must be periodic in every axis for an SSM, whose states are Fourier modes. Use hj.Torus.",
        )
        require(
            problem.dimension == len(self.cells),
            f"`cells` of the SSM has {len(self.cells)} axes but the problem has dimension {problem.dimension}.",
        )
        require(not isinstance(problem.initial, Atoms), "`initial` must be a function for an SSM; got Atoms.")
        check_periodic_data(problem, "An SSM")

    def init(self, problem: Problem, *, key: PRNGKeyArray | None = None) -> HopfColeState:
        """The modes of w from the data on the nodes."""
        u = self.data(problem)
        offset = jnp.min(u)
        return HopfColeState(self.grid(problem).modes(jnp.exp((offset - u) / self.temperature)), offset)

    def stable_dt(self, problem: Problem, t: Scalar, state: HopfColeState) -> Scalar:
        """Any, where the zero-order hold without a gate is exact; else `time`/`layers`."""
        horizon = jnp.asarray(problem.horizon)
        if self.rule == "zero-order hold" and self.gate is None:
            return horizon
        return jnp.asarray(self.time, horizon.dtype) / self.layers

    def step(self, problem: Problem, t: Scalar, dt: Scalar, state: HopfColeState) -> tuple[HopfColeState, RESULTS]:
        """One layer of length dt."""
        modes = self._layer(dt, state.modes)
        finite = jnp.isfinite(jnp.sum(jnp.abs(modes)))
        return HopfColeState(modes, state.offset), RESULTS.where(finite, RESULTS.successful, RESULTS.nonfinite)

    def evaluate(
        self,
        problem: Problem,
        t: Scalar,
        state: HopfColeState,
        points: Points | None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Evaluation:
        """U = offset − θ log w and ∇u = −θ∇w/w at the nodes, or at `points` by summing the waves of w there."""
        grid, theta = self.grid(problem), self.temperature
        fields = grid.with_gradient(state.modes)
        on_nodes = grid.values(fields).reshape(len(fields), -1).T
        values = on_nodes if points is None else grid.at(fields, points)
        w = on_nodes[:, 0]
        lowest = jnp.min(w)
        share = jnp.finfo(w.dtype).eps * jnp.max(w) / jnp.where(lowest > 0, lowest, jnp.finfo(w.dtype).tiny)
        positive = values[:, 0] > 0
        safe = jnp.where(positive, values[:, 0], 1.0)
        u = jnp.where(positive, state.offset - theta * jnp.log(safe), jnp.nan)
        gradient = jnp.where(positive[:, None], -theta * values[:, 1:] / safe[:, None], jnp.nan)
        result = RESULTS.where((share <= _LOST) & jnp.all(positive), RESULTS.successful, RESULTS.cancelled)
        return Evaluation(u, gradient, result, {"rounding": theta * share})

    def equation(self, problem: Problem, state: HopfColeState | None = None) -> Problem:
        """`u_t + (ε̂/θ)|∇u|² + b̂·∇u − θ·gate = ε̂ Δu` with ε̂, b̂ from the spectrum A ≈ −ε̂|κ|² − i b̂·κ of this torus.

        Both by least squares over the modes, each with the weight that is left of it after `time` in the w of `state`
        (default the data; of a constant, all alike): what fades at once says nothing of how fast.
        """
        grid, found = self.grid(problem), self.spectrum(problem, state)
        hamiltonian: AbstractHamiltonian = Quadratic(found.viscosity / self.temperature)
        if self.frequency is not None:
            hamiltonian = WithDrift(hamiltonian, ConstantDrift(found.drift))
        if self.gate is not None:
            lower, values = jnp.asarray(grid.domain.lower), self.temperature * jnp.asarray(self.gate)
            hamiltonian = WithPotential(hamiltonian, NodePotential(values, lower, grid.spacing))
        return eqx.tree_at(lambda p: (p.hamiltonian, p.viscosity), problem, (hamiltonian, Constant(found.viscosity)))

    def spectrum(self, problem: Problem, state: HopfColeState | None = None) -> Spectrum:
        """ε̂ and b̂ of A ≈ −ε̂|κ|² − i b̂·κ, in the weights of `equation`."""
        modes = (self.init(problem) if state is None else state).modes
        left = jnp.abs(jnp.exp(self.poles * jnp.asarray(self.time))) ** 2
        held = jnp.abs(modes.at[(0,) * len(self.cells)].set(0.0)) ** 2
        weight = left * jnp.where(jnp.any(left * held > 0), held, 1.0)
        return read_spectrum(self.poles, self.grid(problem), weight)
