"""Where experiments live and how they are found: a folder of files, no list to keep.

`<root>/experiments/<name>.py` is an experiment, `experiments/figures/<name>.py` a figure, `configs/<name>.yaml` its
config. The root is the checkout, or the copy inside an installed wheel, or the folder that `HJSOLVE_ROOT` names. It is
loaded as the package `hjsolve_experiments`, so that hjsolve never imports experiments by name and they may import one
another relatively. Listing reads source text only: it costs no import.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from . import config as configs
from .config import RunConfig
from .errors import ConfigError, nearest, one_of

PACKAGE = "hjsolve_experiments"


@dataclass(frozen=True)
class Experiment:
    """A loaded experiment: its typed config, what fills a table, the figures drawn from it, and what shortens it."""

    name: str
    config: type[RunConfig]
    run: Callable[[Any, Any], None]
    figures: tuple[str, ...]
    summary: Callable[[Any], Any] | None = None


def root() -> Path:
    """Return the folder that holds `experiments/` and `configs/`."""
    if chosen := os.environ.get("HJSOLVE_ROOT"):
        return Path(chosen).resolve()
    package = Path(__file__).resolve().parents[1]
    bundled = package / "bundled"
    return bundled if bundled.is_dir() else package.parent


def names() -> dict[str, str]:
    """Return every experiment's name with the first line of its docstring, without importing any."""
    found = {}
    for path in sorted((root() / "experiments").glob("[!_]*.py")):
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:
            found[path.stem] = "(does not parse)"
            continue
        if any(isinstance(node, ast.FunctionDef) and node.name == "run" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "(no description)").splitlines()[0]
    return found


def load(name: str) -> Experiment:
    """Import the experiment `name`; a `ConfigError` names the nearest one and the list where there is none."""
    known = names()
    if name not in known:
        raise ConfigError(f"no experiment `{name}`.{nearest(name, known)} Experiments: {one_of(known)}.")
    module = _module(name)
    config = getattr(module, "Config", None)
    if not (isinstance(config, type) and issubclass(config, RunConfig)):
        raise ConfigError(f"experiment `{name}` must define `class Config(RunConfig)`; add it to {module.__file__}.")
    figures = tuple(getattr(module, "FIGURES", ()))
    return Experiment(name, config, module.run, figures, getattr(module, "summary", None))


def figure(name: str) -> Callable[[Any], Any]:
    """Return `draw(table) -> matplotlib Figure` of `figures/<name>.py`."""
    folder = root() / "experiments" / "figures"
    known = [path.stem for path in folder.glob("[!_]*.py")]
    if name not in known:
        raise ConfigError(f"no figure `{name}` in {folder}.{nearest(name, known)} Figures: {one_of(known)}.")
    draw: Callable[[Any], Any] = _module(f"figures.{name}").draw
    return draw


def configure(target: str, overrides: list[str]) -> RunConfig:
    """Resolve an experiment's name or a YAML file, plus `key=value` overrides, into the config of a run."""
    path = Path(target)
    if path.suffix not in (".yaml", ".yml"):
        path = root() / "configs" / f"{target}.yaml"
        data = configs.read(path) if path.is_file() else {}
        data = {"experiment": target, **data}
    else:
        data = configs.read(path)
    data = configs.override(data, overrides)
    name = data.get("experiment")
    if not isinstance(name, str):
        raise ConfigError(f"{path}: `experiment` is required. Experiments: {one_of(names())}.")
    return configs.validate(load(name).config, data, str(path) if path.is_file() else f"config of `{name}`")


def _module(name: str) -> ModuleType:
    """Import a module of the experiments folder, which becomes a package without an `__init__`."""
    folder = str(root() / "experiments")
    package = sys.modules.get(PACKAGE)
    if package is None or list(package.__path__) != [folder]:
        for loaded in [key for key in sys.modules if key.partition(".")[0] == PACKAGE]:
            del sys.modules[loaded]
        spec = ModuleSpec(PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [folder]
        sys.modules[PACKAGE] = module_from_spec(spec)
        importlib.invalidate_caches()
    try:
        return importlib.import_module(f"{PACKAGE}.{name}")
    except Exception as error:  # whatever a module of the user's may raise
        remedy = " Install hjsolve[data]." if isinstance(error, ModuleNotFoundError) else ""
        raise ConfigError(f"{folder}: `{name}` does not load: {type(error).__name__}: {error}.{remedy}") from error
