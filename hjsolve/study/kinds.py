"""The kinds that a file for `hjsolve solve` can name, read from the modules that define them."""

from __future__ import annotations

import functools
import inspect
import re
from importlib import import_module
from types import ModuleType

Offer = tuple[str, tuple[str, ...]]
"""A module, and the base classes there whose final classes are meant."""
HAMILTONIANS: Offer = ("hjsolve.problem.hamiltonians", ("AbstractHamiltonian",))
INITIALS: Offer = ("hjsolve.problem.initials", ("AbstractInitial", "Atoms"))
BOUNDARIES: Offer = ("hjsolve.problem.boundaries", ("AbstractBoundary",))
PARTS: dict[str, Offer] = {
    "derivative": ("hjsolve.methods.grid.derivatives", ("AbstractDerivative",)),
    "flux": ("hjsolve.methods.grid.fluxes", ("AbstractFlux",)),
    "stepper": ("hjsolve.methods.grid.steppers", ("AbstractStepper",)),
    "step_rule": ("hjsolve.methods.grid.step_rules", ("AbstractStepRule",)),
    "stretching": ("hjsolve.methods.grid.stretchings", ("AbstractStretching",)),
    "rule": ("hjsolve.methods.particle.rules", ("AbstractRule",)),
}
"""The parts that a method's arguments name: `stepper: ForwardEuler`, `step_rule: {kind: CFL, number: 0.5}`."""


@functools.cache
def offered(offer: Offer) -> dict[str, type]:
    """The final classes of a module that a file can build: those whose required arguments are numbers."""
    module, bases = import_module(offer[0]), offer[1]
    return _final(module, tuple(getattr(module, base) for base in bases))


@functools.cache
def methods() -> dict[str, type]:
    """The grid and particle methods that need no training first."""
    from hjsolve.methods import base, grid, particle

    kinds = (base.AbstractEvolution, base.AbstractRepresentation)
    found = _final(grid, kinds) | _final(particle, kinds)
    return {name: kind for name, kind in found.items() if not hasattr(kind, "residual_loss")}  # see LearnsEquation


def _final(module: ModuleType, bases: tuple[type, ...]) -> dict[str, type]:
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    classes = {name: getattr(module, name) for name in names}
    return {
        name: found
        for name, found in classes.items()
        if isinstance(found, type) and issubclass(found, bases) and not inspect.isabstract(found) and _is_plain(found)
    }


def _is_plain(kind: type) -> bool:
    """Whether numbers will do for every required argument: a file can hold no functions."""
    required = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
    return all(re.search(r"\b(float|int)\b", str(p.annotation)) for p in required)
