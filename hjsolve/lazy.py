"""Names that load their module on first use (PEP 562)."""

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy(package: str, homes: dict[str, str], namespace: dict[str, Any]) -> Callable[[str], Any]:
    """`__getattr__` of a package: each public name is loaded from its home, a module of that package.

    A name whose home is the module of that name and which that module does not define is the module itself.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute {name!r}. It has: {', '.join(sorted(homes))}.")
        home = import_module(f".{homes[name]}", package)
        value = home if home.__name__ == f"{package}.{name}" and not hasattr(home, name) else getattr(home, name)
        namespace[name] = value
        return value

    return load
