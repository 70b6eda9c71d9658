"""Files that are whole or absent: written beside their place, flushed to disk, then renamed into it.

A run that is killed, interrupted or out of disk leaves every earlier file readable and no half file behind.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ..files import replace
from .errors import ConfigError, StoreError

State = Literal["running", "finished", "interrupted", "failed"]


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `StoreError` that names the file and what to do."""
    try:
        yield
    except OSError as error:
        remedies = {
            errno.ENOSPC: "free some space or give another folder with `out=`; what is stored already is intact",
            errno.EDQUOT: "free some quota or give another folder with `out=`; what is stored already is intact",
            errno.EACCES: "make the folder writable or give another one with `out=`",
            errno.EROFS: "the file system is read-only; give another folder with `out=`",
        }
        remedy = remedies.get(error.errno or 0, "give another folder with `out=`")
        raise StoreError(f"cannot write `{path}`: {error.strerror or error}. To go on: {remedy}.") from error


def write(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` atomically and durably."""
    data = content.encode() if isinstance(content, str) else content
    with disk_errors(path):
        replace(path, data)


def append(path: Path, line: str) -> None:
    """Add one line to `path`; a line that does not fit on the disk is taken back whole."""
    data = f"{line}\n".encode()
    with disk_errors(path), path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            with suppress(OSError):
                file.truncate(size)
            raise


def read_lines(path: Path) -> list[str]:
    """Return the complete lines of an appended file: a last line that was cut off by a kill is left out."""
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]


def new_folder(out: str, name: str | None, experiment: str) -> Path:
    """Create the run folder `out/name`, or `out/<experiment>-<time>` where `name` is None."""
    parent = Path(out).expanduser()
    with disk_errors(parent):
        parent.mkdir(parents=True, exist_ok=True)
    stem = name or f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    for count in range(1, 1000):
        folder = parent / (stem if count == 1 else f"{stem}-{count}")
        if name is not None:
            refuse_existing(out, name)
        with disk_errors(folder), suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise StoreError(f"cannot name a run folder in `{parent}`: {stem}-2 to -999 are taken. Give a `name=`.")


def refuse_existing(out: str, name: str | None) -> None:
    """Raise a `ConfigError` where the named run folder is there already: results are never overwritten."""
    if name is not None and os.path.lexists(folder := Path(out).expanduser() / name):
        raise ConfigError(
            f"the run folder `{folder}` exists and is never overwritten. Give another `name=`, or remove it."
        )


def write_status(folder: Path, state: State, message: str = "", seconds: float = 0.0) -> None:
    """Record how far a run has come in `status.json`."""
    write(folder / "status.json", json.dumps({"state": state, "message": message, "seconds": round(seconds, 3)}) + "\n")


def read_status(folder: Path) -> dict[str, Any]:
    """Read `status.json`; a folder without one is not a run folder."""
    try:
        status: dict[str, Any] = json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        raise ConfigError(f"`{folder}` is not a run folder: it has no readable status.json.") from None
    return status
