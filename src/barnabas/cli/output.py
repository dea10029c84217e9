"""What the commands print: rich tables on a terminal, tab-separated lines in a pipe, JSON.

A table in a pipe is one header line and a line a row; tabs, line ends and backslashes in a cell
are escaped (`\\t`, `\\n`, `\\r`, `\\\\`), so that each line has the header's cells.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NOTHING: Final = "-"
Cell = str | int | float | None


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Adds --json."""
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def print_json(value: object) -> None:
    """One line of JSON."""
    print(json.dumps(value, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> None:
    """Prints the rows; None shows as `-`. Columns of numbers only are right-aligned.

    The title is for people: a pipe does not get it.
    """
    if not sys.stdout.isatty():
        for cells in (columns, *rows):
            print("\t".join(_text(cell).translate(_ESCAPES) for cell in cells))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD,
        title=Text(title) if title else None,
        title_justify="left",
        pad_edge=False,
    )
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        is_numeric = all(cell is None or isinstance(cell, int | float) for cell in cells)
        table.add_column(
            column, justify="right" if is_numeric and rows else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(_text(cell)) for cell in row))
    Console(highlight=False).print(table)


def print_names(columns: Sequence[str], rows: Sequence[Sequence[Cell]], nothing: str) -> None:
    """Prints a listing: a table on a terminal, only the first column, bare, in a pipe.

    `nothing` is said, on a terminal, when there is none.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print(_text(row[0]))
    elif rows:
        print_table(columns, rows)
    else:
        print(nothing)


def warn(message: str) -> None:
    """One line on stderr."""
    print(f"barnabas: {message}", file=sys.stderr)


def human_bytes(size_bytes: float) -> str:
    """`512 B`, `1.5 KiB`, `20.0 GiB`."""
    if size_bytes < 1024:
        return f"{size_bytes:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size_bytes /= 1024
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1024:.1f} TiB"


def _text(cell: Cell) -> str:
    return _NOTHING if cell is None else str(cell)
