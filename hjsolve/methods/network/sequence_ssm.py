"""A state-space layer over a sequence: diagonal, selective, evaluated all at once; its states may be waves of w."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...checks import as_array, check_ndim, check_range, number, require, shaped, whole_number
from ...kernels.recurrence import linear_recurrence
from ...typing import Array, ArrayLike, Float, PRNGKeyArray, Scalar
from .ssm import Rule

_ONE = math.log(math.e - 1)
"""softplus of it is 1."""


class SequenceSSM(eqx.Module):
    """h_n = a_n h_(n−1) + b_n v_n, y_n = o + D v_n + Re(C h_n): inputs v `[L, c]` to outputs y `[L, p]`.

    By zero-order hold over Δ_n, a_n = e^{Δ_n A_n} and b_n = Δ_n φ(Δ_n A_n) B with φ(z) = (e^z − 1)/z, or by the
    `rule` "bilinear", a_n = (1 + z/2)/(1 − z/2) and b_n = Δ_n B/(1 − z/2). The rates A_n = −`decay` + i `frequency` +
    G v_n of the N states depend on the input by the `gate` G `[N, c]`, and so does Δ_n = Δ softplus(`clock`·v_n +
    log(e − 1)), Δ without a clock: selection. B is `drive` `[N, c]`, C `readout` `[p, N]`, D `skip` `[p, c]`, o
    `offset` `[p]` and h_0 `start` `[N]`, which is before the first input. With a `temperature` θ the output is that of
    the Hopf-Cole variable, y_n = o − θ log(D v_n + Re(C h_n)).

    As an equation: states are waves of w = e^{−cu/ε}, decays ε|κ|², θ = ε/c, inputs that turn the waves a drift that
    changes with time, those that set the clock the rate of time, B a source of w. `theory.sequence_network` builds the
    layer that maps a sequence of drifts to the solution at some points, exactly.

    Evaluated by an associative scan, in O(log L) steps (`parallel=True`), or one after the other (False), which on CPUs
    is faster; by default as suits the device. Complex weights are held as pairs of real ones, `[2, ...]`; decays, Δ and
    θ by their logarithms. Source: Gu, Goel & Ré 2022, arXiv 2111.00396; Gu & Dao 2023, arXiv 2312.00752.
    """

    log_decay: Float[Array, "N"]
    frequency: Float[Array, "N"]
    gate: Float[Array, "2 N c"] | None
    clock: Float[Array, "c"] | None
    drive: Float[Array, "2 N c"]
    readout: Float[Array, "2 p N"]
    skip: Float[Array, "p c"]
    offset: Float[Array, "p"]
    start: Float[Array, "2 N"]
    log_dt: Array
    log_temperature: Array | None
    rule: Rule = eqx.field(static=True)
    parallel: bool | None = eqx.field(static=True)

    def __init__(
        self,
        decay: ArrayLike,
        frequency: ArrayLike,
        readout: ArrayLike,
        *,
        drive: ArrayLike,
        dt: ArrayLike,
        gate: ArrayLike | None = None,
        clock: ArrayLike | None = None,
        skip: ArrayLike | None = None,
        offset: ArrayLike | None = None,
        start: ArrayLike | None = None,
        temperature: ArrayLike | None = None,
        rule: Rule = "zero-order hold",
        parallel: bool | None = None,
    ):
        decays = as_array("decay", decay)
        check_ndim("decay", decays, 1, "[N]", "One per state.")
        check_range(
            "decay", decays, above=0.0, remedy="It is −Re A: states decay. Take a tiny one for a state that stays."
        )
        self.log_decay = _log(decays)
        n = decays.shape[0]
        self.frequency = shaped("frequency", frequency, (n,), "one per state")
        self.drive = _pair("drive", drive, (n, None), "one row per state, one column per input")
        c = self.drive.shape[2]
        self.readout = _pair("readout", readout, (None, n), "one row per output, one column per state")
        p = self.readout.shape[1]
        self.gate = None if gate is None else _pair("gate", gate, (n, c), "one row per state, one column per input")
        self.clock = None if clock is None else shaped("clock", clock, (c,), "one per input")
        self.skip = shaped("skip", np.zeros((p, c)) if skip is None else skip, (p, c), "one row per output")
        self.offset = shaped("offset", np.zeros(p) if offset is None else offset, (p,), "one per output")
        self.start = _pair("start", np.zeros(n) if start is None else start, (n,), "one per state")
        step = number("dt", dt)
        check_range("dt", step, above=0.0, remedy="The time between two inputs.")
        self.log_dt = _log(step)
        self.log_temperature = None
        if temperature is not None:
            theta = number("temperature", temperature)
            check_range("temperature", theta, above=0.0, remedy="The output is −temperature log w.")
            self.log_temperature = _log(theta)
        require(
            rule in ("zero-order hold", "bilinear"), f"`rule` must be 'zero-order hold' or 'bilinear'; got {rule!r}."
        )
        self.rule = rule
        self.parallel = parallel

    @staticmethod
    def random(
        inputs: int,
        states: int,
        *,
        outputs: int = 1,
        dt: float = 0.1,
        selective: bool = False,
        rule: Rule = "zero-order hold",
        parallel: bool | None = None,
        key: PRNGKeyArray,
    ) -> "SequenceSSM":
        """A_k = −1/2 + iπk (S4D-Lin, arXiv 2206.11893), B = 1, C Gaussian; G and the clock, if `selective`, small."""
        for name, count in (("inputs", inputs), ("states", states), ("outputs", outputs)):
            whole_number(name, count, least=1, remedy="See hj.methods.network.SequenceSSM.")
        first, second, third = jax.random.split(key, 3)
        readout = jax.random.normal(first, (2, outputs, states)) / math.sqrt(states)
        gate = 0.1 * jax.random.normal(second, (2, states, inputs)) if selective else None
        return SequenceSSM(
            np.full(states, 0.5), np.pi * np.arange(states), readout[0] + 1j * readout[1],
            drive=np.ones((states, inputs)), dt=dt, rule=rule, parallel=parallel,
            gate=None if gate is None else gate[0] + 1j * gate[1],
            clock=0.1 * jax.random.normal(third, (inputs,)) if selective else None,
        )  # fmt: skip

    @property
    def poles(self) -> Array:
        """A `[N]` without an input."""
        return -jnp.exp(jnp.asarray(self.log_decay)) + 1j * jnp.asarray(self.frequency)

    @property
    def dt(self) -> Scalar:
        """Δ."""
        return jnp.exp(jnp.asarray(self.log_dt))

    def states(self, v: Float[Array, "L c"]) -> Array:
        """h_1, ..., h_L `[L, N]` for inputs `[L, c]`."""
        dt = self.dt * jnp.ones(len(v))
        if self.clock is not None:
            dt = self.dt * jax.nn.softplus(v @ jnp.asarray(self.clock) + _ONE)
        rates = self.poles + (0.0 if self.gate is None else v @ _complex(self.gate).T)
        z = dt[:, None] * rates
        if self.rule == "zero-order hold":
            decay = jnp.exp(z)
            small = jnp.abs(z) < 1e-4  # there the quotient loses digits
            held = jnp.where(small, 1 + z / 2 + z**2 / 6, jnp.expm1(z) / jnp.where(small, 1.0, z))
        else:
            decay, held = (1 + z / 2) / (1 - z / 2), 1 / (1 - z / 2)
        drive = dt[:, None] * held * (v @ _complex(self.drive).T)
        first = drive[:1] + decay[:1] * _complex(self.start)
        return linear_recurrence(decay, jnp.concatenate([first, drive[1:]]), parallel=self.parallel)

    def __call__(self, v: Float[Array, "L *c"]) -> Float[Array, "L *p"]:
        """Y `[L, p]` of v `[L, c]`; of one input and one output also `[L]` of `[L]`."""
        v, c, p = jnp.asarray(v), self.drive.shape[2], self.readout.shape[1]
        require(
            (v.ndim == 2 and v.shape[1] == c) or (v.ndim == 1 and c == p == 1),
            f"the input must have shape [L, {c}]{' or [L]' if c == p == 1 else ''}; got {v.shape}.",
        )
        require(len(v) > 0, "the input must have at least one step; got none.")
        rows = v.reshape(len(v), c)
        y = jnp.real(self.states(rows) @ _complex(self.readout).T) + rows @ jnp.asarray(self.skip).T
        if self.log_temperature is not None:
            # what rounding decides, or weights that are not trained yet make negative
            floor = jnp.finfo(y.dtype).eps * jax.lax.stop_gradient(jnp.max(y))
            y = -jnp.exp(jnp.asarray(self.log_temperature)) * jnp.log(jnp.maximum(y, floor))
        return (jnp.asarray(self.offset) + y).reshape(v.shape if v.ndim == 1 else (len(v), p))

    def memory(self, lags: Float[Array, "m"]) -> Float[Array, "m p c"]:
        """Re C e^{A τ} B at the lags τ `[m]`: what an input leaves behind, where rates do not depend on inputs."""
        left = jnp.exp(jnp.asarray(lags)[:, None] * self.poles)
        return jnp.einsum("pk,mk,kc->mpc", _complex(self.readout), left, _complex(self.drive)).real


def _complex(pair: Array) -> Array:
    return jnp.asarray(pair[0]) + 1j * jnp.asarray(pair[1])


def _log(array: Array) -> Array:
    return (jnp if isinstance(array, jax.Array) else np).log(array)


def _pair(name: str, value: ArrayLike, shape: tuple[int | None, ...], meaning: str) -> Array:
    """Real and imaginary parts `[2, ...]` of a complex array whose shape is known but for None."""
    module = jnp if isinstance(value, jax.Array) else np
    array = module.asarray(value)
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    wanted = str(tuple("any" if n is None else n for n in shape)).replace("'", "")
    require(fits, f"`{name}` must have shape {wanted}, {meaning}; got {array.shape}.")
    return as_array(name, module.stack([module.real(array), module.imag(array)]))
