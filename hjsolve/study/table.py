"""The record of a run: rows to print, arrays to draw, metrics by step and a log, kept as they come.

An experiment fills it (`add`, `field`, `metric`, `log`); a figure reads it (`rows`, `column`, `fields`, `attrs`,
`metrics`, `config`). In memory by default; attached to a run folder, every call is on disk before it returns, so that
whatever was computed survives an interruption. `Table.read(folder)` gives the same table back.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from . import fields as arrays
from . import store, strict_yaml
from .errors import StoreError, brief, nearest, one_of

Scalar = bool | int | float | str | None


class Table:
    """Rows, named arrays, metrics and a log; persistent when `folder` is given."""

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        folder: Path | None = None,
        echo: Callable[[str], None] | None = None,
    ) -> None:
        self.config = dict(config or {})
        self.fields = arrays.Fields()
        self.metrics: list[dict[str, Scalar]] = []
        self._rows: list[dict[str, Scalar]] = []
        self._columns: dict[str, None] = {}
        self._folder = folder
        self._echo = echo

    @classmethod
    def read(cls, folder: str | Path) -> Table:
        """Restore the table of a stored run, finished or not; it is a copy in memory, detached from the folder."""
        folder = Path(folder)
        store.read_status(folder)
        table = cls(strict_yaml.load_mapping((folder / "config.yaml").read_bytes(), str(folder / "config.yaml")))
        table.fields = arrays.Fields(folder / "fields.zarr")
        table.metrics = [json.loads(line) for line in store.read_lines(folder / "metrics.jsonl")]
        if (folder / "table.csv").exists():
            with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
                lines = list(csv.reader(file))
            if any(len(line) != len(lines[0]) for line in lines):
                raise StoreError(f"`{folder / 'table.csv'}` does not read: its rows differ in length. Run it again.")
            table._columns = dict.fromkeys(lines[0])
            table._rows = [dict(zip(lines[0], map(_decode, line), strict=True)) for line in lines[1:]]
        return table

    def add(self, **row: Any) -> None:
        """Append one row; a new key adds a column, a missing one is empty in this row."""
        if not row:
            raise ValueError("a row must have at least one column: `table.add(method=..., error=...)`.")
        plain = {column: _scalar(column, value) for column, value in row.items()}
        self._columns.update(dict.fromkeys(plain))
        self._rows.append(plain)
        if self._folder is not None:
            text = io.StringIO(newline="")
            lines = [[_encode(row[column]) for column in self.columns] for row in self.rows]
            csv.writer(text, lineterminator="\n").writerows([self.columns, *lines])
            store.write(self._folder / "table.csv", text.getvalue())

    def field(self, name: str, values: Any, dims: Sequence[str] | None = None, **attrs: Any) -> None:
        """Keep the array `values` under `name`, with the names of its dimensions and any attributes; once each."""
        if name in self.fields:
            raise ValueError(f"field `{name}` is recorded already and is never overwritten. Use another name.")
        field = arrays.make(name, values, None if dims is None else tuple(dims), attrs)
        if self._folder is not None:
            arrays.write_field(self._folder / "fields.zarr", name, field)
        self.fields.add(name, field)

    def metric(self, **values: Any) -> None:
        """Append one record of a history, such as `metric(step=10, loss=0.3)`."""
        plain = {name: _scalar(name, value) for name, value in values.items()}
        self.metrics.append(plain)
        if self._folder is not None:
            store.append(self._folder / "metrics.jsonl", json.dumps(plain))

    def log(self, message: str) -> None:
        """Write a line to the run's log with the time, and show it where a run has a terminal."""
        if self._folder is not None:
            store.append(self._folder / "log.txt", f"{datetime.now():%H:%M:%S} {message}")
        if self._echo is not None:
            self._echo(message)

    @property
    def columns(self) -> list[str]:
        """The names of the columns in their order of appearance."""
        return list(self._columns)

    @property
    def rows(self) -> list[dict[str, Scalar]]:
        """The rows, each with every column; what a row was not given is None."""
        return [{column: row.get(column) for column in self._columns} for row in self._rows]

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """Return one column as an array: numbers with NaN for None, or objects where a cell is text."""
        if name not in self._columns:
            raise KeyError(f"no column `{name}`.{nearest(name, self._columns)} Columns: {one_of(self._columns)}.")
        cells = [row.get(name) for row in self._rows]
        if any(isinstance(cell, str) for cell in cells):
            return np.array(cells, dtype=object)
        if None in cells:
            return np.array([np.nan if cell is None else cell for cell in cells], dtype=float)
        return np.array(cells)

    def attrs(self, name: str) -> dict[str, Any]:
        """Return the attributes of a field; `dims` among them is the tuple of its dimension names."""
        field = self.fields.full(name)
        return {"dims": field.dims, **field.attrs}


def _scalar(name: str, value: Any) -> Scalar:
    """Reduce a cell to a plain Python value, whatever library its number came from."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"`{name}` must be one number, text or None; got {brief(value)}. Use `table.field` for arrays.")


def _encode(value: Scalar) -> str:
    """Write a cell so that `_decode` returns the same value: text that looks like a number is quoted as JSON."""
    if value is None:
        return ""
    if isinstance(value, str) and value and value.isprintable() and _decode(value) == value:
        return value
    return json.dumps(value)


def _decode(cell: str) -> Scalar:
    """Read a cell: empty is None, JSON scalars are themselves, the rest is text."""
    if not cell:
        return None
    try:
        value = json.loads(cell)
    except ValueError:
        return cell
    return value if isinstance(value, bool | int | float | str) else cell
