"""CSV files of many rows: of each only what is asked for is kept, and its cells are read again when they are needed."""

import csv
import itertools
import re
from array import array
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TypeVar

from uvgen.errors import InputError
from uvgen.storage.names import brief

Kept = TypeVar("Kept")

_SEPARATOR = re.compile(r"sep=([,;\t])\r?\n", re.IGNORECASE)  # Excel's first line
_FIRST_ROWS, _MOST_OF_FIRST = 100, 1 << 20  # rows, and characters of them
_END = "\x01"  # a line that no text has: `read_text` refuses control characters


def scan_csv(
    path: Path, text: str, what: str, keep: Callable[[list[str]], Kept]
) -> tuple[list[Kept], Callable[[int], list[str]]]:
    """What `keep` makes of each row's cells, and a function that gives the cells of a row by its number.

    Parameters
    ----------
    path : Path
        The file, for messages.
    text : str
        Its content: cells between commas, semicolons or tabs, whichever the first line has most of, or says, as Excel's
        "sep=;" does; cells in quotes may go over several lines. Empty rows do not count.
    what : str
        What is expected in it, for messages.
    keep : callable
        Called with each row.

    Returns
    -------
    list, callable

    Raises
    ------
    InputError
        If a cell is longer than 128 kB, or a quote is not closed in its cell: the rows up to the next quote would be
        taken for a part of it.
    """
    stated, delimiter = _SEPARATOR.match(text), _delimiter(text)
    kept, starts, ends = list[Kept](), array("q"), array("q")  # 16 bytes a row for where it is
    first = position = 0
    stream = StringIO(f"{text}\n{_END}\n")
    reader = csv.reader(stream, delimiter=delimiter)
    try:
        for cells in reader:
            if cells == [_END]:
                break
            start, position = position, stream.tell()
            if reader.line_num > first + 1:
                _check_quotes(path, text[start:position], first, delimiter, what)
            if any(cell.strip() for cell in cells) and not (stated and reader.line_num == 1):
                kept.append(keep(cells))
                starts.append(start)
                ends.append(position)
            first = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}: not readable CSV ({brief(error)}), expected {what}") from error

    def cells_of(row: int) -> list[str]:
        return next(csv.reader(StringIO(text[starts[row] : ends[row]]), delimiter=delimiter))

    return kept, cells_of


def first_rows(text: str) -> list[list[str]]:
    """The cells of the first rows after the header, by which columns are told, of a text that `scan_csv` takes."""
    stated = _SEPARATOR.match(text)
    start = stated.end() if stated else 0
    reader = csv.reader(StringIO(text[start : start + _MOST_OF_FIRST]), delimiter=_delimiter(text))
    filled = (cells for cells in reader if any(cell.strip() for cell in cells))
    try:
        rows = list(itertools.islice(filled, 1 + _FIRST_ROWS))
    except csv.Error:  # of which `scan_csv` tells
        return []
    return rows[1:-1] if len(text) > start + _MOST_OF_FIRST else rows[1:]  # the last may be cut


def _delimiter(text: str) -> str:
    stated = _SEPARATOR.match(text)
    return stated[1] if stated else max(",;\t", key=text.partition("\n")[0].count)


def _check_quotes(path: Path, lines: str, first: int, delimiter: str, what: str) -> None:
    """Raise InputError if the cells of a row over several lines, the first of which has the number `first`, from 0, are
    not such as CSV has them: after the quote that ends a cell, the next one begins.
    """
    try:
        next(csv.reader(StringIO(lines), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(
            f"{path}, line {first + 1}: a quote is opened and not closed in its cell, which would take in the lines "
            f"after it; expected {what}, with a quote doubled in a cell that begins with one"
        ) from error
