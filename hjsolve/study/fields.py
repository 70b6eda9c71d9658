"""Named arrays of a run, in Zarr v3, each whole or refused.

An unwritten Zarr chunk reads as zeros without a word. So an array is written to a hidden folder, closed by a marker
with the SHA-256 of its values, and renamed into `fields.zarr/`; a reader refuses an array without a matching marker.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .errors import StoreError, brief, nearest, one_of
from .store import disk_errors, write

MARKER = "hjsolve_complete"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class Field(NamedTuple):
    """One array with the names of its dimensions and its attributes (units, labels, parameters)."""

    values: np.ndarray[Any, Any]
    dims: tuple[str, ...]
    attrs: dict[str, Any]


def make(name: str, values: Any, dims: tuple[str, ...] | None, attrs: Mapping[str, Any]) -> Field:
    """Check and copy what `Table.field` is given."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"a field's name must be letters, digits, '_', '.', '+' or '-'; got {brief(name)}.")
    array = np.array(values)
    if array.dtype.kind not in "biufc":
        raise ValueError(f"field `{name}` must be numbers; got dtype {array.dtype}. Put text in `attrs` or in a row.")
    dims = tuple(dims) if dims is not None else tuple(f"axis{axis}" for axis in range(array.ndim))
    if len(dims) != array.ndim:
        raise ValueError(f"field `{name}` has shape {array.shape}: `dims` must be {array.ndim} names; got {dims}.")
    plain = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in attrs.items()}
    return Field(array, dims, plain)


def write_field(folder: Path, name: str, field: Field) -> None:
    """Store `field` as `folder/name`, complete or not at all."""
    import zarr

    with disk_errors(folder / name):
        folder.mkdir(exist_ok=True)
        if not (folder / "zarr.json").exists():
            write(folder / "zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}\n')
        hidden = Path(tempfile.mkdtemp(prefix=".field-", dir=folder.parent))
        try:
            array = zarr.create_array(store=hidden / "a", data=field.values, dimension_names=field.dims, zarr_format=3)
            array.update_attributes({**field.attrs, MARKER: _digest(field.values)})
            (hidden / "a").rename(folder / name)
        finally:
            with suppress(OSError):
                shutil.rmtree(hidden)


def read_field(path: Path) -> Field:
    """Read a stored array, or raise a `StoreError` where it was not written to its end."""
    import zarr

    remedy = "Remove it and run the experiment again."
    try:
        array = zarr.open_array(store=path, mode="r")
        attrs: dict[str, Any] = dict(array.attrs)
        values = np.asarray(array[...])
    except Exception as error:  # zarr raises many kinds on a damaged array
        raise StoreError(f"the array `{path}` does not read ({type(error).__name__}: {error}). {remedy}") from error
    if attrs.get(MARKER) != _digest(values):
        state = "is damaged" if MARKER in attrs else "was not written to its end"
        raise StoreError(f"the array `{path}` {state}: its completion marker does not match. {remedy}")
    del attrs[MARKER]
    return Field(values, tuple(str(dim) for dim in array.metadata.dimension_names or ()), attrs)  # type: ignore[union-attr]


def _digest(values: np.ndarray[Any, Any]) -> str:
    """Return the SHA-256 of the values in C order."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


class Fields(Mapping[str, np.ndarray[Any, Any]]):
    """The arrays of a table by name; those of a stored run are read, and checked, when asked for."""

    def __init__(self, folder: Path | None = None) -> None:
        self._entries: dict[str, Field | Path] = {}
        if folder is not None and folder.is_dir():
            self._entries = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}

    def add(self, name: str, field: Field) -> None:
        """Keep a field in memory."""
        self._entries[name] = field

    def full(self, name: str) -> Field:
        """Return the values, dimension names and attributes of one field."""
        if name not in self._entries:
            raise KeyError(f"no field `{name}`.{nearest(name, self._entries)} Fields: {one_of(self._entries)}.")
        entry = self._entries[name]
        if isinstance(entry, Path):
            entry = self._entries[name] = read_field(entry)
        return entry

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        return self.full(name).values

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
