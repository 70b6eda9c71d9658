"""YAML without its traps: what is written is what is read.

PyYAML reads `1e-3` as a string, `no` as False, `010` as 8, takes the last of two equal keys in silence and overflows
the stack on deep nesting. Configs decide what a paper reports, so each of these is read as it looks, or refused.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from .errors import ConfigError

MAX_DEPTH = 40


def _refuse(problem: str, mark: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """A SafeLoader with YAML 1.2 scalars, unique keys, bounded depth and no aliases."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            _refuse("aliases (*name) are not allowed: write the value out", event.start_mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            _refuse(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                _refuse("a key must be a plain name", key.start_mark)
            if key.value in seen:
                _refuse(f"key `{key.value}` is given twice (first on line {seen[key.value]}); keep one", key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """A SafeDumper that quotes exactly what `_Loader` would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent(self, data: Any) -> None:
        node: Any = self.represent_data(data)
        node.flow_style = False  # the top level has a line per key, however short; what is inside may share a line
        self.serialize(node)


_SCALARS = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]+", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
}
_Loader.yaml_implicit_resolvers = {}  # the dumper keeps YAML 1.1's too: other tools read its strings as strings
for _class in (_Loader, _Dumper):
    for _tag, (_pattern, _first) in _SCALARS.items():
        _class.add_implicit_resolver(_tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


# What JSON cannot hold (timestamps, binary, sets, ordered maps) has no place in a config.
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "float", "str", "seq", "map")} | {None}
_Loader.yaml_constructors = {tag: make for tag, make in _Loader.yaml_constructors.items() if tag in _PLAIN}
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def load(text: str | bytes, source: str) -> Any:
    """Parse one YAML document; `source` (a file or an argument) opens the message of the `ConfigError` it may raise."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}, line {mark.line + 1}, column {mark.column + 1}" if mark else source
        raise ConfigError(f"{where}: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{source}: not readable as YAML: {str(error).splitlines()[0]}.") from None


def load_mapping(text: str | bytes, source: str) -> dict[str, Any]:
    """Parse a YAML document that must be a mapping of keys to values."""
    data = load(text, source)
    if not isinstance(data, dict):
        kind = "is empty" if data is None else f"is a {type(data).__name__}"
        raise ConfigError(f"{source}: must hold `key: value` lines; it {kind}.")
    return data


def dump(data: object) -> str:
    """Return `data` as YAML that `load` reads back to the same values, keys in their order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text
