"""The problem: an equation, its initial data, where it lives and for how long."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..checks import check_range, number, require
from ..typing import Array, ArrayLike, Point, Scalar, Values, Vectors
from .domains import AbstractDomain
from .hamiltonians import AbstractHamiltonian
from .initials import AbstractInitial, Atoms
from .obstacles import Obstacle, check_obstacle, height
from .probe import depends_on, reads_outside
from .viscosities import AbstractViscosity, Constant


class Problem(eqx.Module):
    """`u_t + H(t, x, ∇u) = ε Δu` on a domain for 0 < t <= horizon, `u(0, ·) = g`.

    Every number in it (ε, c, bounds, horizon) is an array: changing a value never recompiles, and problems batch under
    `jax.vmap`. `viscosity` also takes a number, meaning `Constant`. Dimensions of the Hamiltonian, the domain and the
    initial data are checked against each other at construction.

    Obstacles, functions ψ(t, x `[d, ...]`) -> `[...]` or initial data, keep u below the `ceiling` and above the
    `floor`: `max(min(u_t + H − ε Δu, u − floor), u − ceiling) = 0`, the variational inequality of stopping for a cost.
    A control that minimises stops for the ceiling's height whenever that is lower (with ceiling = g: the backward
    reachable tube of {g < 0}); where u < 0 is to be reached, a floor that is positive on a set forbids it
    (reach-avoid). They may move with t. Methods that do not know obstacles refuse them.
    """

    hamiltonian: AbstractHamiltonian
    viscosity: AbstractViscosity
    initial: AbstractInitial | Atoms
    domain: AbstractDomain
    horizon: Array
    ceiling: Obstacle | None
    floor: Obstacle | None

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        viscosity: AbstractViscosity | ArrayLike,
        initial: AbstractInitial | Atoms,
        domain: AbstractDomain,
        horizon: ArrayLike,
        *,
        ceiling: Obstacle | None = None,
        floor: Obstacle | None = None,
    ):
        self.hamiltonian = _instance(
            "hamiltonian", hamiltonian, AbstractHamiltonian, "hj.hamiltonians.Custom(function)"
        )
        self.viscosity = viscosity if isinstance(viscosity, AbstractViscosity) else Constant(viscosity)
        self.initial = _instance("initial", initial, (AbstractInitial, Atoms), "hj.initials.Custom(function)")
        self.domain = _instance("domain", domain, AbstractDomain, "hj.Box(lower, upper) or hj.Torus(lower, upper)")
        self.horizon = number("horizon", horizon)
        check_range("horizon", self.horizon, above=0.0, remedy="The solution starts at t = 0 and runs forward.")
        _check_dimensions(self.hamiltonian, self.initial, self.domain.dimension)
        self.ceiling, self.floor = ceiling, floor
        for argument, obstacle in (("ceiling", ceiling), ("floor", floor)):
            check_obstacle(argument, obstacle, self.domain.dimension)

    def __str__(self) -> str:
        """The equation, with its numbers where they are known: `u_t + 0.5 |∇u|² = 0.1 Δu`."""
        from .describe import describe

        return describe(self)

    @property
    def dimension(self) -> int:
        """The space dimension d."""
        return self.domain.dimension

    @property
    def changes_in_time(self) -> bool:
        """Whether H, the viscosity, an obstacle or what a face holds reads t: a step must then not jump over times."""
        x = jnp.asarray(self.domain.lower)[:, None]
        faces = [face for pair in self.domain.boundary for face in pair]

        def read(t: Scalar) -> list[Any]:
            heights = [height(obstacle, t, x) for obstacle in (self.ceiling, self.floor) if obstacle is not None]
            held = [face.on_face(t, x, x[0]) for face in faces]
            return [self.hamiltonian(t, x, x), self.viscosity.bound(t, x), *heights, *held]

        return depends_on(read, 0, jnp.zeros((), x.dtype))

    @property
    def is_forced(self) -> bool:
        """Whether H(t, x, 0) reads x, so that what is flat does not stay so."""
        x = jnp.asarray(self.domain.lower)
        return depends_on(lambda x: self.hamiltonian(jnp.zeros((), x.dtype), x, jnp.zeros_like(x)), 0, x)

    def confined(self, t: Scalar, x: Vectors, u: Values) -> Values:
        """u `[...]` at places x `[d, ...]`, raised to the floor and then lowered to the ceiling."""
        if self.floor is not None:
            u = jnp.maximum(u, height(self.floor, t, x))
        return u if self.ceiling is None else jnp.minimum(u, height(self.ceiling, t, x))

    def residual(self, u: Callable[[Scalar, Point], Scalar], t: ArrayLike, x: Array) -> Scalar:
        """`u_t + H(t, x, ∇u) − ε Δu` of any twice differentiable callable `u(t, x [d]) -> []`, at one point x `[d]`.

        Derivatives are taken by autodiff in the precision of x; vmap over points for a batch.
        """
        t = jnp.asarray(t, dtype=x.dtype)
        u_t, p = jax.grad(u, argnums=(0, 1))(t, x)
        hessian = jax.jacfwd(jax.grad(u, argnums=1), argnums=1)(t, x)
        return u_t + self.hamiltonian(t, x, p) - self.viscosity.contract(t, x, p, hessian)


def _instance(argument: str, value: Any, kinds: Any, remedy: str) -> Any:
    if not isinstance(value, kinds):
        raise TypeError(f"`{argument}` must be one of hjsolve's {argument}s; got {type(value).__name__}. Use {remedy}.")
    return value


def _check_dimensions(hamiltonian: AbstractHamiltonian, initial: AbstractInitial | Atoms, d: int) -> None:
    point = jax.ShapeDtypeStruct((d,), jnp.result_type(float))
    field = jax.ShapeDtypeStruct((d, 3, 5), point.dtype)
    time = jax.ShapeDtypeStruct((), point.dtype)
    advice = f"The domain has dimension {d}: give the Hamiltonian, the domain and the initial data the same dimension."
    try:
        shape = eqx.filter_eval_shape(lambda t, x: hamiltonian(t, x, x), time, field).shape
    except Exception as error:
        raise ValueError(f"`hamiltonian` does not fit the domain: {error} {advice}") from error
    if shape != (3, 5):
        raise ValueError(f"`hamiltonian` maps x, p {field.shape} to {shape}, expected (3, 5). {advice}")
    outside = "reads components that do not exist (JAX would repeat the last one instead)."
    beyond = reads_outside(lambda t, x, p: hamiltonian(t, x, p), time, field, field)
    require(not beyond, f"`hamiltonian` {outside} {advice}")
    if isinstance(initial, Atoms):
        if initial.dimension != d:
            raise ValueError(f"`initial` holds atoms of dimension {initial.dimension}. {advice}")
        return
    try:
        shape = eqx.filter_eval_shape(initial, point).shape
    except Exception as error:
        raise ValueError(f"`initial` does not fit the domain: {error} {advice}") from error
    if shape != ():
        raise ValueError(f"`initial` must map x [{d}] to a number; it returned shape {shape}. {advice}")
    require(not reads_outside(initial, point), f"`initial` {outside} {advice}")
