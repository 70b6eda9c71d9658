"""What hjsolve offers, read from its source: the export list of a folder is the registry, a docstring the description.

Reading text instead of importing keeps `hjsolve list` under a second: an import would start JAX.
"""

from __future__ import annotations

import ast
from pathlib import Path

from . import registry

_PACKAGE = Path(__file__).resolve().parents[1]
_METHODS = (
    "AbstractMethod",
    "AbstractEvolution",
    "AbstractOnGrid",
    "AbstractOnTorus",
    "AbstractRepresentation",
    "AbstractStationary",
)
_FOLDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # title: folders, bases that make a class one of these
    "Methods": (("methods/grid", "methods/particle", "methods/network"), _METHODS),
    "Hamiltonians": (("problem/hamiltonians",), ("AbstractHamiltonian", "AbstractConvexHamiltonian", "AbstractAffine")),
    "Viscosities": (("problem/viscosities",), ("AbstractViscosity",)),
    "Boundary conditions": (("problem/boundaries.py",), ("AbstractBoundary",)),
    "Initial data": (("problem/initials",), ("AbstractInitial", "Module")),  # atoms are no function: a plain Module
}


def sections() -> dict[str, dict[str, str]]:
    """Return, for each kind of thing, the names one can use with a line on each."""
    found = {"Experiments": registry.names()}
    for title, (folders, bases) in _FOLDERS.items():
        found[title] = {}
        for folder in folders:
            prefix = f"{folder.split('/')[1]}." if title == "Methods" else ""
            found[title] |= {prefix + name: line for name, line in exported(_PACKAGE / folder, bases).items()}
    return found


def exported(folder: Path, bases: tuple[str, ...]) -> dict[str, str]:
    """Return the concrete classes with one of `bases` that a package exports, and their docstrings' first lines.

    Of a single file, all of them.
    """
    whole = folder.is_file()
    wanted = [] if whole else _export_list(folder / "__init__.py")
    found = {}
    for path in [folder] if whole else sorted(folder.rglob("*.py")):
        for node in ast.parse(path.read_bytes()).body:
            if not isinstance(node, ast.ClassDef) or node.name.startswith("Abstract"):
                continue
            if not whole and node.name not in wanted:
                continue
            if any(_base_name(base) in bases for base in node.bases):
                found[node.name] = (ast.get_docstring(node) or "(no description)").splitlines()[0]
    return dict(sorted(found.items()))


def _base_name(base: ast.expr) -> str:
    """Return the last name of a base class written as `A`, `module.A` or `A[T]`."""
    return ast.unparse(base).partition("[")[0].rpartition(".")[2]


def _export_list(init: Path) -> list[str]:
    """Return `__all__` of a package (or the keys of `_HOMES`, of one whose names load lazily), or no names."""
    if not init.is_file():
        return []
    for node in ast.parse(init.read_bytes()).body:
        names = {t.id for t in node.targets if isinstance(t, ast.Name)} if isinstance(node, ast.Assign) else set()
        if isinstance(node, ast.Assign) and names & {"__all__", "_HOMES"}:
            return [str(name) for name in ast.literal_eval(node.value)]
    return []
