"""Stationary equations: discounted problems `λu + H(x, ∇u) = ε Δu + f`, and first arrival at a target."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ..checks import as_array, check_kind, check_range, concrete, number, require
from ..typing import Array, ArrayLike, Point, Points, Scalar, Values
from .base import _check_dimensions, _instance
from .boundaries import Dirichlet
from .domains import AbstractDomain
from .hamiltonians import AbstractHamiltonian
from .initials import Custom
from .probe import reads_outside
from .viscosities import AbstractViscosity, Constant

PointFunction = Callable[[Point], Scalar]


class Target(eqx.Module):
    """The set {`distance` <= 0}, on which u = `cost`.

    `distance` maps x `[d]` to a number: a signed distance, or any level-set function with a gradient that does not
    vanish on the zero level. `cost` is a number or a function of x `[d]`. For a point source take a small ball,
    `distance = |x − x0| − r`, or a point that is a node.
    """

    distance: PointFunction
    cost: Array | PointFunction

    def __init__(self, distance: PointFunction, cost: ArrayLike | PointFunction = 0.0):
        if not callable(distance):
            raise TypeError(f"`distance` must be callable as distance(x) with x of shape [d]; got {distance!r}.")
        self.distance = distance
        self.cost = _number_or_function("cost", cost)

    def cost_at(self, x: Point) -> Scalar:
        """The cost at one point x `[d]`."""
        return _at(self.cost, x)


class StationaryProblem(eqx.Module):
    """`λu + H(x, ∇u) = ε Δu + f` on a domain, with u given on a target; H is evaluated at t = 0.

    `discount` λ >= 0. `source` f is a number or a function of x `[d]` (default 0). With λ = 0, f = 1 and a target, u is
    the time of first arrival: H = s|p| gives `s|∇u| = 1`. Well posed are λ > 0, and λ = 0 with a target (or
    with viscosity and a condition on a face that fixes u); without any of them u is free up to a constant and the
    problem is refused.

    Faces obey `domain.boundary`. Beyond the default `Extrapolation` nothing is known, and no characteristic enters
    there: a state constraint, by which trajectories stay inside (an outflow face for first arrival).
    """

    hamiltonian: AbstractHamiltonian
    viscosity: AbstractViscosity
    domain: AbstractDomain
    discount: Array
    target: Target | None
    source: Array | PointFunction

    def __init__(
        self,
        hamiltonian: AbstractHamiltonian,
        viscosity: AbstractViscosity | ArrayLike,
        domain: AbstractDomain,
        *,
        discount: ArrayLike = 0.0,
        target: Target | None = None,
        source: ArrayLike | PointFunction = 0.0,
    ):
        self.hamiltonian = _instance(
            "hamiltonian", hamiltonian, AbstractHamiltonian, "hj.hamiltonians.Custom(function)"
        )
        self.viscosity = viscosity if isinstance(viscosity, AbstractViscosity) else Constant(viscosity)
        self.domain = _instance("domain", domain, AbstractDomain, "hj.Box(lower, upper) or hj.Torus(lower, upper)")
        self.discount = number("discount", discount)
        check_range("discount", self.discount, least=0.0, remedy="A negative λ has no bounded solution: take λ >= 0.")
        check_kind("target", target, Target, "hj; write hj.Target(distance)")
        self.target = target
        self.source = _number_or_function("source", source)
        d = self.domain.dimension
        _check_dimensions(self.hamiltonian, Custom(lambda x: _at(self.source, x)), d)
        if target is not None:
            point = jax.ShapeDtypeStruct((d,), jnp.result_type(float))
            for argument, function in (("target.distance", target.distance), ("target.cost", target.cost_at)):
                _check_point_function(argument, function, point)
        self._check_posed()

    @property
    def dimension(self) -> int:
        """The space dimension d."""
        return self.domain.dimension

    @property
    def horizon(self) -> Array:
        """Infinity: the solution is the same at every time."""
        return jnp.asarray(jnp.inf)

    def right_side(self, points: Points) -> Values:
        """f at points `[m, d]`."""
        return jax.vmap(lambda x: _at(self.source, x))(points)

    def residual(self, u: Callable[[Point], Scalar], x: Array) -> Scalar:
        """`λu + H(x, ∇u) − ε Δu − f` of any twice differentiable callable `u(x [d]) -> []`, at one point x `[d]`.

        Derivatives are taken by autodiff in the precision of x; vmap over points for a batch.
        """
        t = jnp.zeros((), x.dtype)
        value, p = jax.value_and_grad(u)(x)
        hessian = jax.jacfwd(jax.grad(u))(x)
        left = self.discount * value + self.hamiltonian(t, x, p)
        return left - self.viscosity.contract(t, x, p, hessian) - _at(self.source, x)

    def _check_posed(self) -> None:
        discount = concrete(self.discount)
        if self.target is not None or discount is None or discount.all():
            return
        require(
            any(isinstance(face, Dirichlet) for faces in self.domain.boundary for face in faces),
            "`discount` must be > 0 where there is no `target`; got 0. Without either, u is free up to a constant (and "
            "may not exist: an ergodic problem). Give discount=..., or target=hj.Target(distance).",
        )


def _number_or_function(argument: str, value: ArrayLike | PointFunction) -> Array | PointFunction:
    if callable(value):
        return value
    found = number(argument, as_array(argument, value))
    check_range(argument, found, remedy="Give a finite number, or a function of x [d].")
    return found


def _at(value: Array | PointFunction, x: Point) -> Scalar:
    return jnp.asarray(value(x) if callable(value) else value, x.dtype)


def _check_point_function(argument: str, function: PointFunction, point: jax.ShapeDtypeStruct) -> None:
    remedy = "Write it for one point; it is vmapped over the grid."
    try:
        shape = eqx.filter_eval_shape(lambda x: jnp.asarray(function(x)), point).shape
    except Exception as error:
        raise ValueError(f"`{argument}` does not fit the domain: {error} {remedy}") from error
    require(shape == (), f"`{argument}` must map x {list(point.shape)} to a number; it returned {shape}. {remedy}")
    beyond = reads_outside(lambda x: jnp.asarray(function(x)), point)
    require(not beyond, f"`{argument}` reads components that do not exist (JAX would repeat the last one). {remedy}")
