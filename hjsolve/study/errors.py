"""The three ways a study can end badly, and the one sentence that points at the nearest name.

The command line maps them to exit codes: `ConfigError` is the user's input (2), the other two are failures (1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """Input that is refused before any work: the message names the key, the value, what is allowed and the remedy."""


class StoreError(RuntimeError):
    """A run folder that could not be written or does not read as whole: the message names the file and the remedy."""


class RunFailed(RuntimeError):  # noqa: N818 - it is an outcome of a run, told apart from Python's own errors
    """A run that stopped on an exception: the message is short, the traceback is in the run folder's log."""


def nearest(name: object, options: Iterable[object]) -> str:
    """Return `" Did you mean `x`?"` for the option closest to `name`, or `""` where none is close."""
    by_lower = {str(option).lower(): str(option) for option in options}
    found = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=0.5)
    return f" Did you mean `{by_lower[found[0]]}`?" if found else ""


def one_of(options: Iterable[object]) -> str:
    """Return the options as one sorted, comma-separated line."""
    return ", ".join(sorted(str(option) for option in options)) or "(none)"


def brief(value: object, limit: int = 80) -> str:
    """Return `repr(value)` cut to `limit` characters, so that a huge input does not flood a message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
