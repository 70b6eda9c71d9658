"""A table laid out for the terminal it is shown on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table as RichTable

from .table import Scalar, Table

_UNIT = re.compile(r"\[[^\]]+\]$")


def cell(value: Scalar, *, digits: int = 4) -> str:
    """Format one cell: four significant digits (three for measured quantities with a unit), a dash for None."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.{digits}g}"
        case _:
            return str(value)


def render(table: Table, width: int, title: str | None = None) -> Group:
    """Lay a table out for `width` characters: a wider one becomes blocks that each repeat the first column."""
    texts = {name: _texts(name, [row[name] for row in table.rows]) for name in table.columns}
    blocks = _blocks(table.columns, {name: max(map(len, [name, *texts[name]])) + 3 for name in texts}, width)
    parts = []
    for number, block in enumerate(blocks):
        part = RichTable(title=title if number == 0 else None, title_justify="left", header_style="bold")
        for name in block:
            numeric = not any(isinstance(row[name], str) for row in table.rows)
            part.add_column(name.replace("[", r"\["), justify="right" if numeric else "left", overflow="fold")
        for index in range(len(table.rows)):
            part.add_row(*(texts[name][index].replace("[", r"\[") for name in block))
        parts.append(part)
    return Group(*parts)


def _texts(name: str, values: Sequence[Scalar]) -> list[str]:
    return [cell(value, digits=3 if _UNIT.search(name) else 4) for value in values]


def _blocks(names: list[str], widths: dict[str, int], limit: int) -> list[list[str]]:
    """Split the columns into lists that fit the width, each led by the first column."""
    if not names:
        return []
    first, blocks = names[0], [[names[0]]]
    room = limit - 1 - widths[first]
    left = room
    for name in names[1:]:
        if widths[name] > left and len(blocks[-1]) > 1:
            blocks.append([first])
            left = room
        blocks[-1].append(name)
        left -= widths[name]
    return blocks
