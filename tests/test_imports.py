"""Who may import whom, read from the source."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hjsolve

PACKAGE = Path(hjsolve.__file__).parent
# Layer of each top-level name: a file imports its own layer (unless forbidden below) and those before it.
LAYERS = [
    {"typing", "checks", "results", "clock", "losses", "lazy"},
    {"kernels"},
    {"problem"},
    {"methods"},
    {"solution", "level_sets", "trajectories", "files", "tensor_grid", "diagnosis", "preconditions", "weights"},
    {"solve"},
    {"fit", "tasks"},
    {"theory"},
    {"study"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(p for p in PACKAGE.rglob("*.py") if "bundled" not in p.parts)


def module_name(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> set[tuple[str, ...]]:
    """Absolute names of all that a file imports, `from a import b` as a.b, inside functions too."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name[:-1]
    found: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - (node.level - 1)] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            found |= {(*base, alias.name) for alias in node.names}
    return found


def internal(path: Path) -> set[tuple[str, ...]]:
    return {name for name in imports(path) if name[0] == "hjsolve" and len(name) > 1}


def test_the_reader_of_imports_resolves_relative_names() -> None:
    found = imports(PACKAGE / "methods" / "grid" / "finite_difference.py")
    assert ("hjsolve", "methods", "base", "AbstractEvolution") in found
    assert ("hjsolve", "checks", "require") in found
    assert ("equinox",) in found
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    name = module_name(path)
    if len(name) == 1:
        return  # the package's own face
    own = LEVEL[name[1]]
    for target in internal(path):
        if target[1] == "__version__":
            continue
        assert LEVEL[target[1]] <= own, f"{'.'.join(name)} imports {'.'.join(target)}"


def test_every_module_has_a_layer() -> None:
    assert {module_name(p)[1] for p in FILES if len(module_name(p)) > 1} == set(LEVEL)


def test_kernels_know_arrays_alone() -> None:
    for path in (PACKAGE / "kernels").glob("*.py"):
        assert {t[1] for t in internal(path)} <= {"typing", "checks", "results", "kernels"}, path


@pytest.mark.parametrize("family", ["grid", "particle", "network"])
def test_method_families_are_siblings_that_never_meet(family: str) -> None:
    for path in (PACKAGE / "methods" / family).glob("*.py"):
        reached = {t[2] for t in internal(path) if t[1] == "methods"}
        assert reached <= {family, "base"}, path


def test_the_loops_know_methods_base_alone() -> None:
    for name in ("solve", "fit", "solution"):
        reached = {t[1:3] for t in internal(PACKAGE / f"{name}.py") if t[1] == "methods"}
        assert reached == {("methods", "base")}, name


def test_no_module_imports_experiments() -> None:
    for path in FILES:
        assert not any(t[0] in ("experiments", "configs", "tests") for t in imports(path)), path


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(' '.join(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", ["import hjsolve", "import hjsolve.cli"])
def test_light_imports_leave_jax_alone(code: str) -> None:
    assert not loaded_after(code) & {"jax", "jaxlib", "numpy", "matplotlib", "zarr", "optax", "equinox"}


def test_import_of_solve_adds_little_to_jax() -> None:
    code = (
        "import time, jax, jax.numpy\n"
        "t = time.perf_counter()\n"
        "import hjsolve; hjsolve.solve; hjsolve.methods; hjsolve.hamiltonians\n"
        "print('seconds', time.perf_counter() - t, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(' '.join(m for m in sys.modules if '.' not in m))"],
        capture_output=True,
        text=True,
        check=True,
    )
    print(done.stderr)
    loaded = set(done.stdout.split())
    # These are what would make the import slow; the seconds themselves depend on the machine's load.
    assert not loaded & {"matplotlib", "zarr", "optax", "diffrax", "optimistix", "pydantic", "typer", "sklearn"}
    assert "jax" in loaded
    # five times the half second that is promised: a loaded machine must not fail this
    assert float(done.stderr.split("seconds")[1].split()[0]) < 2.5


@pytest.mark.parametrize(
    "first",
    [
        "hj.fit",
        "hj.solve",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("hj.Recipe", "hj.Solution", "hj.theory")),
    ],
)
def test_public_functions_are_not_shadowed_by_their_modules(first: str) -> None:
    """Importing hjsolve.fit imports hjsolve.solve, and the import system binds submodules on the package."""
    code = f"import hjsolve as hj\n{first}\nimport hjsolve.solve, hjsolve.fit\nassert hj.solve.__name__ == 'solve'"
    loaded_after(code + "\nassert type(hj.solve).__name__ == type(hj.fit).__name__ == 'function'")


def test_every_public_name_loads_and_unknown_ones_say_what_there_is() -> None:
    for name in hjsolve.__all__:
        assert getattr(hjsolve, name) is not None
    assert set(dir(hjsolve)) == set(hjsolve.__all__)
    with pytest.raises(AttributeError, match="Problem"):
        hjsolve.Poblem  # noqa: B018
