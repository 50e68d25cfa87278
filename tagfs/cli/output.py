"""How results are printed: tables on a terminal, TAB rows in a pipe, JSON where asked for. Layer: cli."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import click

SAMPLE = 1000
"""Rows that a table's column widths are computed from; later rows are still printed whole."""
LEAST = 8
"""Columns of a terminal that a text is not cut below, however narrow the terminal is."""
GAP = "  "
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def on_terminal() -> bool:
    """Whether people read the standard output."""
    return sys.stdout.isatty()


def printable(text: str) -> str:
    """``text`` without what could control a terminal, or could not be encoded."""
    return _CONTROL.sub("\ufffd", text).encode("utf-8", "replace").decode()


def printable_row(row: str) -> str:
    """A row for people: its TABs stay."""
    return "\t".join(map(printable, row.split("\t")))


def human_size(size: int) -> str:
    """A size as people read it: ``999``, ``1.0K``, ``23M``; K, M, G, T are powers of 1024."""
    if size < 1000:
        return str(size)
    value = float(size)
    for unit in "KMGTPE":
        value /= 1024
        if value < 999.5:
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return f"{value:.0f}E"


def human_time(text: str) -> str:
    """An RFC 3339 time to the minute; the table's head says that it is UTC."""
    return text[:16].replace("T", " ")


def many(count: int, one: str, more: str | None = None) -> str:
    """``1 entry``, ``2,000 entries``."""
    if count == 1:
        return f"1 {one}"
    plural = more or (one[:-1] + "ies" if one.endswith("y") else one + "s")
    return f"{count:,} {plural}"


def say(text: str) -> None:
    """One line of a result."""
    click.echo(printable(text))


def note(text: str) -> None:
    """One line beside the result, on the standard error."""
    click.echo(f"tagfs: {printable(text)}", err=True)


def write_json(value: object) -> None:
    """One JSON document."""
    click.echo(to_json(value))


def to_json(value: object) -> str:
    """JSON on one line, as UTF-8 text."""
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()


def write_json_list(before: str, items: Iterable[object]) -> None:
    """The beginning of a JSON document, ``{before}[item,…]``, written as the items come.

    Nothing is written before the first of them (or their end) came: a question that is refused leaves no broken JSON.
    """
    rest = iter(items)
    items = chain(list(islice(rest, 1)), rest)
    click.echo(before + "[", nl=False)
    for number, item in enumerate(items):
        click.echo(("," if number else "") + to_json(item), nl=False)
    click.echo("]", nl=False)


def write_rows(rows: Iterable[str]) -> None:
    """Rows as the server sent them, for a pipe; many lines in one write."""
    rows = iter(rows)
    while block := list(islice(rows, 500)):
        text = "\n".join(block) + "\n"
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    sys.stdout.flush()


def write_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = (), cut: Sequence[int] = ()
) -> None:
    """Aligned columns under their heads; the columns in ``right`` are set to the right, the last one runs on.

    Texts of the columns in ``cut`` end in … where the rows would be wider than the terminal.
    """
    rest = iter([printable(cell) for cell in row] for row in rows)
    sample = list(islice(rest, SAMPLE))
    widths = [max(map(width, column)) for column in zip(heads, *sample, strict=True)]
    if cut:
        _narrow(widths, cut)
        rest = (_cut_row(row, widths, cut) for row in rest)
        sample = [_cut_row(row, widths, cut) for row in sample]
    for line in _aligned(chain([heads], sample, rest), widths, frozenset(right)):
        click.echo(line)


def _narrow(widths: list[int], cut: Sequence[int]) -> None:
    """Takes from the widest of the columns ``cut`` what is too much for the terminal, but leaves each :data:`LEAST`."""
    from shutil import get_terminal_size

    over = sum(widths) + len(GAP) * (len(widths) - 1) - get_terminal_size().columns
    while over > 0:
        widest = max(cut, key=widths.__getitem__)
        if widths[widest] <= LEAST:
            break
        widths[widest] -= 1
        over -= 1


def _cut_row(row: list[str], widths: Sequence[int], cut: Sequence[int]) -> list[str]:
    return [shortened(cell, widths[at]) if at in cut else cell for at, cell in enumerate(row)]


def shortened(text: str, columns: int) -> str:
    """``text`` in at most so many columns of a terminal; where some of it is missing, … stands at the end."""
    if width(text) <= columns:
        return text
    text = text[: columns - 1]  # no character but a combining one takes less than a column
    while width(text) >= columns:
        text = text[:-1]
    return text + "…"


def _aligned(rows: Iterable[Sequence[str]], widths: Sequence[int], right: frozenset[int]) -> Iterator[str]:
    last = len(widths) - 1
    for row in rows:
        cells = []
        for at, cell in enumerate(row):
            gap = " " * max(0, widths[at] - width(cell))
            cells.append(gap + cell if at in right else cell if at == last else cell + gap)
        yield GAP.join(cells).rstrip()


def width(text: str) -> int:
    """Columns that a text takes on a terminal: East Asian wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def pairs_table(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values under each other."""
    rows = [(printable(name), printable(value)) for name, value in pairs]
    wide = max((width(name) for name, _ in rows), default=0)
    for name, value in rows:
        click.echo(f"{name}{' ' * (wide - width(name))}  {value}".rstrip())


def entry_json(row: Any) -> dict[str, object]:
    """An entry of a list as JSON."""
    return {"id": row.id, "name": row.name, "size": row.size, "modified": row.modified, "tags": list(row.tags)}
