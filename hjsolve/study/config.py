"""What a run is told: typed, frozen, and refused as a whole with every mistake in one pass.

An experiment declares `class Config(RunConfig)` with its own fields; a YAML file and `key=value` overrides fill it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from . import strict_yaml
from .errors import ConfigError, brief, nearest, one_of

Precision = Literal["float32", "float64"]
Device = Literal["auto", "cpu", "gpu", "tpu"]
Model = TypeVar("Model", bound=BaseModel)


def _folder_name(name: str) -> str:
    """Accept a name that stays inside its parent folder on every system."""
    bad = [part for part in ("..", "/", "\\") if part in name]
    if bad or name.startswith(".") or not name.isprintable() or not name.strip() or len(name) > 100:
        raise ValueError(
            "must be a plain folder name: 1 to 100 printable characters, no '..', '/', '\\' or leading '.'"
        )
    return name


class StrictModel(BaseModel):
    """The base of every config: unknown keys, loose types, NaN and later changes are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False)


class RunConfig(StrictModel):
    """The keys that every experiment has; `name: null` names the run folder after the experiment and the time."""

    experiment: str
    name: Annotated[str, AfterValidator(_folder_name)] | None = None
    out: str = "runs"
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    precision: Precision = "float64"
    device: Device = "auto"


def read(path: Path) -> dict[str, Any]:
    """Read a YAML config file into a mapping."""
    try:
        return strict_yaml.load_mapping(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"cannot read the config `{path}`: {error.strerror}. Give an existing YAML file.") from None


def override(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return `data` with `key=value` (dotted keys reach into nested models) laid over it; values are YAML."""
    merged: dict[str, Any] = json.loads(json.dumps(data))
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(
                f"`{assignment}` is not an override. Write `key=value`, with dots for nested keys: `a.b=3`."
            )
        *parents, last = key.split(".")
        target = merged
        for parent in parents:
            inner = target.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"`{key}` cannot be set: `{parent}` is {brief(inner)}, not a group of keys.")
            target = inner
        target[last] = strict_yaml.load(text, f"`{assignment}`")
    return merged


def validate(model: type[Model], data: Mapping[str, Any], source: str) -> Model:
    """Build `model` from parsed YAML, or raise one `ConfigError` that lists every mistake.

    The data pass through JSON because YAML, like JSON, has no tuples: strict pydantic then takes a list for a tuple
    field and an integer for a float field, and nothing looser.
    """
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        lines = [f"  {_explain(item, model)}" for item in error.errors(include_url=False)]
        count = f"{len(lines)} mistake{'s' if len(lines) > 1 else ''}"
        raise ConfigError("\n".join([f"{source}: {count}", *lines])) from None


_SIGNS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
_WORDS = (
    ("Input should", "must"),
    ("an object", "a group of keys"),
    ("valid array", "list"),
    (" after validation", ""),
)


def _explain(error: Any, model: type[BaseModel]) -> str:
    """Say in one line what is wrong with one key."""
    key, value, context = ".".join(str(part) for part in error["loc"]), error["input"], error.get("ctx", {})
    got = f"got {brief(value)}"
    match error["type"]:
        case "extra_forbidden":
            fields = _fields_at(model, error["loc"][:-1])
            return f"`{key}` is not a key ({got}).{nearest(error['loc'][-1], fields)} Keys: {one_of(fields)}."
        case "missing":
            return f"`{key}` is required and has no default."
        case "literal_error":
            options = [option.strip(" '") for option in context["expected"].replace(" or ", ", ").split(",")]
            return f"`{key}` must be {context['expected']}; {got}.{nearest(value, options)}"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            sign, bound = next((sign, context[sign]) for sign in _SIGNS if sign in context)
            return f"`{key}` must be {_SIGNS[sign]} {bound}; {got}."
        case "value_error":
            return f"`{key}` {context['error']}; {got}." if key else f"{context['error']}."
        case _:
            message = reduce(lambda text, word: text.replace(*word), _WORDS, error["msg"])
            return f"`{key}`: {message}; {got}."


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the nested model that `location` leads to."""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        models = [kind for kind in _flatten(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(models) == 1:
            model = models[0]
    return list(model.model_fields)


def _flatten(annotation: Any) -> list[Any]:
    """Return the plain types inside a union, list, tuple or mapping annotation."""
    if get_origin(annotation) in (Union, UnionType, list, tuple, dict, Annotated):
        return [kind for part in get_args(annotation) for kind in _flatten(part)]
    return [annotation]


def to_yaml(config: BaseModel) -> str:
    """Return the resolved config as YAML that loads back to the same config."""
    return strict_yaml.dump(config.model_dump(mode="json"))


def explained(config: BaseModel) -> str:
    """`to_yaml` with what a key means behind it, where it says so."""
    lines = []
    for line in to_yaml(config).splitlines():
        field = type(config).model_fields.get(line.partition(":")[0])
        lines.append(line if field is None or field.description is None else f"{line}  # {field.description}")
    return "\n".join(lines) + "\n"
