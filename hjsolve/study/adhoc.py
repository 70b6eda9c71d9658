"""A problem described in a YAML file: built, solved, stored and drawn, without writing Python.

    problem:
      hamiltonian: {kind: Quadratic, c: 1.0}
      viscosity: 0.1
      initial: {kind: Cosine, wavevector: [3.0]}
      domain: {lower: [-3.0], upper: [3.0]}
      horizon: 0.5
    method: {kind: FiniteDifference, cells: 200}
    times: [0.25, 0.5]

Kinds are the class names of hjsolve and the other keys their constructor arguments. A box takes a `boundary`, one for
every face (`boundary: AwayFromZero`) or a pair for each axis; a problem takes a `ceiling` and a `floor`, named like
initial data.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from . import canaries, config, environment, store
from .errors import ConfigError, RunFailed, nearest, one_of
from .figures import save
from .kinds import BOUNDARIES, HAMILTONIANS, INITIALS, PARTS, methods, offered
from .terminal import console, progress

if TYPE_CHECKING:
    from hjsolve.solution import Solution

MAX_POINTS = 1_000_000


Part = str | dict[str, Any]
"""A kind by its name alone, or with arguments."""


class Domain(config.StrictModel):
    """A box, or a torus where every axis is periodic."""

    lower: tuple[float, ...] = Field(min_length=1)
    upper: tuple[float, ...] = Field(min_length=1)
    periodic: tuple[bool, ...] | None = None
    boundary: Part | tuple[tuple[Part, Part], ...] | None = None


class Problem(config.StrictModel):
    """The equation, its data, where and how long."""

    hamiltonian: dict[str, Any]
    viscosity: float = Field(ge=0)
    initial: dict[str, Any]
    domain: Domain
    horizon: float = Field(gt=0)
    ceiling: Part | None = None
    floor: Part | None = None


class Output(config.StrictModel):
    """The file's format, and an animation over `times` if it is named.

    `points_per_axis`: how many points an axis has; null means the grid's own nodes, or a resolution that fits d.
    """

    format: Literal["npz", "nc", "zarr"] = "npz"
    points_per_axis: int | None = Field(default=None, ge=2)
    animation: Literal["gif", "mp4"] | None = None


class File(config.StrictModel):
    """The whole file."""

    problem: Problem
    method: dict[str, Any]
    times: tuple[float, ...] = Field(min_length=1)
    precision: config.Precision = "float64"
    device: config.Device = "auto"
    output: Output = Output()


def solve_file(path: Path, out: Path, *, overwrite: bool = False) -> list[Path]:
    """Solve the problem in `path`; write `<stem>.npz`, `.nc` or `.zarr`, `<stem>.png` and any animation into `out`.

    Raises:
        ConfigError: the file, an argument in it or an existing output is refused.
        RunFailed: the solver stopped; the message says how.
        StoreError: an output could not be written.
    """
    spec = config.validate(File, config.read(path), str(path))
    output = spec.output
    suffixes = (output.format, "png", *([output.animation] if output.animation else []))
    targets = [out / f"{path.stem}.{suffix}" for suffix in suffixes]
    for target in targets:
        if target.exists() and not overwrite:
            raise ConfigError(f"`{target}` exists. Give another `--out`, or `--overwrite` to replace it.")
    if output.animation:
        from .drawing import check_animation

        check_animation(output.animation, len(spec.times))
    device = environment.pick_device(spec.device)
    canaries.require()
    with environment.settings(spec.precision, device):
        solution = _solve(spec, str(path))
        arrays = {name: np.asarray(getattr(solution, name)) for name in ("ts", "points", "u", "gradient")}
        facts = solution.facts() | {"problem": config.to_yaml(spec)}
    return [targets[0], *_write(targets, arrays, facts, spec)]


def _write(
    targets: list[Path], arrays: dict[str, np.ndarray[Any, Any]], facts: dict[str, str], spec: File
) -> list[Path]:
    """Write the arrays to the first target and the pictures to the others, which are returned."""
    from hjsolve import files

    from .drawing import animation, picture
    from .drawing.sampled import sampled

    with store.disk_errors(targets[0]):
        targets[0].parent.mkdir(parents=True, exist_ok=True)
        files.save(targets[0], arrays, facts)
    data = sampled(**arrays)
    if data is None:
        console.print(f"no picture: the points form no grid. Draw {targets[0]} yourself")
        return []
    save(picture(data), targets[1])
    if spec.output.animation:
        store.write(targets[2], animation(data, spec.output.animation))
    return targets[1:]


def _solve(spec: File, source: str) -> Solution:
    """Build the problem and the method, reporting every refused argument at once, then solve."""
    from hjsolve.methods.base import AbstractEvolution
    from hjsolve.problem import Box, viscosities
    from hjsolve.problem import Problem as Equation
    from hjsolve.solve import solve

    mistakes: list[str] = []
    domain = spec.problem.domain
    initial = _build("problem.initial", spec.problem.initial, offered(INITIALS), mistakes)
    hamiltonian = _build("problem.hamiltonian", spec.problem.hamiltonian, offered(HAMILTONIANS), mistakes)
    method = _build("method", spec.method, methods(), mistakes)
    faces = _faces(domain.boundary, mistakes)
    box = _try(
        "problem.domain", lambda: Box(domain.lower, domain.upper, periodic=domain.periodic, boundary=faces), mistakes
    )
    obstacles = {
        name: _part(f"problem.{name}", given, offered(INITIALS), mistakes)
        for name, given in (("ceiling", spec.problem.ceiling), ("floor", spec.problem.floor))
        if given is not None
    }
    points = _points(spec, isinstance(method, AbstractEvolution), mistakes)
    if not mistakes:
        parts = (hamiltonian, viscosities.Constant(spec.problem.viscosity), initial, box, spec.problem.horizon)
        problem = _try("problem", lambda: Equation(*parts, **obstacles), mistakes)
    if mistakes:
        raise ConfigError(
            "\n".join(
                [
                    f"{source}: {len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}",
                    *(f"  {line}" for line in mistakes),
                ]
            )
        )
    try:
        with progress("solving") as reached:
            return solve(problem, method, ts=np.array(spec.times), points=points, progress=reached)
    except (TypeError, ValueError) as error:  # refused before it started
        raise ConfigError(f"{source}: {error}") from error
    except Exception as error:
        raise RunFailed(f"{source}: the solver stopped: {error}") from error


def _build(key: str, spec: Mapping[str, Any], kinds: Mapping[str, type], mistakes: list[str]) -> Any:
    """Construct the class that `spec` names from its other keys; what is wrong is added to `mistakes`."""
    kind, arguments = spec.get("kind"), {name: _tuples(value) for name, value in spec.items() if name != "kind"}
    if not isinstance(kind, str) or kind not in kinds:
        mistakes.append(f"`{key}.kind` must be one of {one_of(kinds)}; got {kind!r}.{nearest(kind, kinds)}")
        return None
    make = kinds[kind]
    parameters = inspect.signature(make).parameters
    unknown = [name for name in arguments if name not in parameters]
    for name in unknown:
        mistakes.append(
            f"`{key}.{name}` is not a key of {kind}.{nearest(name, parameters)} Keys: {one_of(parameters)}."
        )
    before = len(mistakes)
    for name in PARTS.keys() & arguments.keys() & parameters.keys():
        arguments[name] = _part(f"{key}.{name}", arguments[name], offered(PARTS[name]), mistakes)
    missing = [name for name, p in parameters.items() if p.default is p.empty and name not in arguments]
    mistakes.extend(f"`{key}.{name}` is required by {kind}." for name in missing)
    return None if unknown or missing or len(mistakes) > before else _try(key, lambda: make(**arguments), mistakes)


def _part(key: str, given: Any, kinds: Mapping[str, type], mistakes: list[str]) -> Any:
    return _build(key, given if isinstance(given, dict) else {"kind": given}, kinds, mistakes)


def _faces(given: Part | tuple[tuple[Part, Part], ...] | None, mistakes: list[str]) -> Any:
    """One condition for every face, or a pair for each axis."""
    if given is None:
        return None
    kinds = offered(BOUNDARIES)
    if not isinstance(given, tuple):
        return _part("problem.domain.boundary", given, kinds, mistakes)
    return [
        tuple(_part(f"problem.domain.boundary.{axis}", face, kinds, mistakes) for face in pair)
        for axis, pair in enumerate(given)
    ]


def _tuples(value: Any) -> Any:
    """Turn lists into tuples: an argument may be static, and then has to be hashable."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _try(key: str, make: Callable[[], Any], mistakes: list[str]) -> Any:
    try:
        return make()
    except (TypeError, ValueError) as error:
        mistakes.append(f"`{key}`: {error}")
        return None


def _points(spec: File, has_nodes: bool, mistakes: list[str]) -> np.ndarray[Any, Any] | None:
    """Return the output points `[m, d]`, or None for a grid method's own nodes."""
    lower, upper = spec.problem.domain.lower, spec.problem.domain.upper
    d, count = len(lower), spec.output.points_per_axis
    if count is None:
        if has_nodes:
            return None
        count = {1: 401, 2: 101, 3: 33}.get(d, max(2, int(20000 ** (1 / d))))
    if count**d > MAX_POINTS:
        most = int(MAX_POINTS ** (1 / d) + 1e-9)
        mistakes.append(
            f"`output.points_per_axis` must be <= {most} in {d} dimensions ({MAX_POINTS} points); got {count}."
        )
        return None
    axes = [np.linspace(low, high, count) for low, high in zip(lower, upper, strict=False)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
